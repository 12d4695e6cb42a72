"""Counts the tests of Meson logs (testlog.json), subtests each for itself: prints "passed failed",
and on stderr the names of those that failed and the last of what they said. What ran nothing, or
broke off, has failed."""
import json
import re
import sys

LINE = re.compile(r"^(not )?ok\b(?: \d+)?(?: - )?(.*?)\s*(#\s*(?:SKIP|skip)\b.*)?$", re.M)
PLAN = re.compile(r"^1\.\.(\d+)", re.M)


def count(test):
    """(number passed, names of the failed) of one test of the log."""
    name, output, fine = test["name"], test.get("stdout", ""), test["result"] in ("OK", "SKIP")
    plan = PLAN.search(output)
    if not plan:
        return (1, []) if test["result"] == "OK" else (0, [] if fine else [name])
    lines = LINE.findall(output)
    passed = sum(not bad and not skipped for bad, _, skipped in lines)
    failed = [f"{name}: {text}" for bad, text, _ in lines if bad]
    if int(plan[1]) == 0 or len(lines) < int(plan[1]):
        failed.append(f"{name}: {len(lines)} of {plan[1]} tests ran, {test['result']}")
    elif not fine and not failed:
        failed.append(f"{name}: {test['result']}, status {test['returncode']}")
    return passed, failed


def said(output, most=40):
    """What is told of failures: the comments below a "not ok", and lines that are not TAP."""
    kept, below = [], False
    for line in output.splitlines():
        if re.match(r"(not )?ok\b|1\.\.\d|TAP version", line):
            below = line.startswith("not")
        elif below or not line.startswith("#"):
            kept.append(line)
    return [line for line in kept if line.strip("# ")][-most:]


passed, failed = 0, []
for path in sys.argv[1:]:
    with open(path, encoding="utf-8", errors="replace") as log:
        for line in log:
            test = json.loads(line)
            good, bad = count(test)
            passed += good
            failed += bad
            for text in said(test.get("stdout", "")) if bad else []:
                print(f"    {test['name']}: {text}", file=sys.stderr)
for name in failed:
    print("failed:", name, file=sys.stderr)
if passed + len(failed) == 0:
    print("failed: no test ran", file=sys.stderr)
    failed.append("")
print(passed, len(failed))
