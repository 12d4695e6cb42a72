"""The reference that Doxygen makes of the public headers: no warning, and every function described."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as tree

import tap

ROOT = pathlib.Path(__file__).resolve().parent.parent
FUNCTION = re.compile(r"^(?:GRD_NEW|GRD_API)\s+[^;{}]*?\b(grd_\w+)\(", re.M)
HEADERS = sorted(path for path in (ROOT / "include/gradus").glob("*.h") if path.name != "gradus.h")

# A header in small, and what Doxygen is to read of it.
SMALL = r'''/* Small things. With grd_one, at 50%.
 *
 *     one(two)
 * and on. */
#include <x.h>

/* ---- First part ----
 * Of both. */
/* One or <two>, `xyz`. */
GRD_API int grd_one(void);
GRD_NEW int grd_two(void); /* of two */

GRD_API int grd_three(void);
typedef struct grd_pair {
    int a; /* the
            * first */
    /* The others. */
    int b, c;
} grd_pair;
#define X(y) /* as it is */ \
    y /* too */
/* ---- Second ---- */
/* 1. This
 * and that.
 * 2. And "#". */
typedef enum grd_kind { GRD_A, GRD_B } grd_kind;
'''
MARKED = r'''/** @defgroup small small.h: small things
Small things. With @ref grd_one "grd_one", at 50\%.

@verbatim
    one(two)
@endverbatim
and on.
*/
/** @{ */
#include <x.h>

/** @name First part

Of both.
*/
/** @{ */
/** One or \<two\>, @c xyz. */
GRD_API int grd_one(void);
/** One or \<two\>, @c xyz. */
GRD_NEW int grd_two(void); /**< of two */

/** First part */
GRD_API int grd_three(void);
typedef struct grd_pair {
    int a; /**< the
first */
/** The others. */
    int b, c;
} grd_pair;
#define X(y) /* as it is */ \
    y /* too */
/** @} */
/** @name Second


*/
/** @{ */
/** 1&nbsp; This
and that.

2&nbsp; And \"\#\". */
typedef enum grd_kind { GRD_A, GRD_B } grd_kind;

/** @} */
/** @} */
'''


def functions(headers):
    """What is to be described: all but what macros call."""
    names = set()
    for path in headers:
        names |= set(FUNCTION.findall(re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)))
    return {name for name in names if not re.match("grd_at(_|$)", name)}


def described(folder):
    """Functions with words in the reference's XML."""
    names = set()
    for path in (folder / "xml").glob("group__*.xml"):
        for member in tree.parse(path).iter("memberdef"):
            words = "".join(member.find("briefdescription").itertext()) + \
                "".join(member.find("detaileddescription").itertext())
            if member.get("kind") == "function" and re.search(r"\w", words):
                names.add(member.find("name").text)
    return names


class Filter(unittest.TestCase):
    maxDiff = None

    def test_a_small_header(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "small.h")
            path.write_text(SMALL)
            done = subprocess.run([sys.executable, ROOT / "docs/reference.py", path], capture_output=True, text=True)
        self.assertEqual((done.stderr, done.stdout), ("", MARKED))

    def test_code_stays(self):
        """But for comments and spaces, the filter changes nothing, except that codes of errors are written out."""
        def bare(text):
            text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
            return re.sub(r"#define GRD_STATUS_ENUM.*?#undef GRD_STATUS_ENUM\s", "", text, flags=re.S).split()

        for path in HEADERS:
            done = subprocess.run([sys.executable, ROOT / "docs/reference.py", path], capture_output=True, text=True)
            shown = re.sub(r"(typedef enum grd_status \{).*?\}", r"\1 }", done.stdout, flags=re.S)
            self.assertEqual(bare(shown), bare(path.read_text()), path.name)


class Reference(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        if not shutil.which("doxygen"):
            self.skipTest("NOT CHECKED: there is no doxygen here")
        holder = tempfile.TemporaryDirectory(prefix="gradus-reference-")
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)

    def make(self, root):
        """Exit status and what Doxygen said."""
        done = subprocess.run(["sh", root / "docs/reference.sh", self.folder / "out", "GENERATE_XML = YES"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout

    def copy(self):
        root = self.folder / "tree"
        shutil.copytree(ROOT / "include", root / "include")
        shutil.copytree(ROOT / "docs", root / "docs")
        shutil.copy(ROOT / "meson.build", root)
        return root

    def test_no_warning_and_every_function_described(self):
        self.assertEqual(self.make(ROOT), (0, ""))
        self.assertEqual(functions(HEADERS) - described(self.folder / "out"), set())
        self.assertGreater(len(functions(HEADERS)), 250)
        index = (self.folder / "out/index.html").read_text()
        self.assertEqual(re.findall(r'href="group__(\w+)\.html"[^>]*>\1\.h<', index), [path.stem for path in HEADERS])
        self.assertIn("Optimizers, schedules, gradient norms.", index)

    def test_a_function_without_a_word_is_noticed(self):
        root = self.copy()
        header = root / "include/gradus/optim.h"
        header.write_text(header.read_text().replace("typedef struct grd_optimizer", "GRD_API int grd_silent(void);\n\n"
                                                     "typedef struct grd_optimizer", 1))
        self.assertEqual(self.make(root)[0], 0)
        headers = [root / "include/gradus" / path.name for path in HEADERS]
        self.assertEqual(functions(headers) - described(self.folder / "out"), {"grd_silent"})

    def test_a_warning_is_an_error(self):
        root = self.copy()
        page = root / "docs/reference.dox"
        page.write_text(page.read_text().replace("@section reading", "@ref nonesuch\n\n@section reading"))
        status, said = self.make(root)
        self.assertNotEqual(status, 0)
        self.assertIn("nonesuch", said)


if __name__ == "__main__":
    tap.main(sys.argv[1:])
