"""What was measured as text, Markdown, JSON and plots. By itself:

    python3 bench/report.py RESULTS.json [FOLDER]    writes them anew from what was measured
    python3 bench/report.py --docs RESULTS.json      puts the tables into docs/performance.md
"""
import json
import os
import pathlib
import platform
import re
import subprocess
import sys

import catalogue
import plot

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs" / "performance.md"
TITLES = {"pytorch": "PyTorch", "compiled": "compiled", "jax": "JAX"}


# ---- Lines of a terminal ----

def heading(rivals):
    return (f"{'name, microseconds':36} {'threads':>7} {'gradus':>11}" + "".join(f"{name:>12}" for name in rivals)
            + f" {'ratio':>7} {'speed':>15} {'of peak':>8}")


def figure(us):
    return "-" if us is None else f"{us:.3f}"


def line(row, rivals):
    ratio = f"{row['ratio']:.2f}" if row["ratio"] else "-"
    return (f"{row['name']:36} {row['threads']:7} {figure(row['gradus_us']):>11}"
            + "".join(f"{figure(row['rivals'].get(name)):>12}" for name in rivals)
            + f" {ratio:>7} {speed(row):>15} {share(row):>8}")


def speed(row):
    return f"{row['rate']:.1f} {row['unit']}" if row["rate"] else ""


def share(row):
    return f"{100 * row['share']:.0f}%" if row["share"] else ""


def summary(result):
    lines = [""] if result["means"] else []
    for mean in result["means"]:
        lines.append(f"{mean['group']:22} {mean['threads']} thread{'s' if mean['threads'] > 1 else ' '}  "
                     f"geometric mean of {mean['cases']:2}: {mean['ratio']:.2f}")
    if result["goals"]:
        lines.append("")
    for goal in result["goals"]:
        sign = "at most" if "milliseconds" in goal["what"] else "at least"
        lines.append(f"{'met    ' if goal['met'] else 'not met'} {goal['what']:52} {goal['measured']:8.2f}, "
                     f"wanted {sign} {goal['goal']:g}")
    return "\n".join(lines)


# ---- The machine ----

def first_line(command):
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()[0].strip()
    except (OSError, IndexError):
        return ""


def processor():
    try:
        return re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())[1]
    except (OSError, TypeError):
        return platform.processor() or platform.machine()


def system():
    try:
        return re.search(r'^PRETTY_NAME="(.*)"', pathlib.Path("/etc/os-release").read_text(), re.M)[1]
    except (OSError, TypeError):
        return platform.system()


def flags(build):
    """Those of Meson's options that matter to speed."""
    told = subprocess.run(["meson", "introspect", build, "--buildoptions"], capture_output=True, text=True).stdout
    values = {option["name"]: option["value"] for option in json.loads(told or "[]")}
    return ", ".join(f"{name}={values[name]}" for name in ("buildtype", "b_lto", "c_args") if values.get(name))


def document(rows, options, texts, began, load, complete):
    program = options.build / "tools" / "gradus"
    return dict(date=began.strftime("%Y-%m-%d %H:%M"), effort=options.effort, complete=complete, processor=processor(),
                processors=os.cpu_count(), system=system(), kernel=platform.release(), compiler=first_line(["cc", "--version"]),
                flags=flags(options.build), gradus=first_line([program, "--version"]), sides=texts,
                load=[*load, *os.getloadavg()], rows=rows, means=catalogue.means(rows), goals=catalogue.goals(rows))


def about(result):
    """Facts, of which results of other times may lack some."""
    load = result["load"]
    facts = [f"{result['date']}, {result['effort']}" + ("" if result["complete"] else ", stopped before its end"),
             ", ".join(filter(None, [f"{result['processors']} x {result['processor']}", result["system"],
                                     result["kernel"] and f"Linux {result['kernel']}"])),
             "; ".join(filter(None, [result["gradus"], result["compiler"], result["flags"]])),
             "; ".join(result["sides"].values())]
    return facts + ([f"load average {load[0]:.2f} before, {load[3]:.2f} after"] if load else [])


# ---- Tables ----

def rivals_of(result):
    return [name for name in result["sides"] if name != "gradus"]


def as_json(result):
    return json.dumps(result, indent=1) + "\n"


def as_text(result):
    rivals = rivals_of(result)
    return "\n".join([*about(result), "", heading(rivals), *(line(row, rivals) for row in result["rows"]),
                      summary(result), ""])


def digits(us):
    return f"{us:.3f}" if us < 1 else f"{us:.2f}" if us < 10 else f"{us:.1f}" if us < 100 else f"{us:,.0f}"


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(row) + " |" for row in rows)]


