"""The manual and --help: one table tells both, so they must say the same, of every command, and man
must take the pages without a complaint."""
import pathlib
import re
import shutil
import subprocess
import sys

from common import Case, gradus, tap

USAGE, FAILED = 2, 1
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "EXIT STATUS", "ENVIRONMENT", "SEE ALSO"]


def commands():
    """All names, as the program lists them."""
    return re.findall(r"^  (\w+(?: \w+)?)  ", gradus("help").stdout, re.M)


def options(command):
    """Letter, name, value and text of each option that --help lists."""
    lines = gradus("help", *command.split()).stdout.split("\nExamples\n")[0]
    for match in re.finditer(r"^  (?:-(\w), )?--([\w-]+)(?: (\S+))?(?:\n {26})?  +(.*)$", lines, re.M):
        yield match.groups("")


def page(command):
    return gradus("manual", *command.split()).stdout


def plain(roff):
    """Text of roff without fonts and escapes."""
    text = re.sub(r"\\f[BIR]", "", roff)
    for escape, char in {r"\-": "-", r"\(aq": "'", r"\(dq": '"', r"\(ha": "^", r"\(ti": "~", r"\(ga": "`",
                         r"\&": "", r"\e": "\\"}.items():
        text = text.replace(escape, char)
    return text


class Manual(Case):
    def check_tool(self, *command):
        """What the tool says of any page: nothing."""
        if not shutil.which(command[0]):
            self.skipTest(f"NOT CHECKED: there is no {command[0]} here")
        self.expect(0, gradus("manual", "--output", self.folder))
        pages = sorted(self.folder.iterdir())
        self.assertEqual(len(pages), len(commands()) + 1)
        for path in pages:
            done = subprocess.run([*command, path], capture_output=True, text=True)
            self.assertEqual(done.stdout + done.stderr, "", path.name)

    def test_mandoc_takes_every_page_without_a_warning(self):
        self.check_tool("mandoc", "-T", "lint", "-W", "warning")

    def test_groff_takes_every_page_without_a_warning(self):
        self.check_tool("groff", "-man", "-ww", "-z", "-Tutf8")

    def test_a_warning_would_be_seen(self):
        for command in (["mandoc", "-T", "lint", "-W", "warning"], ["groff", "-man", "-ww", "-z", "-Tutf8"]):
            if shutil.which(command[0]):
                done = subprocess.run(command, input=".TH A 1 2026-01-01\n.SH NAME\na \\- b\n.XX\n.SS\n",
                                      capture_output=True, text=True)
                self.assertNotEqual(done.stdout + done.stderr, "", command)

    def test_a_terminal_of_80_columns_holds_every_page(self):
        if not shutil.which("man"):
            self.skipTest("NOT CHECKED: there is no man here")
        self.expect(0, gradus("manual", "-o", self.folder))
        for path in self.folder.iterdir():
            done = subprocess.run(["man", "-l", path], capture_output=True, text=True,
                                  env={"PATH": "/usr/bin:/bin", "MANWIDTH": "80", "LC_ALL": "C.UTF-8"})
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual([line for line in done.stdout.splitlines() if len(line) > 80], [], path.name)
            # What is typed can be copied: its dashes are those of a keyboard.
            typed = re.sub(r".\x08", "", done.stdout)
            self.assertRegex(typed, "--help")
            self.assertIn("gradus" if path.name == "gradus.1" else path.stem.replace("-", " ", 2), typed)

    def test_every_command_has_a_page_of_all_sections(self):
        for command in commands():
            text = page(command)
            name = "gradus-" + command.replace(" ", "-")
            self.assertTrue(text.startswith(f".TH {name.upper()} 1 20"), text[:80])
            titles = [title.strip('"') for title in re.findall(r"^\.SH (.*)$", text, re.M)]
            self.assertEqual([title for title in titles if title != "FILES"], SECTIONS, command)
            self.assertRegex(plain(text), rf"\.SH NAME\n{name} - [a-z].*[^.]\n")
            self.assertRegex(plain(text), rf"\.SH SYNOPSIS\ngradus {command}\b")
            self.assertIn(".BR gradus (1)", text)

    def test_the_programs_page_names_all_commands(self):
        text = plain(self.expect(0, gradus("manual")).stdout)
        for command in commands():
            self.assertIn(f".TP\n{command}\n", text)
            self.assertIn(f".BR gradus-{command.replace(' ', '-')} (1)", text)

    def test_a_summary_starts_with_a_sentence(self):
        for command, summary in re.findall(r"^  (\w+(?: \w+)?)  +(.*)$", gradus("help").stdout, re.M):
            self.assertRegex(summary, r"^[A-Z].*\.$", command)

    def test_a_page_has_the_options_of_help_and_no_other(self):
        for command in commands():
            text, found = plain(page(command)), list(options(command))
            listed = text.split(".SH OPTIONS\n")[1].split(".SH EXAMPLES")[0]
            terms = re.findall(r"^\.TP\n(?:-(\w), )?--([\w-]+)", listed, re.M)
            self.assertEqual(terms, [(letter, name) for letter, name, _, _ in found], command)
            self.assertIn(("h", "help"), terms)
            joined = " ".join(listed.split())
            for _, name, value, words in found:
                words, default = re.fullmatch(r"(.*?)(?: \[(.*)\])?", words).groups()
                self.assertIn(" ".join(words.split()), joined)
                if default and value:
                    self.assertRegex(joined, rf"--{name} .*?\[default {re.escape(default)}[],]")

    def test_ranges_are_in_words(self):
        text = " ".join(plain(page("train")).split())
        for words in ["--dropout P share of activations dropped in training .br [default 0, from 0 to below 1]",
                      "--beta2 X and of the square .br [default 0.99, above 0 to below 1]",
                      "--eps X added to the root of the square .br [default 1e-8, above 0]",
                      "--steps N steps in all .br [default 2000, at least 0]",
                      "--norm-eps X added to a variance .br [default 1e-5, above 0 to 1]"]:
            self.assertIn(words, text)

    def test_examples_are_those_of_help(self):
        for command in commands():
            calls = re.findall(r"^  (.*?)(?:  .*)?$", gradus("help", *command.split()).stdout.split("\nExamples\n")[1],
                               re.M)
            shown = re.findall(r"^\.EX\n(.*?)\n\.EE$", plain(page(command)), re.M | re.S)
            self.assertEqual([re.sub(r" \\\n +", " ", one) for one in shown], calls)

    def test_variables_are_those_that_are_read(self):
        read = set()
        for folder in ("tools", "tensor", "nn", "view", "autograd"):
            for source in (ROOT / folder).rglob("*.c"):
                read |= set(re.findall(r'getenv\("(\w+)"\)', source.read_text()))
        text = plain(page("")).split(".SH ENVIRONMENT\n")[1].split(".SH")[0]
        self.assertEqual(set(re.findall(r"^\.TP\n(\w+)$", text, re.M)), read)

    def test_what_is_wrong_is_said(self):
        self.expect(USAGE, gradus("manual", "trian"), 'gradus manual: there is no command "trian"')
        self.expect(USAGE, gradus("manual", "train", "-o", "x"), "--output writes all pages: name no COMMAND")
        self.expect(FAILED, gradus("manual", "-o", "/dev/null/man1"), "/dev/null")


