"""Files that grd_view_matrix writes, read by other eyes: PNG by Python's zlib, SVG as XML, CSV by Python's csv.
Every cell has the colour that its value asks for."""
import base64
import csv
import io
import pathlib
import re
import struct
import sys
import tempfile
import unittest
import zlib
from xml.etree import ElementTree

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import tap  # noqa: E402
from library import SANITIZED, view_matrix  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"
SHADES, MASKED, NAN = 193, "195", "197"
HOSTILE = ["</script><script>alert(1)</script>", "\x1b[2J\u202e", "\"quoted\", 'both'", "a\nb\tc", "=1+1", "+1", "-1",
           "@a", "'=1", "\t=1", "\uff1d1", "&amp;<![CDATA[", "]]>", "", " ", b"\xff\xfe", b"cut \xe2\x82",
           "\u65e5\u672c\u8a9e", "\U0001f600", "x" * 500, ",", ";", "\r", "a\u0301"]


def shades(values, low, high, two_sided=False):
    """The number of each value's shade, as a class."""
    if two_sided:
        high = max(-low, high)
        low = -high
    part = (np.clip(values, low, high) - low) / (high - low)
    return np.where(np.isnan(values), NAN, np.rint(np.nan_to_num(part) * (SHADES - 1)).astype(int).astype(str))


class Png:
    """A PNG with a palette and no filter; the checksums hold."""

    def __init__(self, data):
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        at, packed, self.words = 8, b"", {}
        while at < len(data):
            size, kind = struct.unpack(">I4s", data[at:at + 8])
            body = data[at + 8:at + 8 + size]
            assert zlib.crc32(kind + body) == struct.unpack(">I", data[at + 8 + size:at + 12 + size])[0]
            if kind == b"IHDR":
                self.width, self.height, *rest = struct.unpack(">IIBBBBB", body)
                assert rest == [8, 3, 0, 0, 0]
            elif kind == b"PLTE":
                self.palette = np.frombuffer(body, np.uint8).reshape(-1, 3)
            elif kind == b"IDAT":
                packed += body
            elif kind in (b"iTXt", b"tEXt"):
                name, text = body.split(b"\0", 1)
                self.words[name.decode()] = text.rpartition(b"\0")[2].decode()
            at += size + 12
        lines = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(self.height, self.width + 1)
        assert not lines[:, 0].any()
        self.indices = lines[:, 1:]

    def colour(self, x, y):
        return "#" + bytes(self.palette[self.indices[y, x]]).hex()


class Svg:
    """The cells of a picture, by their place, and its colours, light and dark."""

    def __init__(self, text):
        self.root = ElementTree.fromstring(text)
        style = self.root.find(SVG + "style").text
        light, _, dark = style.partition("@media(prefers-color-scheme:dark)")
        self.colours = [dict(re.findall(r"\.(?:one|two)-(\d+)\{fill:(#[0-9a-f]{6})\}", part)) for part in (light, dark)]
        self.texts = ["".join(node.itertext()) for node in self.root.iter(SVG + "text")]
        self.told = {tuple(float(rect.get(name)) for name in ("x", "y")): (self.number(rect), rect[0].text)
                     for rect in self.root.iter(SVG + "rect") if len(rect)}

    @staticmethod
    def number(node):
        return node.get("class").partition("-")[2]

    def grid(self, rows, columns):
        """The classes of told cells, row by row, with what they say and where they lie."""
        places = sorted(self.told, key=lambda place: (place[1], place[0]))
        assert len(places) == rows * columns
        return (np.array([self.told[place][0] for place in places]).reshape(rows, columns),
                [self.told[place][1] for place in places], places)


