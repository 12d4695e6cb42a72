"""Puts figures into the table of docs/tasks.md: python3 docs/tasks.py FIGURES.json...

FIGURES come from gradus tasks --json; rows that are not among them stay as they are."""
import json
import pathlib
import sys

PAGE = pathlib.Path(__file__).resolve().parent / "tasks.md"
HEAD = ("| task | model | steps to 99% | right | looks at | head | score | uniform | lift | without it: zero, mean "
        "| cpu s |\n|---|---|---|---|---|---|---|---|---|---|---|\n")
ORDER = ["copy", "reverse", "sort", "add", "recall", "induction", "induction-1-layer", "dyck", "histogram", "modadd"]


def plural(count, word):
    return f"{count} {word}{'s' if count != 1 else ''}"


def first_cells(task):
    model = task["model"]
    shape = f"{plural(model['layers'], 'layer')}, {plural(model['heads'], 'head')}, d {model['embed_dim']}"
    if model["attention_only"]:
        shape += ", attention only"
    steps = "never" if task["steps"] is None else f"{task['steps']:,}"
    return [task["name"], shape, steps, f"{100 * task['right']:.1f}%"]


def pattern_cells(task, pattern):
    place = pattern["layer"], pattern["head"]
    head = next(head for head in task["heads"] if (head["layer"], head["head"]) == place)
    if task["without"]["all_heads"]:
        head = task["without"]
    return [pattern["pattern"], f"{place[0]}.{place[1]}", f"{pattern['score']:.2f}", f"{pattern['uniform']:.2f}",
            f"{pattern['lift']:.1f}", f"{head['zero']:.2f}, {head['mean']:.2f}"]


def lines_of(task):
    """A line for the answers' pattern, and one for each other."""
    for i, pattern in enumerate(task["patterns"]):
        first = first_cells(task) if i == 0 else [""] * 4
        last = f"{task['cpu_seconds']:.0f}" if i == 0 else ""
        yield f"| {' | '.join(first + pattern_cells(task, pattern) + [last])} |\n"


def rows_of(table):
    """The lines of each task, by its name."""
    rows, name = {}, None
    for line in table.splitlines(keepends=True)[2:]:
        name = line.split("|")[1].strip() or name
        rows.setdefault(name, []).append(line)
    return rows


def main():
    before, table, after = PAGE.read_text().split("<!-- figures -->\n")
    rows = rows_of(table)
    for path in sys.argv[1:]:
        for task in json.loads(pathlib.Path(path).read_text())["tasks"]:
            rows[task["name"]] = list(lines_of(task))
    table = HEAD + "".join("".join(rows[name]) for name in ORDER if name in rows)
    PAGE.write_text("<!-- figures -->\n".join([before, table, after]))


main()
