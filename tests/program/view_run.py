"""gradus view run, and the report that gradus train keeps: what the page holds, and how it stays fresh."""
import base64
import json
import math
import os
import re
import shutil
import signal
import stat
import struct
import subprocess
import sys
import time
import zlib

from common import PROGRAM, TINY, Case, gradus, metrics, tap

USAGE, FAILED = 2, 1
COLUMNS = ["step", "tokens", "loss", "val_loss", "lr", "grad_norm", "tokens_per_second"]


def data_of(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page.read_text())[1])


def columns(data, which="points"):
    """The columns of a page's points by name."""
    points = data[which]
    raw = zlib.decompress(base64.b64decode(points["values"]))
    values = struct.unpack(f"<{len(raw) // 8}d", raw)
    names = [*COLUMNS, *data["layers"], "mean"]
    assert len(values) == points["count"] * len(names)
    return {name: values[i * points["count"]:(i + 1) * points["count"]] for i, name in enumerate(names)}


class ViewRun(Case):
    def view(self, *arguments, status=0, **options):
        return self.expect(status, gradus("view", "run", *arguments, **options))

    def start(self, command, *arguments):
        process = subprocess.Popen([PROGRAM, *command, *map(str, arguments)], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def start_training(self, *arguments):
        process = self.start(["train"], *TINY, "--out", self.folder / "run", *arguments)
        self.wait_for(lambda: (self.folder / "run" / "report.html").exists())
        return process

    def wait_for(self, condition, seconds=100):
        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end, "timeout")
            time.sleep(0.02)

    def state(self, page):
        return data_of(page)["state"]

    # ---- What the page holds ----

    def test_every_figure_is_that_of_the_metrics(self):
        self.train("--steps", 30, "--validate-every", 7)
        self.train("--steps", 40, "--validate-every", 7, "--resume", "auto")
        result = self.view(self.folder / "run")
        self.assertEqual((result.stdout, result.stderr), ("", f"wrote {self.folder}/run/report.html\n"))
        data, lines = data_of(self.folder / "run" / "report.html"), metrics(self.folder / "run")
        table = columns(data)
        self.assertEqual(data["points"]["stride"], 1)
        for name in ("step", "loss", "lr", "grad_norm", "tokens_per_second"):
            self.assertEqual(list(table[name]), [line[name] for line in lines])
        self.assertEqual(list(table["tokens"]), [16 * i for i in range(1, 41)])
        self.assertEqual([x for x in table["val_loss"] if not math.isnan(x)],
                         [line["val_loss"] for line in lines if line["val_loss"] is not None])
        self.assertEqual(data["layers"], list(lines[0]["grad_norms"]))
        for layer in data["layers"]:
            self.assertEqual(list(table[layer]), [line["grad_norms"][layer] for line in lines])
        validated = [line for line in lines if line["val_loss"] is not None]
        self.assertEqual(list(columns(data, "validations")["step"]), [line["step"] for line in validated])
        best = min(validated, key=lambda line: line["val_loss"])
        figures = data["figures"]
        self.assertEqual((figures["best"], figures["best_step"]), (best["val_loss"], best["step"]))
        self.assertEqual((figures["step"], figures["loss"], figures["total"]), (40, lines[-1]["loss"], 40))
        self.assertAlmostEqual(figures["seconds"], sum(16 / line["tokens_per_second"] for line in lines), 9)
        self.assertEqual(figures["perplexity"], "nan")
        self.assertEqual((data["state"], data["resumed"], data["faults"], data["problem"]), ("finished", [31], [], None))
        self.assertEqual({key: value for key, value in data["options"]},
                         json.loads((self.folder / "run" / "config.json").read_text()))

    def test_the_page_goes_where_it_is_told(self):
        self.train("--steps", 2, "--report", "false")
        self.assertFalse((self.folder / "run" / "report.html").exists())
        page = self.folder / "a page.html"
        self.view(self.folder / "run", "--output", page)
        self.assertFalse((self.folder / "run" / "report.html").exists())
        before = page.read_bytes()
        self.view("run", "--output", page, cwd=self.folder)
        self.assertEqual(data_of(page)["folder"], "run")
        self.view(".", "--output", page, cwd=self.folder / "run")
        self.assertIn("<title>Training run: run</title>", page.read_text())
        self.view(self.folder / "run", "--output", page)
        self.assertEqual(page.read_bytes(), before, "the same run gives the same bytes")

    def test_what_is_wrong_is_said(self):
        self.view(status=USAGE)
        for arguments, status, words in [
                ([], USAGE, "name one folder of gradus train --out"), (["a", "b"], USAGE, "name one folder"),
                (["/nonexistent"], FAILED, "/nonexistent/metrics.jsonl: there is no such file (name a folder of gradus"),
                ([self.folder], FAILED, "metrics.jsonl: there is no such file"),
                (["x" * 5000], USAGE, "the name is too long"),
                (["x" * 5000, "--output", "x"], FAILED, "the path is too long"),
                (["a\x1b[2J"], FAILED, "a\\u{1b}[2J/metrics.jsonl")]:
            result = self.expect(status, gradus("view", "run", *arguments), words)
            self.assertEqual(result.stdout, "")
        self.train("--steps", 2)
        self.expect(FAILED, gradus("view", "run", self.folder / "run", "--output", "/dev/null/x"), "/dev/null/x")
        page = self.folder / "run" / "report.html"
        page.unlink()
        page.mkdir()
        self.expect(FAILED, gradus("view", "run", self.folder / "run"), "report.html: not a regular file")

    def test_damage_is_told_and_the_rest_is_shown(self):
        self.train("--steps", 9)
        path = self.folder / "run" / "metrics.jsonl"
        lines = path.read_text().splitlines(keepends=True)
        lines[4] = lines[4].replace('"loss"', '"lo\x00ss"')
        path.write_text("".join(lines) + '{"step": 10, "l')
        self.view(self.folder / "run")
        data = data_of(self.folder / "run" / "report.html")
        self.assertEqual(data["faults"], [{"line": 5, "what": "not JSON"}])
        self.assertTrue(data["cut_off"])
        self.assertEqual(list(columns(data)["step"]), [1, 2, 3, 4, 6, 7, 8, 9])
        self.assertIn('{"step": 10, "l', path.read_text(), "it is only read")

    def test_a_long_run_is_small_and_keeps_its_spikes(self):
        folder = self.folder / "long"
        folder.mkdir()
        with open(folder / "metrics.jsonl", "w") as file:
            for step in range(1, 100001):
                loss = 1e3 if step == 77777 else math.sin(step) + 2
                file.write(f'{{"step": {step}, "loss": {loss}, "lr": 0.001, "grad_norms": {{"a": {1 / loss}}}}}\n')
        self.view(folder)
        data = data_of(folder / "report.html")
        table = columns(data)
        self.assertGreater(data["points"]["stride"], 1)
        self.assertLess((folder / "report.html").stat().st_size, 4e6)
        self.assertEqual((max(table["loss"]), min(table["a"]), data["rows"]), (1e3, 1e-3, 100000))
        at = table["loss"].index(1e3)
        self.assertTrue(table["step"][at - at % 2] <= 77777 <= table["step"][at - at % 2 + 1])

    # ---- While it runs ----

    def test_training_keeps_the_page_and_stops_it(self):
        process = self.start_training("--steps", 1000000, "--validate-every", 0)
        page = self.folder / "run" / "report.html"
        self.assertEqual(self.state(page), "running")
        self.wait_for(lambda: data_of(page)["rows"] > 0)
        data = data_of(page)
        self.assertGreater(data["figures"]["left"], 0)
        self.assertLess(abs(time.time() - data["written"]), 60)
        self.assertGreaterEqual(data["refresh"], 3)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        self.assertIn(f"see it: {page}", err)
        data, lines = data_of(page), metrics(self.folder / "run")
        self.assertEqual((data["state"], data["rows"]), ("stopped", len(lines)))
        self.assertNotIn("written", data)

    def test_whether_it_runs_is_seen_from_outside(self):
        process = self.start_training("--steps", 1000000, "--validate-every", 0)
        page = self.folder / "other.html"
        self.view(self.folder / "run", "--output", page)
        self.assertEqual(self.state(page), "running")
        self.assertIn("another run writes there", self.train("--resume", "never", status=FAILED).stderr)
        process.kill()
        process.communicate()
        self.view(self.folder / "run", "--output", page)
        self.assertEqual(self.state(page), "stopped")
        self.assertEqual(self.state(self.folder / "run" / "report.html"), "running", "it could not say")

    def test_a_failed_run_is_shown_too(self):
        self.train("--steps", 50, "--lr", "1e30", "--warmup-steps", "0", status=FAILED)
        data = data_of(self.folder / "run" / "report.html")
        self.assertEqual((data["state"], data["rows"]), ("stopped", len(metrics(self.folder / "run"))))

    def test_a_page_that_cannot_be_written_ends_no_run(self):
        often = ["--steps", 10, "--save-every", 2]
        self.train(*often, out=self.folder / "plain")
        (self.folder / "run" / "report.html").mkdir(parents=True)
        result = self.train(*often)
        self.assertEqual(result.stderr.count("note: no report any more"), 1)
        self.assertIn("report.html: not a regular file", result.stderr)
        self.assertNotIn("see it", result.stderr)
        for name in ("weights.h5", "best.h5", "config.json"):
            self.assertEqual((self.folder / "run" / name).read_bytes(), (self.folder / "plain" / name).read_bytes())

    def test_following_ends_with_the_run(self):
        process = self.start_training("--steps", 1000000, "--validate-every", 0, "--report", "true")
        page = self.folder / "followed.html"
        follower = self.start(["view", "run"], self.folder / "run", "--follow", "--output", page)
        self.wait_for(page.exists)
        first = data_of(page)
        self.assertEqual(first["state"], "running")
        self.wait_for(lambda: data_of(page)["rows"] > first["rows"])
        self.assertIsNone(follower.poll())
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        out, err = follower.communicate(timeout=60)
        self.assertEqual((follower.returncode, out), (0, ""), err)
        self.assertIn(f"following {self.folder}/run: Ctrl-C ends that, not the run", err)
        data = data_of(page)
        self.assertEqual((data["state"], data["rows"]), ("stopped", len(metrics(self.folder / "run"))))
        self.assertEqual(gradus("view", "run", self.folder / "run", "--follow").returncode, 0, "nothing to wait for")

    def test_ctrl_c_ends_following(self):
        process = self.start_training("--steps", 1000000, "--validate-every", 0)
        follower = self.start(["view", "run"], self.folder / "run", "--follow", "--output", self.folder / "page.html")
        self.assertIn("wrote", follower.stderr.readline())
        self.assertIn("following", follower.stderr.readline())
        time.sleep(0.3)
        follower.send_signal(signal.SIGINT)
        follower.communicate(timeout=60)
        self.assertEqual(follower.returncode, 130)
        self.assertIsNone(process.poll(), "the run goes on")

    # ---- In a browser ----

    def with_opener(self, script):
        """An environment whose xdg-open is this script."""
        tools = self.folder / "tools"
        tools.mkdir()
        opener = tools / "xdg-open"
        opener.write_text("#!/bin/sh\n" + script)
        opener.chmod(opener.stat().st_mode | stat.S_IXUSR)
        return {**os.environ, "PATH": f"{tools}:/usr/bin:/bin"}

    def test_open_shows_the_page(self):
        self.train("--steps", 2)
        environment = self.with_opener('echo noise; echo noise >&2; printf "%s|" "$#" "$@" > "$OPENED"\n')
        for name in ("report.html", "-a; touch $(b) 'c'.html"):
            opened = self.folder / "opened"
            result = self.view(".", "--open", "--output", name, cwd=self.folder / "run",
                               env={**environment, "OPENED": str(opened)})
            self.assertEqual(opened.read_text(), f"1|{(self.folder / 'run' / name).resolve()}|")
            self.assertEqual((result.stdout, result.stderr), ("", f"wrote {name}\n"), "the browser's noise is not ours")
        self.assertEqual({path.name for path in (self.folder / "run").iterdir()} & {"b", "touch"}, set())

    def test_open_says_what_is_missing(self):
        self.train("--steps", 2)
        (self.folder / "empty").mkdir()
        result = self.view(self.folder / "run", "--open", status=FAILED, env={**os.environ, "PATH": str(self.folder / "empty")})
        self.assertIn("there is no xdg-open (Debian: xdg-utils) to show", result.stderr)
        self.assertIn("report.html with; open it in a browser yourself", result.stderr)
        result = self.view(self.folder / "run", "--open", status=FAILED, env=self.with_opener("exit 3\n"))
        self.assertIn("xdg-open found no browser for", result.stderr)
        self.assertIn("(it ended with 3)", result.stderr)
        shutil.rmtree(self.folder / "tools")
        result = self.view(self.folder / "run", "--open", status=FAILED, env=self.with_opener("kill -9 $$\n"))
        self.assertIn("(it ended with 137)", result.stderr)

    def test_open_does_not_wait_for_the_browser_to_close(self):
        self.train("--steps", 2)
        started = time.monotonic()
        self.view(self.folder / "run", "--open", env=self.with_opener("exec sleep 20\n"))
        self.assertLess(time.monotonic() - started, 15)


if __name__ == "__main__":
    tap.main(sys.argv[1:])
