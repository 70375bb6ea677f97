# SPDX-License-Identifier: Apache-2.0
"""bench: what it prints and in which shape; how fast anything is, no test can say."""
import os
import pathlib
import pty
import re
import subprocess
import unittest

from common import INTERRUPTED, LUTRA, MODEL, SANITIZED, USAGE, CommandTest, bare_weights, main, temporary_folder

ARCH = "deit_tiny_patch16_224"
# The names that other programs may rely on, and the type of each.
CONTRACT = {"arch": str, "clusters": int, "mode": str, "threads": int, "batch": int, "median_ms": float, "p10_ms": float,
            "p90_ms": float, "gmacs": float, "rss_bytes": int, "weight_bytes": int}


class Bench(CommandTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = temporary_folder()
        cls.small = str(cls.folder / "small.safetensors")
        subprocess.run([LUTRA, "cluster", MODEL, "-o", cls.small, "--clusters", "7", "--quiet"], check=True,
                       stdout=subprocess.DEVNULL)

    def bench(self, *arguments, **options):
        return self.lutra_json("bench", *arguments, "--repeat", "6", **options)

    def test_contract(self):
        results = self.bench(self.small, "--threads", 1, "--mode", "f32")
        self.assertEqual(len(results), 1)
        for name, kind in CONTRACT.items():
            self.assertIsInstance(results[0][name], kind, name)
        result = results[0]
        self.assertIsInstance(result["percent_of_peak"], (float, type(None)))
        self.assertEqual((result["clusters"], result["mode"], result["threads"], result["batch"], result["runs"]),
                         (7, "f32", 1, 1, 6))
        self.assertTrue(0 < result["p10_ms"] <= result["median_ms"] <= result["p90_ms"])
        self.assertGreaterEqual(result["start_ms"], result["later_ms"])
        self.assertNotIn("over_dense", result)

    def test_the_mode_that_nobody_names(self):
        """Is what the clustered model is run in by default, for the dense one too."""
        results = self.bench(self.small, "--threads", 1, "--dense")
        mode = "int8" if results[0]["isa"] != "reference" else "f32"
        self.assertEqual([(bool(r["clusters"]), r["mode"], r["mode_source"]) for r in results],
                         [(True, mode, "auto"), (False, mode, "auto")])

    def test_rates_follow_from_the_median(self):
        macs = self.lutra_json("inspect", MODEL)["model"]["macs"]
        for result in self.bench(self.small, "--threads", 1, "--batch", "1,3"):
            seconds = result["median_ms"] / 1e3
            self.assertAlmostEqual(result["images_per_second"], result["batch"] / seconds, delta=1e-4 / seconds)
            self.assertAlmostEqual(result["gmacs"] / (1e-9 * macs * result["batch"] / seconds), 1, places=6)
            if result["percent_of_peak"] is not None:
                self.assertAlmostEqual(result["percent_of_peak"] / (100 * result["gmacs"] / result["peak_gmacs"]), 1,
                                       places=6)

    def test_every_combination(self):
        results = self.bench(MODEL, "--clusters", "4,16", "--mode", "int8,f32", "--threads", "2,1", "--batch", "1,2", "--dense")
        combinations = [(r["threads"], r["batch"], r["clusters"], r["mode"]) for r in results]
        self.assertEqual(combinations, [(t, b, c, m) for t in (2, 1) for b in (1, 2) for c in (4, 16, 0)
                                        for m in ("int8", "f32")])

    def test_dense_beside_clustered(self):
        """A ratio to dense weights in the same mode and to those in f32, with an interval round its median."""
        results = {(r["clusters"], r["mode"]): r for r in self.bench(MODEL, "--clusters", 16, "--mode", "f32,int8",
                                                                      "--dense")}
        for mode, against in (("f32", ["f32"]), ("int8", ["f32", "int8"])):
            ratios = results[16, mode]["over_dense"]
            self.assertEqual([r["dense_mode"] for r in ratios], against)
            for ratio in ratios:
                self.assertEqual(ratio["pairs"], 6)
                self.assertTrue(0 < ratio["low"] <= ratio["median"] <= ratio["high"])
            self.assertNotIn("over_dense", results[0, mode])

    def test_bytes_of_weights(self):
        """Indices are fewer bytes than int8, which is fewer than the file's f32."""
        results = {(r["clusters"], r["mode"]): r["weight_bytes"]
                   for r in self.bench(MODEL, "--clusters", 16, "--mode", "f32,int8", "--dense")}
        self.assertEqual(results[16, "f32"], results[16, "int8"])
        self.assertLess(results[16, "int8"], results[0, "int8"])
        self.assertLess(results[0, "int8"], results[0, "f32"])
        info = self.lutra_json("inspect", MODEL, "--plan")
        self.assertEqual(results[0, "f32"], sum(step["weight_bytes"] for step in info["plan"]))

    def test_a_clustered_model_beside_what_it_decodes_to(self):
        clusters = [r["clusters"] for r in self.bench(self.small, "--dense")]
        self.assertEqual(clusters, [7, 0])
        self.fails("bench", self.small, "--clusters", 4, status=USAGE, says=["clustered already", self.small])

    def test_dense_alone(self):
        self.assertEqual([r["clusters"] for r in self.bench(MODEL)], [0])

    @unittest.skipIf(SANITIZED, "a sanitizer holds memory of its own")
    def test_memory(self):
        """What a context holds grows with the batch, and with dense weights brought to int8; the mapped file and the
        weights made in memory do not count."""
        rss = {(r["clusters"], r["batch"]): r["rss_bytes"]
               for r in self.bench("--arch", ARCH, "--mode", "int8", "--dense", "--threads", 1, "--batch", "1,8")}
        self.assertGreater(rss[64, 1], 500_000)
        self.assertLess(rss[64, 1], 4_000_000)
        self.assertGreater(rss[64, 8], 3 * rss[64, 1])
        self.assertGreater(rss[0, 1], rss[64, 1] + 5_000_000)

    def test_random_weights_leave_nothing_behind(self):
        folder = self.folder / "temporary"
        folder.mkdir()
        environment = {**os.environ, "TMPDIR": str(folder)}
        result = self.bench("--arch", ARCH, "--image-size", 32, env=environment)[0]
        self.assertEqual((result["arch"], result["clusters"]), (ARCH, 64))
        self.assertEqual(list(folder.iterdir()), [])

    def test_arch_of_weights_that_do_not_tell(self):
        weights = bare_weights(self.folder / "weights.safetensors", ARCH)
        self.fails("bench", weights, "--clusters", 16, "--repeat", 1, says="pass --arch")
        results = self.bench(weights, "--arch", ARCH, "--clusters", 16, "--dense", "--image-size", 32, "--threads", 1, "--mode", "f32")
        self.assertEqual([(r["arch"], r["clusters"]) for r in results], [(ARCH, 16), (ARCH, 0)])

    def test_another_place_where_one_cannot_be_written(self):
        environment = {**os.environ, "TMPDIR": str(self.folder / "nowhere")}
        self.assertEqual(len(self.bench("--arch", ARCH, "--image-size", 32, env=environment)), 1)

    def test_cold_and_contended(self):
        result = self.bench(self.small, "--contend", 2, "--threads", 1)[0]
        self.assertEqual((result["cold"], result["contend"]), (False, 2))
        self.assertGreater(result["contend_gb_per_second"], 0)
        self.assertIn("beside 2 threads", self.lutra("bench", self.small, "--contend", 2, "--repeat", 2).stdout)
        self.assertIs(self.bench(self.small, "--cold", "--threads", 1)[0]["cold"], True)
        self.assertIn("caches emptied", self.lutra("bench", self.small, "--cold", "--repeat", 2).stdout)

    def test_duration(self):
        arguments = ("bench", MODEL, "--duration", "2.5s", "--threads", "1")
        parts = self.lutra_json(*arguments)[0]["parts"]
        self.assertGreaterEqual(len(parts), 2)
        seconds = [part["seconds"] for part in parts]
        self.assertEqual(seconds, sorted(seconds))
        self.assertGreaterEqual(seconds[-1], 2.5)
        lines = self.lutra(*arguments).stdout.splitlines()
        self.assertRegex(lines[0], r"dense (f32|bf16) .* \+0\.0 % against the first")
        self.assertRegex(lines[1], r"[+-]\d+\.\d % against the first")

    def test_text(self):
        text = self.lutra("bench", self.small, "--dense", "--mode", "int8", "--repeat", 6, "--threads", "1").stdout
        self.assertRegex(text, r"(?m)^ +7  int8 +1 +1 ")
        self.assertRegex(text, r"(?m)^ +dense  int8 +1 +1 ")
        self.assertRegex(text, r"7 clusters in int8 over dense in int8, 1 thread, batch 1: \d+\.\d+ times the time, "
                               r"95 % interval \d+\.\d+ to \d+\.\d+ \(6 pairs\)")

    def test_headless(self):
        headless = pathlib.Path(MODEL).parent / "hf-vit-no-head"
        self.assertEqual(len(self.bench(headless)), 1)

    def test_progress_on_a_terminal(self):
        ours, theirs = pty.openpty()
        process = subprocess.Popen([LUTRA, "bench", MODEL, "--threads", "1"], stdout=subprocess.DEVNULL, stderr=theirs,
                                   stdin=subprocess.DEVNULL, env={**os.environ, "TERM": "xterm"})
        os.close(theirs)
        text = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the terminal is gone: the process has ended
                break
            text += part
        os.close(ours)
        self.assertEqual(process.wait(timeout=60), 0)
        self.assertRegex(text.decode(), r"timing \[#*\.*\] +\d+ %")

    def test_interrupt(self):
        process = subprocess.Popen([LUTRA, "bench", MODEL, "--duration", "60s"], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        process.stdout.readline()  # the first part is over
        process.terminate()
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, INTERRUPTED)
        self.assertIn("interrupted", errors)

    def test_mistakes(self):
        for arguments, says in (
                ([], "--arch NAME"), (["a", "b"], "one MODEL"), (["a", "--threads", "0"], "1 to 64"),
                (["a", "--threads", "10000"], "1 to 64"), (["a", "--threads", "1,"], "1 to 64"),
                (["a", "--batch", "0"], "1 to 1024"), (["a", "--batch", "1,,2"], "1 to 1024"),
                (["a", "--clusters", "64,257"], ["2 to 256", "'257'"]), (["a", "--mode", "f32,f31"], ["f32|bf16|int8", "'f31'"]),
                (["a", "--repeat", "0"], "--repeat"), (["a", "--contend", "65"], "1 to 64"),
                (["a", "--repeat", "3", "--duration", "5m"], "give one"),
                (["a", "--threads", ",".join(["1"] * 17)], "at most 16 values"),
                *((["a", "--duration", value], ["--duration", f"'{value}'"]) for value in ("", "5x", "-1", "0", "nan", "m", "9999h"))):
            self.fails("bench", *arguments, status=USAGE, says=says)
        self.fails("bench", self.folder / "missing.safetensors", says="missing.safetensors")
        self.fails("bench", MODEL, says=["LUTRA_ISA=sse9", "reference"], env={**os.environ, "LUTRA_ISA": "sse9"})
        self.fails("bench", "--arch", "resnet50", status=USAGE, says="'resnet50'")


if __name__ == "__main__":
    main()