class Help(Case):
    def test_three_ways_ask_for_the_same(self):
        for command in commands():
            words = command.split()
            help_text = self.expect(0, gradus("help", *words)).stdout
            self.assertTrue(help_text.startswith(f"usage: gradus {command} "), help_text[:80])
            for letter in ("--help", "-h"):
                self.assertEqual(self.expect(0, gradus(*words, letter)).stdout, help_text)
        self.assertEqual(gradus("help").stdout, gradus("--help").stdout)
        self.assertEqual(gradus("help").stdout, gradus("-h").stdout)

    def test_a_family_lists_its_own(self):
        text = self.expect(0, gradus("help", "attention")).stdout
        self.assertEqual(re.findall(r"^  (\w+ \w+) ", text, re.M),
                         ["attention run", "attention explain", "attention mask"])
        self.assertEqual(text, gradus("attention", "--help").stdout)

    def test_what_is_wrong_is_said(self):
        self.expect(USAGE, gradus("help", "trian"), 'gradus help: there is no command "trian"')
        self.expect(USAGE, gradus("help", "attention", "rum"), 'there is no command "attention rum"')

    def test_letters(self):
        self.assertEqual(self.expect(0, gradus("-V")).stdout, gradus("--version").stdout)
        picture = self.folder / "mask.svg"
        for arguments in (["-o", picture], [f"-o{picture}"]):
            self.expect(0, gradus("attention", "mask", "--queries", "3", "--causal", *arguments))
            self.assertIn("<svg", picture.read_text())
            picture.unlink()
        self.assertEqual(self.expect(USAGE, gradus("train", "-x")).stderr.splitlines()[0],
                         "gradus train: unknown option -x")
        self.expect(USAGE, gradus("attention", "mask", "-o"), "-o needs a value")


if __name__ == "__main__":
    tap.main(sys.argv[1:])
