"""Pictures of matrices as a browser shows them: each cell in the colour that it has in the file, light and dark."""
import pathlib
import sys
import zlib

import numpy as np

from common import Case, main

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "view"))
from images import HOSTILE, Png, Svg  # noqa: E402
from library import SANITIZED, view_matrix  # noqa: E402


def pixels(path):
    """The colours of a screenshot, which has RGB or RGBA and the usual filters."""
    data, at, packed = path.read_bytes(), 8, b""
    width, height = (int.from_bytes(data[i:i + 4], "big") for i in (16, 20))
    parts = {2: 3, 6: 4}[data[25]]
    while at < len(data):
        size = int.from_bytes(data[at:at + 4], "big")
        packed += data[at + 8:at + 8 + size] if data[at + 4:at + 8] == b"IDAT" else b""
        at += size + 12
    lines = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, 1 + width * parts)
    out = np.zeros((height + 1, width + 1, parts), np.uint8)  # a row above and a column before are 0
    for y in range(height):
        kind, line = lines[y, 0], lines[y, 1:].reshape(width, parts)
        if kind == 0:
            out[y + 1, 1:] = line
        elif kind == 1:
            out[y + 1, 1:] = np.cumsum(line, axis=0, dtype=np.uint8)
        elif kind == 2:
            out[y + 1, 1:] = line + out[y, 1:]
        else:
            for x in range(width):
                left, up, corner = (out[place].astype(int) for place in ((y + 1, x), (y, x + 1), (y, x)))
                guess = left + up - corner
                near = np.argmin([abs(guess - left), abs(guess - up), abs(guess - corner)], axis=0)
                paeth = np.choose(near, [left, up, corner])
                out[y + 1, x + 1] = line[x] + ((left + up) // 2 if kind == 3 else paeth).astype(np.uint8)
    return out[1:, 1:, :3]


class Images(Case):
    def setUp(self):
        if SANITIZED:
            self.skipTest("the library is sanitized")
        super().setUp()
        self.random = np.random.default_rng(3)

    def made(self, *arguments, **options):
        path = self.folder / "made.svg"
        view_matrix(path, *arguments, **options)
        return path

    def seen(self, path, svg, dark):
        self.page.emulate(dark=dark, width=max(600, int(svg.root.get("width"))), height=int(svg.root.get("height")))
        self.page.open(path)
        self.page.screenshot(self.folder / "seen.png")
        return pixels(self.folder / "seen.png")

    def expect_shown(self, path, cells):
        """Cells, (x, y) of their corners: class, are shown in the colours of the file."""
        self.expect_in_order(path, looks=({}, {"dark": True}))
        svg = Svg(path.read_text())
        for dark in (False, True):
            shown = self.seen(path, svg, dark)
            for (x, y), number in cells(svg).items():
                colour = "#" + bytes(shown[int(y) + 1, int(x) + 1]).hex()
                self.assertEqual(colour, svg.colours[dark][number], (dark, x, y))

    def test_cells_are_shown_in_their_colours(self):
        values = self.random.normal(size=(9, 14))
        values[2, 3] = np.nan
        for options in ({}, {"two_sided": True}):
            path = self.made(values, attend=np.tril(np.ones((9, 14), bool), 6), title="Layer 0", rows="queries",
                             columns="keys", **options)
            self.expect_shown(path, lambda svg: {place: number for place, (number, _) in svg.told.items()})

    def test_an_image_within_is_sharp_light_and_dark(self):
        values = self.random.integers(0, 193, (130, 140)).astype(float)
        values[0, :2] = 0, 192

        def cells(svg):
            image = svg.root.find("{http://www.w3.org/2000/svg}image")
            x, y, cell = (int(image.get("x")), int(image.get("y")), int(image.get("width")) // 140)
            return {(x + j * cell, y + i * cell): str(int(values[i, j])) for i in range(130) for j in range(140)}

        self.expect_shown(self.made(values), cells)

    def test_hostile_labels_are_text(self):
        count = len(HOSTILE)
        for title in HOSTILE[::3]:
            path = self.made(self.random.random((count, count)), title=title, row_labels=HOSTILE, column_labels=HOSTILE)
            self.page.open(path)
            self.assertEqual(self.page.problems, [])
            self.assertEqual(self.page.requests, [path.as_uri()])
            self.assertEqual(self.page.evaluate("document.querySelectorAll('script, foreignObject, a').length"), 0)

    def test_texts_fit_into_the_picture(self):
        labels = [f"label number {i}" * (1 + i % 2) for i in range(20)]
        for options in ({}, {"row_labels": labels, "column_labels": labels, "rows": "queries", "columns": "keys"},
                        {"title": "A title that is a good deal longer than the picture below it is wide, to be sure"},
                        {"attend": np.eye(20, dtype=bool), "high": 0.5}):
            self.page.open(self.made(self.random.random((20, 20)), **options))
            out = self.page.evaluate("""(() => {
                const page = document.documentElement.getBoundingClientRect();
                return [...document.querySelectorAll("text")].filter(text => {
                    const box = text.getBoundingClientRect();
                    return box.left < page.left || box.right > page.right || box.top < page.top ||
                        box.bottom > page.bottom;
                }).map(text => text.textContent);
            })()""")
            self.assertEqual(out, [])

    def test_it_speaks(self):
        self.page.open(self.made(np.eye(3), title="Layer 0", rows="queries"))
        picture, = self.page.accessibility().find(name="Layer 0")[:1]
        self.assertIn("Layer 0", picture.name)
        self.assertEqual(self.page.evaluate("document.querySelector('rect title').textContent"), "0, 0: 1")
        self.assertIn("A matrix of 3 rows", self.page.evaluate("document.querySelector('desc').textContent"))

    def test_a_png_is_shown_too(self):
        path = self.folder / "made.png"
        view_matrix(path, self.random.random((5, 5)), title="Layer 0")
        png = Png(path.read_bytes())
        self.page.open(path)
        self.assertEqual(self.page.problems, [])
        self.assertEqual(self.page.evaluate("[document.images[0].naturalWidth, document.images[0].naturalHeight]"),
                         [png.width, png.height])


if __name__ == "__main__":
    main(sys.argv[1:])
