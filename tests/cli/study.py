# SPDX-License-Identifier: Apache-2.0
"""study, and the page that is made of what it writes: measured and predicted numbers stay apart."""
import json
import re
import subprocess
import sys

from common import SOURCE, USAGE, CommandTest, main, temporary_folder

ARCH = "deit_tiny_patch16_224"
WEIGHTS = ["256 clusters", "64 clusters", "16 clusters", "dense f32", "dense bf16"]
DEVICES = sorted(path.stem for path in (SOURCE / "data/devices").glob("*.json"))


class Study(CommandTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = temporary_folder()
        cls.path = cls.folder / "result.json"
        test = cls("run_once")
        test.lutra("study", "--quick", "--arch", ARCH, "--image-size", 32, "--threads", 1, "-o", cls.path, "--quiet")
        cls.result = json.loads(cls.path.read_text(encoding="utf-8"))

    def run_once(self):
        pass

    def test_measured(self):
        rows = self.result["measured"]
        self.assertEqual({(row["weights"], row["mode"]) for row in rows}, {(w, m) for w in WEIGHTS for m in ("f32", "int8")})
        for row in rows:
            self.assertEqual((row["threads"], row["batch"]), (1, 1))
            self.assertTrue(0 < row["p10_ms"] <= row["median_ms"] <= row["p90_ms"])
            self.assertTrue(3 <= row["runs"] <= 5, row["runs"])
            self.assertNotIn("predicted", row)
        files = {row["weights"]: row["file_bytes"] for row in rows}
        self.assertEqual(sorted(files, key=files.get), ["16 clusters", "64 clusters", "256 clusters", "dense bf16", "dense f32"])

    def test_counts(self):
        for row in self.result["measured"]:
            dense = next(other for other in self.result["measured"] if (other["weights"], other["mode"]) == ("dense f32", row["mode"]))
            self.assertEqual(row["macs"], dense["macs"])
            self.assertGreater(row["mj_lower_bound"], 0)
            if row["weights"] != "dense f32":
                self.assertLessEqual(row["mj_lower_bound"], dense["mj_lower_bound"])

    def test_batches(self):
        path = self.folder / "batches.json"
        self.lutra("study", "--quick", "--arch", ARCH, "--image-size", 32, "--threads", 1, "--batch", "2,3", "-o", path, "--quiet")
        rows = json.loads(path.read_text(encoding="utf-8"))["measured"]
        self.assertEqual({row["batch"] for row in rows}, {2, 3})

    def test_predicted(self):
        rows = self.result["predicted"]
        self.assertTrue(all(row["predicted"] is True for row in rows))
        self.assertEqual({row["device"] for row in rows}, set(DEVICES))
        self.assertEqual(len(rows), len(DEVICES) * len(WEIGHTS) * 2 * 2)
        for row in rows:
            self.assertGreater(row["ms"], 0)
            self.assertGreater(row["mj_lower_bound"], 0)
            self.assertTrue(0 <= row["memory_bound_share"] <= 1)

    def make(self, *arguments):
        return subprocess.run([sys.executable, SOURCE / "scripts/make_study.py", *arguments], capture_output=True, text=True)

    def test_join(self):
        """Parts put together are the whole, in a file of a row a line; a part of another machine's study is refused."""
        parts, whole = [], self.folder / "whole.json"
        for i in range(2):
            part = {**self.result, **{kind: self.result[kind][i::2] for kind in ("measured", "predicted")}}
            parts.append(self.folder / f"part{i}.json")
            parts[i].write_text(json.dumps(part), encoding="utf-8")
        made = self.make("--join", *parts, "--title", "a board", "-o", whole)
        self.assertEqual(made.returncode, 0, made.stderr)
        text = whole.read_text(encoding="utf-8")
        result = json.loads(text)
        for kind in ("measured", "predicted"):
            self.assertCountEqual(result[kind], self.result[kind])
        self.assertEqual(result["machine"]["title"], "a board")
        self.assertGreater(len(text.splitlines()), len(result["measured"]) + len(result["predicted"]))
        part["machine"]["cores"] += 1
        parts[1].write_text(json.dumps(part), encoding="utf-8")
        made = self.make("--join", *parts, "-o", whole)
        self.assertNotEqual(made.returncode, 0)
        self.assertIn("several machines", made.stderr)

    def test_page(self):
        page = self.folder / "study.md"
        made = self.make(self.path, "-o", page)
        self.assertEqual(made.returncode, 0, made.stderr)
        text = page.read_text(encoding="utf-8")
        heads = [line for line, below in zip(text.splitlines(), text.splitlines()[1:]) if re.fullmatch(r"\|[-:|]+\|", below)]
        self.assertGreater(len(heads), len(DEVICES))
        for head in heads:
            self.assertFalse("measured" in head and "predicted" in head, head)
        self.assertIn("Measured on Arm: none yet", text)
        for claim in ("over 4x less data", "up to 22 % faster", "39 % less energy", "under 0.1 % accuracy"):
            self.assertIn(claim, text)
        self.assertEqual(text.count("| as in the paper"), 4)
        for name in ("DeiT-Tiny", "ViT-Tiny"):
            self.assertIn(f"| {name} | 64 clusters | yes | int8 |", text)
        self.assertIn("not tested here", text)
        self.assertNotIn("None", text)
        self.assertNotIn("nan", text)

    def test_arguments(self):
        self.fails("study", status=USAGE, says="study needs -o FILE")
        self.fails("study", "--quick", "-o", self.folder, says=str(self.folder))


if __name__ == "__main__":
    main()
