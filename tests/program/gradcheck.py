"""gradus gradcheck: everything is listed and passes, names and patterns, JSON, Ctrl-C."""
import fcntl
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading

from common import PROGRAM, Case, gradus, tap

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# Ops of ops.h without a derivative; _dims belongs to the op without it.
WITHOUT = {"eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_not", "isfinite", "all_dims",
           "any_dims", "argmax", "one_hot", "fill_", "add_", "add_scaled_", "mul_", "mul_scalar_", "copy_"}
ROW = re.compile(r"^(\S+) +(\d+) +(\d+) +(\S+e[-+]\d+) +(\S+e[-+]\d+) +(\d+\.\d+)  (\S.*)$")


def rows_of(output):
    return [match for match in map(ROW.match, output.splitlines()) if match]


class Gradcheck(Case):
    def names(self, *arguments):
        result = self.expect(0, gradus("gradcheck", "--list", *arguments))
        return [line.split() for line in result.stdout.splitlines()]

    def test_every_op_of_the_contract_is_listed(self):
        contract = (ROOT / "include/gradus/ops.h").read_text()
        ops = set(re.findall(r"^GRD_(?:NEW|API) .*?\bgrd_(\w+)\(", contract, re.M)) - WITHOUT
        ops = {re.sub("_dims$", "", op) for op in ops if not op.startswith("at_")}
        ops = {op for op in ops if re.sub("_scalar$", "", op) not in WITHOUT} - WITHOUT
        self.assertGreater(len(ops), 60)
        listed = {name for kind, name in self.names() if kind == "op"}
        self.assertEqual(sorted(ops - listed), [])

    def test_list_takes_names_patterns_and_json(self):
        self.assertEqual(self.names("softmax"), [["op", "softmax"]])
        self.assertEqual([name for _, name in self.names("*softmax")], ["softmax", "log_softmax"])
        mha = [name for kind, name in self.names("MultiheadAttention") if kind == "module"]
        self.assertIn("MultiheadAttention/masks", mha)
        self.assertIn(["attention", "sdpa/causal"], self.names("sdpa/*"))
        listed = json.loads(self.expect(0, gradus("gradcheck", "--list", "--json", "sum", "Linear")).stdout)
        self.assertEqual(listed, [{"name": "sum", "kind": "op"}, {"name": "Linear", "kind": "module"}])

    def test_everything_passes(self):
        result = self.expect(0, gradus("gradcheck", timeout=250))
        rows = rows_of(result.stdout)
        self.assertEqual([row[1] for row in rows], [name for _, name in self.names()])
        self.assertRegex(result.stdout.splitlines()[-1],
                         rf"^{len(rows)} passed, {sum(int(row[2]) for row in rows)} cases, "
                         rf"{sum(int(row[3]) for row in rows)} derivatives, \d+\.\d s; the worst error is ")
        for row in rows:
            self.assertLess(float(row[4]), 0.1, row[0])
            self.assertLess(float(row[5]), 0.1, row[0])
            self.assertRegex(row[7], r"^(input \d+|[\w.]+)( \[[\d, ]*\])?: \S+, numeric \S+$")
        print("# " + result.stdout.splitlines()[-1])

    def test_another_seed_gives_other_numbers_and_the_same_seed_the_same(self):
        def numbers(*arguments):
            result = self.expect(0, gradus("gradcheck", "--json", "gelu", *arguments))
            return json.loads(result.stdout)["rows"][0]["gradcheck"]["analytic"]

        self.assertEqual(numbers("--seed", 7), numbers("--seed", 7))
        self.assertNotEqual(numbers("--seed", 7), numbers("--seed", 8))

    def test_json_says_what_the_table_says(self):
        result = self.expect(0, gradus("gradcheck", "--json", "matmul", "LayerNorm"))
        report = json.loads(result.stdout)
        self.assertEqual({key: report[key] for key in ("passed", "stopped", "seed", "fast", "eps", "atol", "rtol")},
                         {"passed": True, "stopped": False, "seed": 1, "fast": False, "eps": 1e-6, "atol": 1e-5,
                          "rtol": 1e-3})
        table = rows_of(result.stderr)
        self.assertEqual([row["name"] for row in report["rows"]], ["matmul", "LayerNorm"])
        for row, line in zip(report["rows"], table, strict=True):
            self.assertEqual([row["name"], str(row["cases"]), str(row["derivatives"])], [line[1], line[2], line[3]])
            self.assertTrue(row["passed"] and row["failed"] == 0 and row["walks_apart"] < 1e-9)
            for check in (row["gradcheck"], row["gradgradcheck"]):
                error = abs(check["analytic"] - check["numeric"]) / (1e-5 + 1e-3 * abs(check["numeric"]))
                self.assertTrue(check["passed"] and check["error"] <= 1)
                self.assertAlmostEqual(error, check["error"], places=9)
                self.assertTrue(all(isinstance(i, int) for i in check["index"]))
        self.assertIn(report["rows"][1]["gradcheck"]["variable"], ("input 0", "weight", "bias"))

    def test_fast_compares_fewer(self):
        def derivatives(*arguments):
            report = json.loads(self.expect(0, gradus("gradcheck", "--json", "softmax", *arguments)).stdout)
            return report["rows"][0]["derivatives"], report["rows"][0]["gradcheck"]["index"]

        self.assertEqual(derivatives("--fast")[1], [])
        self.assertLess(derivatives("--fast")[0], derivatives()[0] / 10)

    def test_unknown_names_are_usage_errors_with_the_nearest(self):
        for name, words in (("sofmax", 'nothing is called "sofmax" (did you mean "softmax"?); --list names all'),
                            ("MultiheadAtention", '(did you mean "MultiheadAttention"?)'),
                            ("sdpa/casual", '(did you mean "sdpa/causal"?)'),
                            ("xyz*", 'nothing is called "xyz*"; --list names all'),
                            ("a\x1b[2J", "a\\u{1b}[2J")):
            result = self.expect(2, gradus("gradcheck", "sum", name), words)
            self.assertEqual(result.stdout, "")
        self.expect(2, gradus("gradcheck", "--list", "sofmax"), "softmax")
        self.expect(2, gradus("gradcheck", "--sed", "3"), 'did you mean "seed"?')
        self.expect(2, gradus("gradcheck", "--seed", "-1"), "--seed: -1 is not in [0,")

    def test_what_fails_is_shown_and_is_the_status(self):
        def wrong(*arguments):
            return subprocess.run([os.environ["GRADUS_WRONG_ROWS"], "gradcheck", *arguments], capture_output=True,
                                  text=True, timeout=60)

        result = self.expect(1, wrong())
        lines = result.stdout.splitlines()
        self.assertEqual([row[1] for row in rows_of(result.stdout) if row[7].startswith("FAILED in 2")],
                         ["off", "severed", "recorded"])
        found = {lines[i].split()[0]: lines[i + 1] for i in range(len(lines) - 1) if "FAILED in" in lines[i]}
        self.assertRegex(found["off"], r"^  gradcheck of off, 1%(, inputs transposed)?: d output (\[\d, \d\]) / d input 1 "
                                       r"\2: analytic \S+, numeric \S+, relative error 9\.9e-03$")
        self.assertRegex(found["severed"], r"^  gradgradcheck of severed(, inputs transposed)?: d output \[\] / d ")
        self.assertRegex(found["recorded"], r"^  gradients of recorded, recorded and not recorded: \S+ apart$")
        self.assertRegex(found["fails"], r"^  gradcheck of fails: not checked: matmul: inner sizes differ")
        self.assertRegex(lines[-1], r"^4 of 6 FAILED, 14 cases, \d+ derivatives, ")
        self.expect(0, wrong("right", "last"))
        self.expect(1, wrong("off", "--fast"))
        report = json.loads(self.expect(1, wrong("--json")).stdout)
        self.assertFalse(report["passed"])
        self.assertEqual([row["name"] for row in report["rows"] if not row["passed"]],
                         ["off", "severed", "recorded", "fails"])
        off = report["rows"][1]
        self.assertEqual((off["failed"], off["gradcheck"]["case"], off["gradcheck"]["variable"]), (2, "1%", "input 1"))
        self.assertAlmostEqual(off["gradcheck"]["analytic"], 1.01 * off["gradcheck"]["numeric"], places=7)
        self.assertIsNone(report["rows"][4]["gradcheck"]["error"])

    def interrupted(self, *arguments):
        """Ctrl-C after the first row, which shows that rows come one by one. The table's pipe is too short for all
        rows, so that the program cannot end before it is read."""
        reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        json_too = "--json" in arguments
        with subprocess.Popen([PROGRAM, "gradcheck", *arguments], stdout=subprocess.PIPE if json_too else writer,
                              stderr=writer if json_too else subprocess.PIPE) as process, open(reader) as table:
            os.close(writer)
            first = [table.readline(), table.readline()]
            process.send_signal(signal.SIGINT)
            reading = threading.Thread(target=lambda: first.extend(table.readlines()))
            reading.start()
            other = (process.stdout if json_too else process.stderr).read().decode()
            reading.join()
        rest = "".join(first[2:])
        out, err = (other, rest) if json_too else (rest, other)
        self.assertEqual(process.returncode, 128 + signal.SIGINT, out + err)
        self.assertTrue(ROW.match(first[1].rstrip("\n")), first)
        return first[:2], out, err

    def test_ctrl_c_ends_with_what_was_done(self):
        first, out, _ = self.interrupted()
        done = len(rows_of("".join(first) + out))
        self.assertIn(f"stopped after {done} of {len(self.names())}: {done} passed", out)

    def test_ctrl_c_leaves_whole_json(self):
        first, out, err = self.interrupted("--json")
        report = json.loads(out)
        self.assertTrue(report["stopped"] and not report["passed"])
        self.assertEqual(len(report["rows"]), len(rows_of("".join(first) + err)))


if __name__ == "__main__":
    tap.main(sys.argv[1:])
