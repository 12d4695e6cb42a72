"""Runs a program in a folder of its own, and ends all of it when standard input closes, as it does
when whoever holds its other end is killed.

    keeper.py COMMANDS ANSWERS PROGRAM ARGUMENT...

The descriptors COMMANDS and ANSWERS become the program's 3 and 4. In an argument {folder} is the folder.
"""
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

PR_SET_CHILD_SUBREAPER = 36


def children():
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = stat.read_text().rpartition(")")[2].split()[1]
        except OSError:  # it has ended meanwhile
            continue
        if int(parent) == os.getpid():
            yield int(stat.parent.name)


def end_all():
    """Ends what was started. Whoever loses its parent becomes a child of this process, and so is next."""
    try:
        while True:
            for child in children():
                os.kill(child, signal.SIGKILL)
            os.waitpid(-1, 0)
    except ChildProcessError:
        pass


def start(folder, commands, answers, arguments):
    os.dup2(commands, 3)
    os.dup2(answers, 4)
    for number in (commands, answers):
        os.close(number)
    environment = {**os.environ, "HOME": folder, "TMPDIR": folder, "XDG_CONFIG_HOME": folder,
                   "XDG_CACHE_HOME": folder, "XDG_RUNTIME_DIR": folder, "LANG": "C.UTF-8",
                   "DBUS_SESSION_BUS_ADDRESS": "disabled:"}
    subprocess.Popen([argument.replace("{folder}", folder) for argument in arguments], env=environment,
                     stdin=subprocess.DEVNULL, stdout=sys.stderr, pass_fds=(3, 4), start_new_session=True)
    for number in (3, 4):  # now only the program holds them, so that its end is seen
        os.close(number)


def main():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    folder = tempfile.mkdtemp(prefix="gradus-browser-")
    try:
        start(folder, int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
        sys.stdin.buffer.read()
    finally:
        end_all()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
