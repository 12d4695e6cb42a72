"""Options of the program: what is wrong is said in words, with the exit status for it; configurations
come back as they were dumped."""
import json
import sys

from common import TINY, Case, gradus, tap

USAGE, FAILED = 2, 1

# Arguments, exit status, words that must be said.
BAD = [
    ([], USAGE, "usage: gradus COMMAND"),
    (["trian"], USAGE, 'there is no command "trian"'),
    (["train"], USAGE, "say what to learn: --task copy, or --text FILE"),
    (["train", "--task", "copy", "--text", "x"], USAGE, "--task and --text exclude each other"),
    (["train", "--embd-dim", "3"], USAGE, 'unknown option --embd-dim (did you mean "embed-dim"?)'),
    (["train", "--embd-dim=3"], USAGE, "unknown option --embd-dim ("),
    (["train", "--steps"], USAGE, "--steps needs a value"),
    (["train", "--steps", "ten"], USAGE, '--steps: "ten" is not a whole number'),
    (["train", "--steps", "1e3"], USAGE, '--steps: "1e3" is not a whole number'),
    (["train", "--steps", ""], USAGE, '--steps: "" is not a whole number'),
    (["train", "--steps", "99999999999999999999"], USAGE, "is not a whole number"),
    (["train", "--steps", "-1"], USAGE, "--steps: -1 is not in [0,inf)"),
    (["train", "--lr", "nan"], USAGE, '--lr: "nan" is not a number'),
    (["train", "--lr", "0.1x"], USAGE, '--lr: "0.1x" is not a number'),
    (["train", "--lr", "-1"], USAGE, "--lr: -1 is not in [0,inf)"),
    (["train", "--dropout", "1"], USAGE, "--dropout: 1 is not in [0,1)"),
    (["train", "--beta2", "0"], USAGE, "--beta2: 0 is not in (0,1)"),
    (["train", "--eps", "0"], USAGE, "--eps: 0 is not in (0,inf)"),
    (["train", "--batch-size", "0"], USAGE, "--batch-size: 0 is not in [1,"),
    (["train", "--activation", "tanh"], USAGE, '--activation: "tanh" is not one of gelu|gelu_tanh|relu|silu'),
    (["train", "--activation", "gel"], USAGE, '"gel" is not one of'),
    (["train", "--activation", "gelu|relu"], USAGE, "is not one of"),
    (["train", "--task", "copyy"], USAGE, '--task: "copyy" is not one of copy|reverse|sort'),
    (["train", "--norm-first", "maybe"], USAGE, '--norm-first: "maybe" is neither true nor false'),
    (["train", "--resume", "now"], USAGE, '--resume: "now" is not one of auto|never'),
    (["train", *TINY, "--resume", "auto"], USAGE, "--resume needs --out"),
    (["train", *TINY, "more"], USAGE, 'what is "more"?'),
    (["train", "--config", "/nonexistent.json"], USAGE, "/nonexistent.json: No such file"),
    (["train", "--replay", "x.h5"], USAGE, "--output RESULT.h5 belong together"),
    (["train", "--output", "x.h5"], USAGE, "--output RESULT.h5 belong together"),
    (["train", "--replay", "x", "--output", "y", "--lr", "1"], USAGE, "--lr: with --replay the case file says it"),
    (["train", *TINY, "--num-heads", "3"], FAILED, "embed_dim"),
    (["train", *TINY, "--context", "3"], FAILED, "--context is 3"),
    (["train", *TINY, "--device", "cuda"], FAILED, "cuda"),
    (["train", *TINY, "--cuda-graph", "--device", "cuda", "--precision", "fp16"], USAGE, "--cuda-graph: not with"),
    (["train", *TINY, "--cuda-graph"], USAGE, "--cuda-graph needs --device cuda: only GPUs have graphs"),
    (["train", "--text", "/nonexistent.txt"], FAILED, "/nonexistent.txt"),
    (["train", *TINY, "--steps", "1", "--out", "/dev/null/x"], FAILED, "/dev/null"),
    (["train", "--replay", "/nonexistent.h5", "--output", "y"], FAILED, "/nonexistent.h5"),
    (["tasks", "recal"], USAGE, 'there is no task "recal" (did you mean "recall"?)'),
    (["tasks", "add", "--quick"], USAGE, "none of these is quick: leave out --quick, or them"),
    (["tasks", "--steps", "-1"], USAGE, "--steps: -1 is not in [0,inf)"),
    (["sample"], USAGE, "name one checkpoint: --weights FILE"),
    (["sample", "--weights", "/nonexistent.h5"], FAILED, "/nonexistent.h5"),
    (["sample", "--top-k", "-1"], USAGE, "--top-k: -1 is not in"),
    (["sample", "--lr", "1"], USAGE, "unknown option --lr"),
    (["check", "--plant", "missing-scales"], USAGE, 'there is no mistake "missing-scales" (did you mean "missing-scale"?)'),
    (["check", "--plant", "wrong-layout", "--layout", "unbatched"], USAGE, "it would be no mistake here: unbatched"),
    (["check", "--layout", "batchfirst"], USAGE, '--layout: "batchfirst" is not one of batch_first|sequence_first|'),
    (["check", "--kdim", "-1"], USAGE, "--kdim: -1 is not in [0,"),
    (["check", "--task", "sort", "--kdim", "3"], USAGE, "--kdim: a model says that itself"),
    (["check", "--task", "sort", "--text", "x"], USAGE, "--task and --text exclude each other"),
    (["check", "a.h5", "b.h5"], USAGE, "name one checkpoint"),
    (["check", "--dropout", "1"], USAGE, "--dropout: 1 is not in [0,1)"),
    (["check", "--device", "cuda"], FAILED, "cuda"),
    (["check", "--num-heads", "5", "--json"], FAILED, "embed_dim 64 is not divisible by num_heads 5"),
    (["check", "/nonexistent.h5"], FAILED, "/nonexistent.h5"),
    (["view"], USAGE, "usage: gradus view COMMAND"),
    (["view", "rum"], USAGE, 'there is no command "view rum"'),
    (["view", "run", "x", "--follow=1"], USAGE, "--follow"),
    (["inspect"], USAGE, "name one FILE"),
    (["inspect", "/nonexistent.h5"], FAILED, "/nonexistent.h5"),
    (["inspect", "a", "b"], USAGE, "name one FILE"),
]

