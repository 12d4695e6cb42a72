"""What the shells complete: bash and zsh are run on a terminal of their own and typed to."""
import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import sys
import time

from common import PROGRAM, Case, gradus, tap

USAGE = 2
# Typed, and what a tab makes of it: in both shells.
TYPED = [
    ("gradus tra", "gradus train "),
    ("gradus att", "gradus attention "),
    ("gradus attention ex", "gradus attention explain "),
    ("gradus help gradc", "gradus help gradcheck "),
    ("gradus help attention ma", "gradus help attention mask "),
    ("gradus completion z", "gradus completion zsh "),
    ("gradus train --task rev", "gradus train --task reverse "),
    ("gradus train --task=rev", "gradus train --task=reverse "),
    ("gradus check --layout seq", "gradus check --layout sequence_first "),
    ("gradus attention run case.h5 out.h5 --kernel co", "gradus attention run case.h5 out.h5 --kernel composed "),
    ("gradus train --tied f", "gradus train --tied false "),
    ("gradus train --text a_t", "gradus train --text a_text.txt "),
    ("gradus train --text=a_t", "gradus train --text=a_text.txt "),
    ("gradus train --out a_", "gradus train --out a_folder/"),
    ("gradus inspect a_t", "gradus inspect a_text.txt "),
    ("gradus attention mask -o a_t", "gradus attention mask -o a_text.txt "),
    ("gradus attention run a_t", "gradus attention run a_text.txt "),
    ("gradus train --steps a_t", "gradus train --steps a_t"),
    ("gradus check --kdim a_t", "gradus check --kdim a_t"),
    ("gradus check -- a_t", "gradus check -- a_text.txt "),
    ("gradus gradcheck a_t", "gradus gradcheck a_t"),
]
# What the two make of an option's name: zsh goes on with "=" where a value follows.
OPTION = "gradus train --embed"


def commands():
    return re.findall(r"^  (\w+(?: \w+)?)  ", gradus("help").stdout, re.M)


def options(command):
    text = gradus("help", *command.split()).stdout.split("\nExamples\n")[0]
    return set(re.findall(r"^  (?:-\w, )?--([\w-]+)", text, re.M))


class Terminal:
    """A shell at work in a folder. Ctrl-T writes the line that is typed to a file, Ctrl-U empties it."""

    def __init__(self, folder, *command, setup):
        self.folder, self.shown = folder, b""
        (folder / "a_text.txt").write_text("text")
        (folder / "a_folder").mkdir()
        self.child, self.end = pty.fork()
        if self.child == 0:
            os.chdir(folder)
            os.environ.update(TERM="dumb", PATH=f"{pathlib.Path(PROGRAM).parent}:/usr/bin:/bin", HOME=str(folder),
                              COLUMNS="300", LINES="300", LC_ALL="C.UTF-8")
            os.execvp(command[0], command)
        subprocess.run(["stty", "cols", "300", "rows", "300"], stdin=self.end, check=True)
        (folder / "setup").write_text(setup + "\n: > ready\n")
        self.type("source ./setup\n")
        self.wait(lambda: (folder / "ready").exists())

    def type(self, text):
        os.write(self.end, text.encode())

    def read(self, seconds):
        """True if something came within that time. A terminal hands over 4 KiB at a time at the most."""
        came = bool(select.select([self.end], [], [], seconds)[0])
        if came:
            self.shown += os.read(self.end, 1 << 16)
        return came

    def wait(self, done):
        limit = time.monotonic() + 60
        while not done():
            if time.monotonic() > limit:
                raise TimeoutError(self.shown.decode(errors="replace"))
            self.read(0.02)

    def completed(self, typed, tabs=1):
        """The line after a tab, and what was listed."""
        line = self.folder / "line"
        line.unlink(missing_ok=True)
        self.shown = b""
        self.type("\x15" + typed + "\t" * tabs)
        self.type("\x14")
        self.wait(lambda: line.exists() and line.read_text().endswith("\n"))
        while self.read(0.05):
            pass
        return line.read_text()[:-1], self.shown.decode(errors="replace")

    def close(self):
        os.close(self.end)
        os.waitpid(self.child, 0)


