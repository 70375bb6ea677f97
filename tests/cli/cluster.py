# SPDX-License-Identifier: Apache-2.0
"""cluster, export and random: what they report, and that files are written whole or not at all."""
import os
import re
import signal
import subprocess

from common import (FAILED, INTERRUPTED, LUTRA, MODEL, SANITIZED, CommandTest, file_limit, main, temporary_folder)


class Cluster(CommandTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = temporary_folder()
        cls.large = str(cls.folder / "large.safetensors")
        subprocess.run([LUTRA, "random", "--arch", "vit_tiny_patch16_224", "-o", cls.large], check=True,
                       stdout=subprocess.DEVNULL)

    def setUp(self):
        self.out = temporary_folder() / "out.safetensors"

    def test_json(self):
        report = self.lutra_json("cluster", self.large, "-o", self.out, "--clusters", 16, "--threads", 2)
        self.assertEqual(report["bytes_in"], os.path.getsize(self.large))
        self.assertEqual(report["bytes_out"], os.path.getsize(self.out))
        self.assertAlmostEqual(report["ratio"], report["bytes_in"] / report["bytes_out"], places=6)
        self.assertEqual(report["threads"], 2)
        self.assertEqual(report["arch"], "vit_tiny_patch16_224")
        self.assertGreater(report["seconds"], 0)
        # The process holds at least its code and less than a dense copy of the model beside the mapped file.
        self.assertGreater(report["peak_rss_bytes"], 1 << 20)
        if not SANITIZED:
            self.assertLess(report["peak_rss_bytes"], 2 * report["bytes_in"] + (64 << 20))
        self.assertTrue(4 <= report["bits_per_weight"] < 4.5, report)
        self.assertTrue(0 <= report["optimality_gap"] <= 1e-3, report)
        self.assertIn(report["isa"], ("reference", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16", "neon", "neondot", "i8mm"))
        self.assertNotIn("tensors", report)

    def test_errors_of_matrices(self):
        report = self.lutra_json("cluster", MODEL, "-o", self.out, "--clusters", 8, "--errors")
        self.assertIn("head.weight", [tensor["name"] for tensor in report["tensors"]])
        # Numbers are printed with nine digits.
        self.assertAlmostEqual(sum(tensor["squared_error"] for tensor in report["tensors"]), report["squared_error"],
                               delta=1e-8 * report["squared_error"])
        text = self.lutra("cluster", MODEL, "-o", self.out, "--clusters", 8, "--errors").stdout
        self.assertIn("head.weight", text)

    def test_optimality_is_that_of_k_means(self):
        """Also the squared error's with floats and without scales of rows; with integers that can be far more."""
        told = re.compile(r"k-means at most ([0-9.]+) % above its optimum, before integers and scales of rows")
        errors, gaps = [], []
        for options in (["i8"], ["f32"], ["f32", "--exact"]):
            arguments = ["cluster", self.large, "-o", self.out, "--scope", "tensor", "-k", 128, "--codebook", *options]
            errors.append(self.lutra_json(*arguments)["squared_error"])
            gaps.append(float(told.search(self.lutra(*arguments).stdout).group(1)) / 100)
        self.assertLessEqual(errors[1], (1 + gaps[1] + 1e-6) * errors[2])  # printed with four digits of a percentage
        self.assertGreater(errors[0], (1 + 10 * gaps[0]) * errors[2])

    def test_text(self):
        result = self.lutra("cluster", MODEL, "-o", self.out)
        for word in ("before", "after", "ratio", "64 clusters", "bits", "optim"):
            self.assertIn(word, result.stdout)
        quiet = self.lutra("cluster", MODEL, "-o", self.out, "--quiet")
        self.assertEqual(quiet.stderr, "")

    def test_deterministic_on_any_number_of_threads(self):
        self.lutra("cluster", self.large, "-o", self.out, "-k", 4, "--threads", 1)
        one = self.out.read_bytes()
        self.lutra("cluster", self.large, "-o", self.out, "-k", 4, "--threads", 3)
        self.assertEqual(one, self.out.read_bytes())

    def test_every_kind(self):
        for options in (["--scope", "tensor"], ["--scope", "model"], ["--codebook", "f32"], ["--exact"],
                        ["--clusters", "2"], ["--clusters", "256"], ["--clusters", "255", "--codebook", "i8"]):
            with self.subTest(options):
                self.lutra("cluster", MODEL, "-o", self.out, *options)
                self.lutra("inspect", self.out, "--verify")

    def test_output_that_is_a_folder(self):
        self.fails("cluster", MODEL, "-o", self.folder, says=[str(self.folder), "folder"])
        self.fails("export", MODEL, "-o", self.folder, says="folder")
        self.fails("random", "--arch", "vit_tiny_patch16_224", "-o", self.folder, says="folder")

    def test_output_in_a_missing_folder(self):
        self.fails("cluster", MODEL, "-o", self.out.parent / "none" / "x", says="No such file")

    def test_output_that_is_the_input(self):
        before = os.path.getsize(self.large)
        self.fails("cluster", self.large, "-o", self.large, says="is an input")
        self.assertEqual(os.path.getsize(self.large), before)

    def test_missing_model(self):
        self.fails("cluster", self.folder / "none.safetensors", "-o", self.out, says="none.safetensors")
        self.assertFalse(self.out.exists())

    def test_labels_that_do_not_match(self):
        labels = self.folder / "nine.txt"
        labels.write_text("\n".join("abcdefghi") + "\n")
        self.fails("cluster", MODEL, "-o", self.out, "--labels", labels, says="nine.txt")
        self.assertFalse(self.out.exists())

    def test_labels_are_stored(self):
        labels = self.folder / "ten.txt"
        labels.write_text("\n".join(f"class-{c}" for c in "abcdefghij") + "\n")
        self.lutra("cluster", MODEL, "-o", self.out, "--labels", labels)
        self.assertTrue(self.lutra_json("inspect", self.out)["model"]["named_classes"])

    def test_full_disk_leaves_the_old_file(self):
        """RLIMIT_FSIZE makes writes fail part of the way, as a full disk does."""
        for command in (["cluster", self.large], ["export", self.large],
                        ["random", "--arch", "vit_tiny_patch16_224"]):
            with self.subTest(command[0]):
                self.out.write_bytes(b"old")
                self.fails(*command, "-o", self.out, "--quiet", says="out.safetensors",
                           preexec_fn=file_limit(1 << 20))
                self.assertEqual(self.out.read_bytes(), b"old")
                self.assertEqual(os.listdir(self.out.parent), ["out.safetensors"])

    def test_interrupted_leaves_the_old_file(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            self.out.write_bytes(b"old")
            process = subprocess.Popen([LUTRA, "cluster", self.large, "--exact", "-o", self.out], stderr=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True)
            # Its first line says that it begins; handlers are in place before.
            self.assertIn("clustering", process.stderr.readline())
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=60)
            self.assertEqual(process.returncode, INTERRUPTED, stderr)
            self.assertEqual(stdout, "")
            self.assertIn("interrupted", stderr)
            self.assertEqual(self.out.read_bytes(), b"old")
            self.assertEqual(os.listdir(self.out.parent), ["out.safetensors"])

    def test_standard_output_that_is_full(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        with open("/dev/full", "w") as full:
            result = subprocess.run([LUTRA, "inspect", self.large], stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(result.returncode, FAILED)
        self.assertIn("standard output", result.stderr)


class Export(CommandTest):
    def test_original_names_and_shapes(self):
        folder = temporary_folder()
        self.lutra("cluster", MODEL, "-o", folder / "small.safetensors")
        for dtype in ("f32", "f16", "bf16"):
            report = self.lutra_json("export", folder / "small.safetensors", "-o", folder / "dense.safetensors", "--dtype",
                                     dtype)
            self.assertEqual(report["bytes_out"], os.path.getsize(folder / "dense.safetensors"))
            before = {t["name"]: t["shape"] for t in self.lutra_json("inspect", MODEL)["tensors"]}
            tensors = self.lutra_json("inspect", folder / "dense.safetensors")["tensors"]
            self.assertEqual({t["name"]: t["shape"] for t in tensors}, before)
            self.assertEqual({t["dtype"] for t in tensors}, {dtype.upper()})


class Random(CommandTest):
    def test_seed(self):
        folder = temporary_folder()
        files = [folder / name for name in ("a", "b", "c")]
        for file, seed in zip(files, (1, 1, 2)):
            report = self.lutra_json("random", "--arch", "deit_tiny_patch16_224", "--seed", seed, "-o", file)
            self.assertEqual((report["seed"], report["arch"]), (seed, "deit_tiny_patch16_224"))
        self.assertEqual(files[0].read_bytes(), files[1].read_bytes())
        self.assertNotEqual(files[0].read_bytes(), files[2].read_bytes())


if __name__ == "__main__":
    main()