# Text of a configuration, words that must be said.
BAD_CONFIGS = [
    ("", "config.json:1:"),
    ("{\n\"lr\": }", "config.json:2:"),
    ("[1]", "not a JSON object"),
    ('{"embd_dim": 3}', 'unknown option "embd_dim" (did you mean "embed_dim"?)'),
    ('{"lr": 1, "lr": 2}', "duplicate"),
    ('{"lr": "fast"}', "lr: expected a number"),
    ('{"steps": 1.5}', "steps: expected a whole number"),
    ('{"steps": true}', "steps: expected a whole number"),
    ('{"tied": 1}', "tied: expected true or false"),
    ('{"task": 3}', "task: expected text"),
    ('{"steps": null}', "steps: null is not a whole number"),
    ('{"dropout": 2}', "dropout: 2 is not in [0,1)"),
    ('{"task": "juggle"}', '"juggle" is not one of'),
    ('{"out": "x"}', 'unknown option "out"'),
    ('{"config": "x"}', 'unknown option "config"'),
    ("x" * 70000, "more than 65536 bytes"),
    ("[" * 5000, "config.json:1:"),
]


class Options(Case):
    def test_what_is_wrong_is_said(self):
        for arguments, status, words in BAD:
            with self.subTest(arguments=arguments):
                result = self.expect(status, gradus(*arguments), words)
                self.assertEqual(result.stdout, "")

    def test_what_is_said_does_not_steer_the_terminal(self):
        result = self.expect(USAGE, gradus("train", "--task", "a\x1b[31m\u202e"), "a\\u{1b}[31m\\u{202e}")
        self.assertNotIn("\x1b", result.stderr)
        result = self.expect(FAILED, gradus("inspect", "/none\x1b"), "\\u{1b}")
        self.assertNotIn("\x1b", result.stderr)

    def test_help(self):
        self.expect(0, gradus("--help"), "train", "sample", "check", "inspect", stream="stdout")
        for command, words in {"train": ["--embed-dim N", "[64]", "--resume auto|never", "Optimizer", "Examples"],
                               "sample": ["--temperature X", "[0.8]"],
                               "check": ["--weights FILE", "--plant NAME", "--layout"], "inspect": ["FILE"]}.items():
            result = self.expect(0, gradus(command, "--help"), f"usage: gradus {command}", *words,
                                 stream="stdout")
            self.assertTrue(all(len(line) <= 120 for line in result.stdout.splitlines()))

    def test_version(self):
        self.expect(0, gradus("--version"), "gradus 0.", "instruction set", "OpenBLAS", "HDF5", "core ",
                    stream="stdout")

    def test_switches_take_a_value_or_none(self):
        for arguments, value in [(["--tied"], True), (["--tied", "--lr", "1"], True), (["--tied=1"], True),
                                 (["--tied", "true"], True), (["--tied", "0"], False), (["--tied=false"], False)]:
            result = self.expect(0, gradus("train", "--task", "copy", *arguments, "--dump-config"))
            self.assertIs(json.loads(result.stdout)["tied"], value, arguments)


class Config(Case):
    def config(self, text):
        path = self.folder / "config.json"
        path.write_text(text)
        return path

    def test_what_is_wrong_is_said(self):
        for text, words in BAD_CONFIGS:
            with self.subTest(text=text[:80]):
                self.expect(USAGE, gradus("train", "--config", self.config(text)), words)

    def test_comes_back_as_it_was_dumped(self):
        given = [*TINY, "--lr", "0.1", "--min-lr", "1e-5", "--eps", "1.234567890123456e-7", "--causal", "0",
                 "--seed", "9007199254740991", "--tied", "--norm-first=0", "--steps", "17"]
        first = self.expect(0, gradus("train", *given, "--dump-config")).stdout
        again = self.expect(0, gradus("train", "--config", self.config(first), "--dump-config")).stdout
        self.assertEqual(first, again)
        values = json.loads(first)
        self.assertEqual((values["lr"], values["eps"], values["seed"], values["causal"], values["text"]),
                         (0.1, 1.234567890123456e-7, 9007199254740991, False, None))

    def test_the_command_line_wins(self):
        path = self.config('{"task": "sort", "lr": 0.5, "steps": 3}')
        for arguments in (["--config", path, "--lr", "0.25"], ["--lr", "0.25", "--config", path]):
            values = json.loads(gradus("train", *arguments, "--dump-config").stdout)
            self.assertEqual((values["task"], values["lr"], values["steps"]), ("sort", 0.25, 3))


if __name__ == "__main__":
    tap.main(sys.argv[1:])
