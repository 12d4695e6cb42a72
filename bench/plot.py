"""Growth as a picture: time by size for every side, and below it how many times as fast Gradus is. SVG,
for light and dark, that needs nothing but a browser.

    python3 bench/plot.py RESULTS.json SWEEP > FILE.svg
"""
import html
import json
import math
import pathlib
import re
import sys

import catalogue

WIDTH, HEIGHT = 800, 500
LEFT, RIGHT = 78, 640
TIME, RATIO = (74, 318), (366, 446)  # tops and bottoms of the two panels
GAP = 16  # between two labels, at the least

# Colours that stay apart for the colour-blind (Okabe and Ito), for light and dark; and a mark each.
SIDES = {
    "gradus": ("Gradus", "#0060a8", "#5ab4f0", "circle"),
    "pytorch": ("PyTorch", "#c44e00", "#f08a4b", "square"),
    "compiled": ("PyTorch compiled", "#00785a", "#3cc79f", "triangle"),
    "jax": ("JAX", "#a03d78", "#e08fc0", "diamond"),
}
STYLE = """
  svg { --ground: #ffffff; --ink: #1c2026; --soft: #5b6470; --grid: #e4e7eb; --axis: #9aa3ad; LIGHT }
  @media (prefers-color-scheme: dark) {
    svg { --ground: #14171c; --ink: #e8eaed; --soft: #a3acb8; --grid: #2a2f37; --axis: #5d6672; DARK }
  }
  text { font: 13px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--ink) }
  .title { font-size: 17px; font-weight: 600 } .soft, .tick { fill: var(--soft) } .tick { font-size: 12px }
  .grid { stroke: var(--grid) } .axis { stroke: var(--axis) } .one { stroke: var(--axis); stroke-dasharray: 5 4 }
  .line { fill: none; stroke-width: 2.2; stroke-linejoin: round; stroke-linecap: round }
  .mark { stroke: var(--ground); stroke-width: 1.2 } .name { font-weight: 600 }
"""


def file_name(sweep):
    return re.sub(r"[^a-z0-9]+", "-", sweep.lower()).strip("-") + ".svg"


def colours(which):
    return " ".join(f"--{name}: {side[which]};" for name, side in SIDES.items())


# ---- Axes ----

class Axis:
    """Logarithmic, from one place of the picture to another."""

    def __init__(self, values, begin, end, widen=1.0):
        low, high = min(values) / widen, max(values) * widen
        if high / low < 2:
            low, high = low / math.sqrt(2), high * math.sqrt(2)
        self.low, self.high, self.begin, self.end = low, high, begin, end

    def at(self, value):
        part = math.log(value / self.low) / math.log(self.high / self.low)
        return self.begin + part * (self.end - self.begin)

    def ticks(self):
        """Powers of ten, or where these are few 1, 2 and 5 of them too."""
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for factors in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
            found = [f * 10 ** p for p in powers for f in factors if self.low <= f * 10 ** p <= self.high]
            if len(found) >= 3:
                break
        return found


def time_text(us):
    for unit, factor in (("s", 1e6), ("ms", 1e3), ("µs", 1)):
        if us >= factor:
            return f"{us / factor:g} {unit}"
    return f"{us:g} µs"


# ---- Parts of a picture ----

def text(x, y, words, kind="", anchor="start", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}"{more}>{html.escape(words)}</text>'


def stroke(x1, y1, x2, y2, kind):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


MARKS = {
    "circle": lambda x, y: f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.6"',
    "square": lambda x, y: f'<rect x="{x - 4.2:.1f}" y="{y - 4.2:.1f}" width="8.4" height="8.4"',
    "triangle": lambda x, y: f'<path d="M{x:.1f} {y - 5.4:.1f}l5 9h-10z"',
    "diamond": lambda x, y: f'<path d="M{x:.1f} {y - 5.8:.1f}l5.4 5.8l-5.4 5.8l-5.4 -5.8z"',
}


def curve(side, points, said):
    """points: (x, y, what is said of it)."""
    colour = f"var(--{side})"
    path = " ".join(f"{'L' if i else 'M'}{x:.1f} {y:.1f}" for i, (x, y, _) in enumerate(points))
    parts = [f'<path d="{path}" class="line" style="stroke: {colour}"/>']
    for x, y, what in points:
        parts.append(MARKS[SIDES[side][3]](x, y) + f' class="mark" style="fill: {colour}"><title>'
                     + html.escape(f"{SIDES[side][0]}, {what}{said}") + "</title>")
        parts.append({"circle": "</circle>", "square": "</rect>"}.get(SIDES[side][3], "</path>"))
    return "\n".join(parts)


def apart(places, top, bottom):
    """The same places in the same order, none nearer to another than GAP."""
    order = sorted(range(len(places)), key=places.__getitem__)
    moved = list(places)
    for before, i in zip(order, order[1:]):
        moved[i] = max(moved[i], moved[before] + GAP)
    if order and moved[order[-1]] > bottom:  # pushed out below: back up
        moved[order[-1]] = bottom
        for i, after in zip(order[-2::-1], order[::-1]):
            moved[i] = min(moved[i], moved[after] - GAP)
    return [max(top, y) for y in moved]