class Images(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        if SANITIZED:
            self.skipTest("the library is sanitized")
        holder = tempfile.TemporaryDirectory(prefix="gradus-test-")
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)
        self.random = np.random.default_rng(7)

    def made(self, ending, *arguments, **options):
        path = self.folder / ("made." + ending)
        view_matrix(path, *arguments, **options)
        self.assertEqual([file.name for file in self.folder.iterdir()], [path.name])
        data = path.read_bytes()
        path.unlink()
        return data

    def both(self, *arguments, **options):
        """The same picture as SVG and as PNG; each cell has one colour in both."""
        svg = Svg(self.made("svg", *arguments, **options))
        png = Png(self.made("png", *arguments, **options))
        width, height = (int(svg.root.get(name)) for name in ("width", "height"))
        scale = png.width // width
        self.assertEqual((png.width, png.height), (scale * width, scale * height))
        colours = svg.colours[options.get("dark", False)]
        for (x, y), (number, _) in svg.told.items():
            self.assertEqual(png.colour(int(x * scale) + 1, int(y * scale) + 1), colours[number])
        self.assertEqual("#" + bytes(png.palette[193]).hex(), colours["193"])
        return svg, png

    def test_every_cell_has_its_colour(self):
        values = self.random.normal(size=(12, 17))
        for options in ({}, {"dark": True}, {"two_sided": True}, {"low": -0.5, "high": 1}, {"cell": 3},
                        {"two_sided": True, "high": 0.25, "dark": True}):
            with self.subTest(options=options):
                svg, png = self.both(values, **options)
                low, high = options.get("low", 0), options.get("high", 0)
                ends = (low, high) if low != high else (values.min(), values.max())
                found, said, _ = svg.grid(12, 17)
                self.assertEqual(found.tolist(), shades(values, *ends, options.get("two_sided", False)).tolist())
                self.assertEqual(said[20], f"1, 3: {values[1, 3]:.6g}")
                beyond = "beyond the scale" in " ".join(svg.texts)
                self.assertEqual(beyond, low != high)

    def test_weights_start_at_zero(self):
        svg, _ = self.both(np.array([[0.5, 0.25]]))
        self.assertEqual(svg.grid(1, 2)[0].tolist(), [["192", "96"]])
        svg, _ = self.both(np.zeros((1, 2)))
        self.assertEqual(svg.grid(1, 2)[0].tolist(), [["0", "0"]])
        svg, _ = self.both(np.zeros((1, 2)), two_sided=True)
        self.assertEqual(svg.grid(1, 2)[0].tolist(), [["96", "96"]])

    def test_values_that_are_none(self):
        values = np.array([[np.nan, np.inf, -np.inf], [1e308, -1e308, 0], [5, np.nan, 1]])
        attend = np.array([True, True, False])
        svg, png = self.both(values, attend=attend)
        found, said, _ = svg.grid(3, 3)
        self.assertEqual(found.tolist(), [[NAN, "192", MASKED], ["192", "0", MASKED], ["96", NAN, MASKED]])
        self.assertEqual(said[0], "0, 0: nan")
        self.assertEqual(said[2], "0, 2: -inf (masked)")
        self.assertEqual([text for text in svg.texts if not text.isdecimal()],
                         ["-1e+308", "1e+308", "masked", "not a number (NaN)",
                          "what lies beyond the scale has its ends' colours"])
        for words in ("least value, -1e+308, is in row 1, column 1", "largest value, 1e+308, is in row 1, column 0",
                      "Masked cells: 3.", "not a number: 2.", "beyond the scale: 1."):
            self.assertIn(words, svg.root.find(SVG + "desc").text)
            self.assertIn(words, png.words["Description"])
        clean, _ = self.both(np.array([[1.0]]))
        self.assertEqual([text for text in clean.texts], ["0", "0", "0", "1"])

    def test_types_and_views(self):
        values = np.arange(12.0).reshape(3, 4)
        expected, _, _ = self.both(values)[0].grid(3, 4)
        for array in (values.astype(np.float32), values.astype(np.int64)):
            self.assertEqual(self.both(array)[0].grid(3, 4)[0].tolist(), expected.tolist())
        self.assertEqual(self.both(values % 2 == 1)[0].grid(3, 4)[0].tolist(), [["0", "192"] * 2] * 3)

    def test_larger_ones_are_paths_and_then_an_image(self):
        values = self.random.random((40, 60))
        svg = Svg(self.made("svg", values))
        cell, found = 7, {}
        for path in svg.root.iter(SVG + "path"):
            for x, y, width, height in re.findall(r"M(\S+) (\S+)h(\d+)v(\d+)", path.get("d")):
                found[(float(y), float(x))] = svg.number(path)
                self.assertEqual((width, height), ("6", "6"))
        self.assertEqual([found[place] for place in sorted(found)], shades(values, 0, values.max()).ravel().tolist())
        values = self.random.random((130, 140))
        values[3, 5] = np.nan
        svg = Svg(self.made("svg", values))
        numbers = shades(values, 0, np.nanmax(values))
        images = list(svg.root.iter(SVG + "image"))
        self.assertEqual([image.get("class") for image in images], ["matrix-light", "matrix-dark"])
        for image, colours in zip(images, svg.colours):
            png = Png(base64.b64decode(image.get("href").removeprefix("data:image/png;base64,")))
            self.assertEqual((png.width, png.height), (140, 130))
            for y, row in enumerate(numbers):
                self.assertEqual([png.colour(x, y) for x in range(140)], [colours[number] for number in row])
        self.assertEqual((cell, int(images[0].get("width"))), (7, 140 * 3))

    def test_paths_of_touching_cells_are_joined(self):
        svg = Svg(self.made("svg", np.repeat(np.eye(60), 2, axis=1), cell=2))
        shapes = [path.get("d").count("M") for path in svg.root.iter(SVG + "path")]
        self.assertEqual(shapes, [118, 60])

    def test_4096_by_4096(self):
        values = self.random.integers(0, SHADES, (4096, 4096)).astype(np.float64)
        svg = Svg(self.made("svg", values))
        x, y = (int(next(svg.root.iter(SVG + "image")).get(name)) for name in ("x", "y"))
        png = Png(self.made("png", values))
        self.assertEqual((png.width, png.height), tuple(int(svg.root.get(name)) for name in ("width", "height")))
        self.assertTrue((png.indices[y:y + 4096, x:x + 4096] == values).all())

    def test_several_matrices(self):
        values = self.random.random((2, 3, 4, 5))
        captions = [f"layer {i}, head {j}" for i in range(2) for j in range(3)]
        svg, _ = self.both(values, captions=captions, title="Heads", rows="queries", columns="keys")
        found, said, places = svg.grid(8, 15)
        stacked = values.transpose(0, 2, 1, 3).reshape(8, 15)
        self.assertEqual(found.tolist(), shades(stacked, 0, values.max()).tolist())
        self.assertEqual(svg.texts[:9], ["Heads", "keys", "queries", *captions])
        self.assertRegex(svg.root.find(SVG + "desc").text, r"^6 matrices of 4 rows .* of layer \d, head \d\.$")
        texts = Svg(self.made("svg", values)).texts
        self.assertEqual(texts[:6], ["0, 0", "0, 1", "0, 2", "1, 0", "1, 1", "1, 2"])
        self.assertEqual(Svg(self.made("svg", values[0])).texts[:3], ["0", "1", "2"])
        masked, _ = self.both(values, attend=np.tril(np.ones((4, 5), bool)))
        self.assertEqual((masked.grid(8, 15)[0] == MASKED).sum(), 6 * 10)

    def test_hostile_labels(self):
        count = len(HOSTILE)
        values = self.random.random((count, count))
        for title in ("plain", *HOSTILE):
            svg, png = self.both(values, title=title, rows=title, columns=title, row_labels=HOSTILE,
                                 column_labels=HOSTILE[::-1])
            for text in (*svg.texts, *svg.root.find(SVG + "desc").text, *png.words.values()):
                self.assertNotRegex(text, "[\0-\x1f\x7f-\x9f\u202a-\u202e]")
            self.assertEqual({node.tag.removeprefix(SVG) for node in svg.root.iter()},
                             {"svg", "title", "desc", "style", "rect", "text"})
        shown = set(svg.texts)
        for text in ("</script><script>alert(\u2026", "\\u{1b}[2J\\u{202e}", "a\\nb\\tc", "\ufffd\ufffd",
                     "cut \ufffd\ufffd", "\u2423", "\u65e5\u672c\u8a9e", "x" * 23 + "\u2026"):
            self.assertIn(text, shown)

    def test_a_picture_says_what_it_is(self):
        svg, png = self.both(np.eye(3), title="Layer 0 <b>", row_labels=["a", "b", "c"], rows="queries")
        self.assertEqual(svg.root.get("role"), "img")
        self.assertEqual(svg.root.find(SVG + "title").text, "Layer 0 <b>")
        self.assertEqual(svg.root.find(SVG + "desc").text,
                         "A matrix of 3 rows and 3 columns, as colours from 0 to 1. The least value, 0, is in row a, "
                         "column 1. The largest value, 1, is in row a, column 0.")
        self.assertEqual(png.words, {"Title": "Layer 0 <b>", "Software": "Gradus",
                                     "Description": svg.root.find(SVG + "desc").text})
        self.assertEqual(Svg(self.made("svg", np.eye(2))).root.find(SVG + "title").text, "A matrix")

    # ---- CSV ----

    def rows(self, *arguments, **options):
        data = self.made("csv", *arguments, **options).decode()
        self.assertTrue(data.endswith("\r\n"))
        return list(csv.reader(io.StringIO(data, newline="")))

    def test_numbers_come_back(self):
        wild = np.array([[0.1, 1 / 3, -0.0, 3], [5e-324, 1.7976931348623157e308, 123456789.123456789, -1e-7]])
        narrow = np.array([[0.1, 1 / 3, -0.0], [1e-45, 3.4028235e38, 123456.79]], np.float32)
        for values in (wild, self.random.normal(size=(50, 20)), narrow,
                       self.random.normal(size=(50, 20)).astype(np.float32), np.array([[2**53 - 1, -7]])):
            back = np.array(self.rows(values), dtype=values.dtype)
            self.assertEqual(back.tobytes(), values.tobytes())
        self.assertEqual(self.made("csv", np.array([[0.1, 1e6, 0.5]], np.float32)), b"0.1,1e+06,0.5\r\n")
        self.assertEqual(self.made("csv", np.array([[np.nan, np.inf, -np.inf, -np.nan]])), b"nan,inf,-inf,nan\r\n")
        masked = self.made("csv", np.array([[1.0, 2], [3, 4]]), attend=np.array([[True, False]]))
        self.assertEqual(masked, b"1,\r\n3,\r\n")

    def test_labels_come_back_and_are_no_formulas(self):
        count = len(HOSTILE)
        values = self.random.random((count, count))
        rows = self.rows(values, row_labels=HOSTILE, column_labels=HOSTILE[::-1], rows="queries")
        expected = [label.decode(errors="replace") if isinstance(label, bytes) else label for label in HOSTILE]
        expected[HOSTILE.index(b"cut \xe2\x82")] = "cut \ufffd\ufffd"
        self.assertEqual(rows[0][0], "queries")
        for found, wanted in ((rows[0][1:], expected[::-1]), ([row[0] for row in rows[1:]], expected)):
            self.assertEqual([text.removeprefix("'") for text in found], wanted)
            for text in found:
                self.assertNotRegex(text, "^[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
        self.assertEqual(np.array([row[1:] for row in rows[1:]], float).tolist(), values.tolist())

    def test_several_matrices_one_below_the_other(self):
        values = self.random.random((2, 2, 2, 3))
        rows = self.rows(values, captions=["=a", "b", "c", "d"], column_labels=["x", "y", "z"], row_labels=["r", "s"])
        self.assertEqual(rows[0], ["matrix", "", "x", "y", "z"])
        self.assertEqual([row[:2] for row in rows[1:4]], [["'=a", "r"], ["'=a", "s"], ["b", "r"]])
        self.assertEqual(np.array([row[2:] for row in rows[1:]], float).tolist(), values.reshape(8, 3).tolist())
        self.assertEqual([row[0] for row in self.rows(values)][::2], ["0, 0", "0, 1", "1, 0", "1, 1"])

    def test_what_it_refuses(self):
        with self.assertRaisesRegex(RuntimeError, "expected a path that ends in .png, .svg or .csv"):
            view_matrix(self.folder / "a.jpg", np.eye(2))
        with self.assertRaisesRegex(RuntimeError, "view_matrix: .*/missing/a.png: cannot"):
            view_matrix(self.folder / "missing" / "a.png", np.eye(2))
        self.assertEqual(list(self.folder.iterdir()), [])


if __name__ == "__main__":
    tap.main(sys.argv[1:])