class Shells:
    """What holds of both."""

    def setUp(self):
        super().setUp()
        if not shutil.which(self.shell):
            self.skipTest(f"NOT CHECKED: there is no {self.shell} here")
        self.terminal = Terminal(self.folder, *self.call, setup=self.setup)
        self.addCleanup(self.terminal.close)

    def test_what_a_tab_makes(self):
        for typed, expected in TYPED:
            with self.subTest(typed=typed):
                self.assertEqual(self.terminal.completed(typed)[0], expected)

    def test_an_options_name(self):
        self.assertEqual(self.terminal.completed(OPTION)[0], self.option)

    def test_all_options_of_all_commands_are_listed(self):
        for command in commands():
            _, shown = self.terminal.completed(f"gradus {command} --", tabs=2)
            listed = set(re.findall(r"(?<!\S)--([a-z][\w-]*)", shown.split(f"gradus {command} --", 1)[1]))
            if len(options(command)) > 1:
                self.assertEqual(listed, options(command), command)
            else:  # and then it is taken at once
                self.assertEqual(self.terminal.completed(f"gradus {command} --")[0], f"gradus {command} --help ")

    def test_all_commands_are_listed(self):
        _, shown = self.terminal.completed("gradus ", tabs=2)
        words = set(re.findall(r"\w+", shown))
        self.assertLessEqual({command.split()[0] for command in commands()}, words)
        for command in commands():
            if " " in command:
                first, second = command.split()
                self.assertIn(second, self.terminal.completed(f"gradus {first} ", tabs=2)[1])


class Bash(Shells, Case):
    shell, call, option = "bash", ["bash", "--norc", "--noprofile", "-i"], OPTION + "-dim "
    setup = ("PS1='> '\nsource <(gradus completion bash)\nbind 'set completion-query-items 0'\n"
             "bind 'set page-completions off'\nbind 'set enable-bracketed-paste off'\n"
             """bind -x '"\\C-t": printf "%s\\n" "$READLINE_LINE" > line'""")

    def test_where_equals_signs_do_not_part_words(self):
        self.terminal.type('\x15COMP_WORDBREAKS=${COMP_WORDBREAKS//=}\n')
        self.assertEqual(self.terminal.completed("gradus train --task=rev")[0], "gradus train --task=reverse ")

    def test_names_with_spaces(self):
        (self.folder / "b text.txt").write_text("")
        self.assertEqual(self.terminal.completed("gradus train --text b")[0], "gradus train --text b\\ text.txt ")


class Zsh(Shells, Case):
    shell, call, option = "zsh", ["zsh", "-f", "-i"], OPTION + "-dim="
    setup = ("PS1='> '\nunsetopt zle_bracketed_paste 2>/dev/null\nunset zle_bracketed_paste\nLISTMAX=10000\n"
             "mkdir -p functions\ngradus completion zsh > functions/_gradus\nfpath=($PWD/functions $fpath)\n"
             "autoload -Uz compinit\ncompinit -u -D\nsetopt list_packed\nunsetopt auto_remove_slash\n"
             "written() { print -r -- \"$BUFFER\" > line }\nzle -N written\nbindkey -e\n"
             "bindkey '^T' written\nbindkey '^U' kill-whole-line")

    def test_as_a_script(self):
        self.terminal.type("\x15unfunction _gradus; compdef -d gradus; source <(gradus completion zsh)\n")
        self.assertEqual(self.terminal.completed("gradus tra")[0], "gradus train ")


class Program(Case):
    def test_what_is_wrong_is_said(self):
        for arguments in ([], ["fish"], ["bash", "zsh"]):
            self.expect(USAGE, gradus("completion", *arguments), "gradus completion: name the shell: bash or zsh")


if __name__ == "__main__":
    tap.main(sys.argv[1:])