def end_labels(sides, ends, top, bottom, words):
    places = apart([ends[side] + 4 for side in sides], top, bottom)
    return [text(RIGHT + 14, y, word, "name", more=f' style="fill: var(--{side})"')
            for side, y, word in zip(sides, places, words)]


# ---- The two panels ----

def grid(axis, across, label):
    parts = [stroke(LEFT, axis.at(value), RIGHT, axis.at(value), "grid") for value in axis.ticks()]
    parts += [text(LEFT - 10, axis.at(value) + 4, label(value), "tick", "end") for value in axis.ticks()]
    for value in across:
        parts.append(stroke(across[value], axis.begin, across[value], axis.end, "grid"))
    parts.append(stroke(LEFT, axis.begin, RIGHT, axis.begin, "axis"))
    return parts


def time_panel(series, across):
    axis = Axis([us for points in series.values() for us in points.values()], TIME[1], TIME[0], 1.35)
    parts, ends = grid(axis, across, time_text), {}
    for side, points in reversed(series.items()):  # Gradus on top
        placed = [(across[at], axis.at(us), f"{at}: {time_text(float(f'{us:.3g}'))}") for at, us in points.items()]
        parts.append(curve(side, placed, ""))
        ends[side] = placed[-1][1]
    sides = list(series)
    return parts + end_labels(sides, ends, TIME[0] + 8, TIME[1], [SIDES[side][0] for side in sides])


def ratio_panel(series, across):
    ratios = {side: {at: us / series["gradus"][at] for at, us in points.items()}
              for side, points in series.items() if side != "gradus"}
    if not ratios:
        return [text(LEFT, RATIO[0] + 20, "no rival was there", "soft")]
    axis = Axis([1, *(ratio for points in ratios.values() for ratio in points.values())], RATIO[1], RATIO[0], 1.12)
    parts, ends = grid(axis, across, lambda value: f"{value:g}×"), {}
    parts.append(stroke(LEFT, axis.at(1), RIGHT, axis.at(1), "one"))
    for side, points in reversed(ratios.items()):
        placed = [(across[at], axis.at(ratio), f"{at}: {ratio:.2f} times Gradus's time") for at, ratio in points.items()]
        parts.append(curve(side, placed, ""))
        ends[side] = placed[-1][1]
    sides = list(ratios)
    last = [list(ratios[side].values())[-1] for side in sides]
    return parts + end_labels(sides, ends, RATIO[0] + 8, RATIO[1] + 4, [f"{ratio:.2g}×" for ratio in last])


# ---- The picture ----

def series_of(result, sweep):
    rows = sorted((row for row in result["rows"] if row.get("sweep") == sweep), key=lambda row: row["at"])
    series = {"gradus": {row["at"]: row["gradus_us"] for row in rows}}
    for side in SIDES:
        points = {row["at"]: row["rivals"][side] for row in rows if side in row["rivals"]}
        if points:
            series[side] = points
    return series


def about(sweep, rows):
    """Title, what the axis is, and what was measured."""
    if sweep.startswith("threads: "):
        return f"{rows[0]['name']} by threads", "threads", "time of one run"
    axis, *_ = catalogue.SWEEPS.get(sweep, (sweep,))
    first, last = rows[0]["name"], rows[-1]["name"]
    return f"Time by {sweep}", axis, f"{first} to {last}, one thread"


def svg(result, sweep):
    rows = sorted((row for row in result["rows"] if row.get("sweep") == sweep), key=lambda row: row["at"])
    series = series_of(result, sweep)
    title, axis_name, subtitle = about(sweep, rows)
    horizontal = Axis([row["at"] for row in rows], LEFT + 14, RIGHT - 14)
    across = {row["at"]: horizontal.at(row["at"]) for row in rows}
    style = STYLE.replace("LIGHT", colours(1)).replace("DARK", colours(2))
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
             f'role="img" aria-labelledby="title">', f'<title id="title">{html.escape(title)}</title>',
             f"<style>{style}</style>", f'<rect width="{WIDTH}" height="{HEIGHT}" style="fill: var(--ground)"/>',
             text(LEFT, 32, title, "title"), text(LEFT, 54, subtitle, "soft")]
    parts += time_panel(series, across)
    parts.append(text(LEFT, RATIO[0] - 14, "a rival's time / Gradus's", "soft"))
    parts += ratio_panel(series, across)
    parts += [text(x, RATIO[1] + 20, f"{at}", "tick", "middle") for at, x in across.items()]
    parts.append(text((LEFT + RIGHT) / 2, RATIO[1] + 42, axis_name, "soft", "middle"))
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    sys.stdout.write(svg(json.loads(pathlib.Path(sys.argv[1]).read_text()), sys.argv[2]))
