"""gradus sample and inspect, on weights that were just trained."""
import re
import sys

from common import Case, gradus, tap

TEXT = "the quick brown fox jumps over the lazy dog.\n" * 60
MODEL = ["--embed-dim", "16", "--num-heads", "2", "--num-layers", "1", "--batch-size", "8", "--context", "16"]


class Task(Case):
    def test_predictions_stand_beside_the_right_answers(self):
        self.train("--steps", 5)
        weights = self.folder / "run" / "weights.h5"
        result = self.expect(0, gradus("sample", "--weights", weights, "--sequences", 200))
        rows = re.findall(r"^  (\w{4})\|   right: (\w{4})   predicted: (.{4})   (ok|WRONG)$", result.stdout, re.M)
        self.assertEqual(len(rows), 8, result.stdout)
        for question, right, guess, verdict in rows:
            self.assertEqual(question, right)
            self.assertEqual(verdict == "ok", guess == right)
        self.assertRegex(result.stdout, r"copy: \d+\.\d\d% of 200 unseen sequences right, loss \d")

    def test_every_task_is_shown(self):
        for task in ("copy", "reverse", "sort", "add", "recall", "induction", "dyck", "histogram", "modadd"):
            out = self.folder / task
            self.expect(0, gradus("train", "--task", task, *MODEL[:8], "--steps", 2, "--validate-batches", 1,
                                  "--out", out))
            self.expect(0, gradus("sample", "--weights", out / "best.h5", "--sequences", 20),
                        f"{task}: ", "of 20 unseen sequences", "right: ", "predicted: ", stream="stdout")

    def test_a_task_is_learnt(self):
        out = self.folder / "reverse"
        self.expect(0, gradus("train", "--task", "reverse", "--length", 6, "--embed-dim", 32, "--num-heads", 2,
                              "--num-layers", 1, "--steps", 500, "--lr", "5e-3", "--out", out))
        result = self.expect(0, gradus("sample", "--weights", out / "weights.h5"))
        share = float(re.search(r"reverse: (\S+)% of 1000 unseen", result.stdout)[1])
        self.assertGreaterEqual(share, 99)


class Text(Case):
    def learn(self, data, *arguments):
        path = self.folder / "text.txt"
        path.write_bytes(data)
        out = self.folder / "run"
        self.expect(0, gradus("train", "--text", path, *MODEL, "--steps", 60, "--lr", "1e-2", "--out", out,
                              *arguments))
        return out / "weights.h5"

    def sample(self, weights, *arguments):
        return self.expect(0, gradus("sample", "--weights", weights, *arguments)).stdout

    def test_a_text_goes_on(self):
        weights = self.learn(TEXT.encode())
        text = self.sample(weights, "--prompt", "the ", "--tokens", 50)
        self.assertTrue(text.startswith("the "))
        self.assertEqual(len(text), 4 + 50 + 1)
        self.assertLessEqual(set(text), set(TEXT))
        self.assertEqual(text, self.sample(weights, "--prompt", "the ", "--tokens", 50))
        self.assertNotEqual(text, self.sample(weights, "--prompt", "the ", "--tokens", 50, "--seed", 2))
        likeliest = self.sample(weights, "--prompt", "the ", "--tokens", 50, "--temperature", 0)
        self.assertEqual(likeliest, self.sample(weights, "--prompt", "the ", "--tokens", 50, "--top-k", 1))
        self.assertEqual(len(self.sample(weights, "--tokens", 5)), 6)
        self.expect(1, gradus("sample", "--weights", weights, "--prompt", "THE"), "T")

    def test_bytes(self):
        weights = self.learn(bytes(range(256)) * 20 + "\u00e4\u20ac".encode() * 100, "--tokenizer", "bytes")
        text = self.sample(weights, "--prompt", "\u00e4", "--tokens", 100, "--temperature", 1)
        self.assertTrue(text.startswith("\u00e4"))

    def test_no_token_steers_the_terminal(self):
        weights = self.learn(("a\x1b[31m\u202eb\x07\u009b" * 200).encode())
        text = self.sample(weights, "--prompt", "a\x1b", "--tokens", 100)
        self.assertIn("\\u{1b}", text)
        self.assertEqual([c for c in text if c < " " and c != "\n" or c in "\u202e\u009b\x7f"], [])


class Inspect(Case):
    def test_a_checkpoint_is_shown(self):
        self.train("--steps", 3)
        path = self.folder / "run" / "weights.h5"
        self.expect(0, gradus("inspect", path), "step", "3", "token_embedding.weight", "[", "f32", "adam",
                    "embed_dim", stream="stdout")

    def test_a_damaged_one_is_refused(self):
        self.train("--steps", 3)
        path = self.folder / "run" / "weights.h5"
        whole = path.read_bytes()
        for at in (0, 100, 600, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
            self.expect(1, gradus("inspect", path), "weights.h5")
        path.write_bytes(whole[:-1])
        self.expect(1, gradus("inspect", path), "weights.h5")


if __name__ == "__main__":
    tap.main(sys.argv[1:])