def without_empty(head, rows):
    """Less the columns in which nothing was measured."""
    kept = [i for i in range(len(head)) if any(row[i] for row in rows)]
    return [head[i] for i in kept], [[row[i] for i in kept] for row in rows]


def group_table(result, group):
    rivals = rivals_of(result)
    head = ["microseconds", "threads", "Gradus", *(TITLES[name] for name in rivals), "ratio", "speed", "of peak"]
    rows, last = [], None
    for row in result["rows"]:
        if row["group"] != group:
            continue
        name = "" if row["name"] == last else f"`{row['name']}`"
        last = row["name"]
        rows.append([name, str(row["threads"]), digits(row["gradus_us"]),
                     *(digits(row["rivals"][rival]) if rival in row["rivals"] else "" for rival in rivals),
                     f"{row['ratio']:.2f}" if row["ratio"] else "", speed(row), share(row)])
    return table(*without_empty(head, rows)) if rows else []


def means_table(result):
    return table(["geometric mean of the ratios", "threads", "cases", "ratio"],
                 [[catalogue.GROUPS[mean["group"]], str(mean["threads"]), str(mean["cases"]), f"{mean['ratio']:.2f}"]
                  for mean in result["means"]])


def goals_table(result):
    return table(["goal", "wanted", "measured", ""],
                 [[goal["what"], f"{goal['goal']:g}", f"{goal['measured']:.2f}", "met" if goal["met"] else "not met"]
                  for goal in result["goals"]])


def sweep_table(result, sweep):
    rivals = rivals_of(result)
    rows = [row for row in result["rows"] if row.get("sweep") == sweep]
    return table(["", "Gradus", *(TITLES[name] for name in rivals), "ratio", "of peak"],
                 [[str(row["at"]), digits(row["gradus_us"]),
                   *(digits(row["rivals"][rival]) if rival in row["rivals"] else "" for rival in rivals),
                   f"{row['ratio']:.2f}" if row["ratio"] else "", share(row)] for row in rows])


def sweeps_of(result):
    return list(dict.fromkeys(row["sweep"] for row in result["rows"] if "sweep" in row))


def as_markdown(result):
    parts = ["# What was measured", "", *(f"- {fact}" for fact in about(result)), ""]
    for group, title in catalogue.GROUPS.items():
        if any(row["group"] == group for row in result["rows"]):
            parts += [f"## {title}", "", *group_table(result, group), ""]
    for sweep in sweeps_of(result):
        parts += [f"## By {sweep}", "", f"![]({plot.file_name(sweep)})", "", *sweep_table(result, sweep), ""]
    if result["means"]:
        parts += ["## In the mean", "", *means_table(result), ""]
    if result["goals"]:
        parts += ["## Goals", "", *goals_table(result), ""]
    return "\n".join(parts)


def write(result, folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(as_json(result))
    (folder / "results.txt").write_text(as_text(result))
    (folder / "README.md").write_text(as_markdown(result))
    for sweep in sweeps_of(result):
        (folder / plot.file_name(sweep)).write_text(plot.svg(result, sweep))


# ---- docs/performance.md ----

def filled(page, result):
    """The page, with each table between its marks as it follows from the results."""
    makers = {"goals": goals_table, "means": means_table, "about": lambda result: [f"- {fact}" for fact in about(result)]}

    def replaced(match):
        what = match[1]
        made = makers[what](result) if what in makers else group_table(result, what)
        made = made or ["Not measured in that run."]
        return f"<!-- measured: {what} -->\n\n" + "\n".join(made) + "\n\n<!-- end -->"
    return re.sub(r"<!-- measured: ([\w.]+) -->\n.*?<!-- end -->", replaced, page, flags=re.S)


def results_of(page):
    """The file that the page says its figures are from."""
    return ROOT / "docs" / re.search(r"\((\.\./bench/results/[^)]*\.json)\)", page)[1]


def put_into_docs(path):
    """Names the file in the page, too."""
    page = DOCS.read_text()
    link = os.path.relpath(path.resolve(), DOCS.parent)
    page = re.sub(r"\(\.\./bench/results/[^)]*\.json\)", f"({link})", page)
    page = re.sub(r"\(\.\./bench/results/[^)/]*/([\w-]+\.(?:svg|md|txt))\)",
                  lambda match: f"({os.path.dirname(link)}/{match[1]})", page)
    DOCS.write_text(filled(page, json.loads(path.read_text())))


def main():
    if len(sys.argv) > 2 and sys.argv[1] == "--docs":
        put_into_docs(pathlib.Path(sys.argv[2]))
    elif len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        path = pathlib.Path(sys.argv[1])
        write(json.loads(path.read_text()), pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else path.parent)
    else:
        sys.exit(__doc__.strip())


if __name__ == "__main__":
    main()
