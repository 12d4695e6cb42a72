"""gradus tasks: the quick tasks come out as their attention is known, a model of too few layers does not, and
a gate that fails says which."""
import json
import re
import signal
import subprocess
import sys
import time

from common import PROGRAM, Case, gradus, tap

QUICK = ["copy", "reverse", "recall", "induction", "induction-1-layer"]


class Tasks(Case):
    def test_quick_ones_look_where_they_must(self):
        result = self.expect(0, gradus("tasks", "--quick", "--json", timeout=600))
        document = json.loads(result.stdout)
        rows = {row["name"]: row for row in document["tasks"]}
        self.assertEqual(list(rows), QUICK)
        self.assertTrue(document["passed"])
        one_layer = rows.pop("induction-1-layer")
        self.assertTrue(one_layer["must_fail"] and one_layer["passed"])
        self.assertLess(one_layer["right"], 0.5)
        self.assertIsNone(one_layer["steps"])
        self.assertEqual([gate["gate"] for gate in one_layer["gates"]], ["accuracy"])
        for name, row in rows.items():
            with self.subTest(task=name):
                self.check_row(row)
        self.assertIn("unseen sequences right", result.stderr)

    def check_row(self, row):
        """By the figures themselves, and not by the program's verdict."""
        head = row["patterns"][0]
        self.assertGreaterEqual(row["right"], 0.99)
        self.assertGreaterEqual(head["score"], 5 * head["uniform"])
        self.assertAlmostEqual(head["lift"], head["score"] / head["uniform"], 5)
        every = {(h["layer"], h["head"]): h for h in row["heads"]}
        self.assertEqual(len(every), row["model"]["layers"] * row["model"]["heads"])
        best = every[head["layer"], head["head"]]
        self.assertEqual(best["scores"][0], max(h["scores"][0] for h in row["heads"]))
        self.assertEqual(best["scores"][0], head["score"])
        self.assertTrue(best["zero"] > 1 and best["mean"] > 0.5, best)
        self.assertEqual([gate["gate"] for gate in row["gates"]], ["accuracy", "lift", "zero", "mean"])
        self.assertTrue(all(gate["passed"] for gate in row["gates"]) and row["passed"])
        # In two layers the second reads what the first prepared.
        if row["name"] in ("recall", "induction"):
            self.assertEqual((head["layer"], row["patterns"][1]["layer"]), (1, 0))
            self.assertGreater(row["patterns"][1]["lift"], 2)

    def test_a_gate_that_fails_is_told(self):
        result = self.expect(1, gradus("tasks", "recall", "--steps", 2), "FAILED: 0.0% of unseen sequences are right, "
                             "expected at least 99%", stream="stdout")
        self.assertRegex(result.stdout, r"recall +2L 1H 64 +- +0\.0% .* FAILED\n")
        document = json.loads(self.expect(1, gradus("tasks", "recall", "--steps", 2, "--json")).stdout)
        self.assertFalse(document["passed"] or document["tasks"][0]["passed"])
        self.assertEqual([gate["gate"] for gate in document["tasks"][0]["gates"]], ["accuracy"],
                         "heads of a model that solves nothing are not judged")

    def test_heads_are_judged_after_accuracy(self):
        result = self.expect(1, gradus("tasks", "reverse", "--lift", 17, "--json"))
        row = json.loads(result.stdout)["tasks"][0]
        self.assertEqual([(gate["gate"], gate["passed"]) for gate in row["gates"]],
                         [("accuracy", True), ("lift", False)], "16 keys are seen: the most is 16")
        self.expect(1, gradus("tasks", "reverse", "--lift", 17), "FAILED: no head looks there more than 1",
                    " times as much as uniform weights, expected 17.0", stream="stdout")

    def test_a_seed_gives_the_same_figures(self):
        runs = [json.loads(gradus("tasks", "reverse", "--steps", 3, "--json", "--seed", seed).stdout)["tasks"][0]
                for seed in (4, 4, 5)]
        for run in runs:
            del run["cpu_seconds"]
        self.assertEqual(runs[0], runs[1])
        self.assertNotEqual(runs[0], runs[2])

    def test_a_task_means_all_its_models(self):
        rows = re.findall(r"^induction\S*", gradus("tasks", "induction", "--steps", 1).stdout, re.M)
        self.assertEqual(rows, ["induction", "induction-1-layer"])

    def test_it_stops_when_asked(self):
        run = subprocess.Popen([PROGRAM, "tasks", "add", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True)
        self.assertIn("step 1/", run.stderr.readline())
        run.send_signal(signal.SIGINT)
        started = time.monotonic()
        out, _ = run.communicate(timeout=60)
        self.assertEqual(run.returncode, 130)
        self.assertLess(time.monotonic() - started, 30)
        self.assertEqual(json.loads(out), {"passed": False, "seed": 1, "tasks": []})


tap.main(sys.argv[1:])
