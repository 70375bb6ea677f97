# SPDX-License-Identifier: Apache-2.0
"""cluster --budget and --report: what is kept to, what is told, and what is said of budgets that cannot be."""
import json
import os
import re
import signal
import subprocess
import unittest

from common import HEADLESS, INTERRUPTED, LUTRA, MODEL, SOURCE, USAGE, CommandTest, main, png, scaled_model, temporary_folder


class Budget(CommandTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = temporary_folder()
        cls.pictures = cls.folder / "pictures"
        for i in range(40):
            png(cls.pictures / f"{i:02}.png", 6 * i)
        cls.truth = cls.folder / "truth.txt"
        cls.truth.write_text("".join(f"{i:02}.png {i % 7}\n" for i in range(40)))

    def setUp(self):
        self.out = temporary_folder() / "out.safetensors"

    def spend(self, budget, *arguments, **options):
        return self.lutra_json("cluster", MODEL, "-o", self.out, "--calibrate", self.pictures, "--budget", budget,
                               *arguments, **options)

    def kl(self, model=MODEL):
        return self.lutra_json("eval", self.out, "--images", self.pictures, "--labels", self.truth, "--against", model,
                               "--mode", "f32")["kl"]

    def nothing_is_left(self):
        self.assertEqual(os.listdir(self.out.parent), [])

    @staticmethod
    def mean_bits(tensors):
        weights = [t["n"] * t["k"] for t in tensors]
        return sum(t["bits"] * n for t, n in zip(tensors, weights)) / sum(weights)

    def test_bits(self):
        report = self.spend("4bits")
        bits = {t["name"]: t["bits"] for t in report["tensors"]}
        self.assertGreater(len(set(bits.values())), 1)
        self.assertLessEqual(self.mean_bits(report["tensors"]), 4)
        self.assertAlmostEqual(self.mean_bits(report["tensors"]), report["chosen"]["bits"])
        for tensor in report["tensors"]:
            self.assertEqual(tensor["clusters"], 2 ** tensor["bits"])
            self.assertEqual([s["clusters"] for s in tensor["sensitivity"]], [4, 8, 16, 64])
            self.assertGreater(tensor["output_error"], 0)
        points = report["curve"]
        self.assertEqual(points, sorted(points, key=lambda p: (p["bytes"], -p["kl"])))
        in_file = {t["name"]: t["bits"] for t in self.lutra_json("inspect", self.out, "--verify")["tensors"] if t["clusters"]}
        self.assertEqual(in_file, bits)
        # No picture was left over: the loss is that on the calibration pictures, as eval measures it. The tolerance
        # covers f32 logits in runs of another batch.
        self.assertEqual((report["kl_of"], report["kl_pictures"]), ("calibration", 40))
        self.assertAlmostEqual(self.kl() / report["chosen"]["kl"], 1, delta=1e-3)

    def test_the_loss_is_that_of_the_file(self):
        """Also where biases, which take up the mean of errors, are of 16 bits and round it."""
        for name in ("timm-bf16", "timm-f16"):
            model = SOURCE / "tests/golden/models" / name
            for budget in ("3bits", "7bits"):
                report = self.lutra_json("cluster", model, "-o", self.out, "--calibrate", self.pictures, "--budget", budget)
                self.assertAlmostEqual(self.kl(model) / report["chosen"]["kl"], 1, delta=1e-3, msg=f"{name}, {budget}")

    def test_widths_of_all_kinds_run_as_the_dense_matrices_they_stand_for(self):
        dense = self.out.parent / "dense.safetensors"
        for budget in ("2.5bits", "5bits"):
            self.spend(budget)
            self.lutra("export", self.out, "-o", dense)
            for step in self.lutra_json("compare", self.out, dense, "--images", self.pictures, "--mode", "f32")["steps"]:
                # One rounding more or less of f32 in a sum of some dozens: 24 bits are 144 dB.
                self.assertGreater(step["snr_db"] or 1000, 110, step["name"])

    def test_bytes(self):
        for budget in (9500, 10500, 12500):
            report = self.spend(f"{budget}B")
            self.assertLessEqual(self.out.stat().st_size, budget)
            self.assertEqual(self.out.stat().st_size, report["chosen"]["bytes"])
        self.assertEqual(self.spend("1GiB")["chosen"]["bits"], max(p["bits"] for p in report["curve"]))

    def test_the_least_size_is_told_and_can_be_had(self):
        self.out.unlink(missing_ok=True)
        result = self.fails("cluster", MODEL, "-o", self.out, "--calibrate", self.pictures, "--budget", "100B", says="100 bytes")
        self.nothing_is_left()
        least = re.search(r"everywhere, has (\d+)", result.stderr).group(1)
        self.spend(f"{least}B")
        self.assertLessEqual(self.out.stat().st_size, int(least))

    def test_loss(self):
        coarse = self.spend("kl=0.05")
        self.assertEqual((coarse["kl_of"], coarse["kl_pictures"], coarse["calibration_pictures"]), ("validation", 10, 30))
        self.assertLessEqual(coarse["chosen"]["kl"], 0.05)
        fine = self.spend("kl=0.002")
        self.assertLessEqual(fine["chosen"]["kl"], 0.002)
        self.assertGreater(fine["bytes_out"], coarse["bytes_out"])
        text = self.lutra("cluster", MODEL, "-o", self.out, "--calibrate", self.pictures, "--budget", "kl=0.05")
        self.assertIn("10 others to judge on", text.stderr)
        self.assertIn("on 10 pictures that were not calibrated on", text.stdout)

    def test_pictures_left_over_judge(self):
        report = self.spend("4bits", "--calibrate-count", 24)
        self.assertEqual((report["kl_of"], report["kl_pictures"], report["calibration_pictures"]), ("validation", 16, 24))

    def test_loss_that_cannot_be_met(self):
        self.fails("cluster", MODEL, "-o", self.out, "--calibrate", self.pictures, "--budget", "kl=1e-9",
                   says=["KL of 1e-09 cannot be met", "bits an index, and more are not expected to lower it"])
        self.nothing_is_left()

    def test_loss_that_no_bits_seem_to_lower(self):
        """Where more clusters seem to lose more, the first point of the curve is the last one, far from all bits there are."""
        path = self.folder / "rising.json"
        self.spend("3bits", "--report", path)
        report = json.loads(path.read_text())
        for tensor in report["tensors"]:
            for i, point in enumerate(tensor["sensitivity"]):
                point["kl"] = 0.1 + 0.01 * i
        path.write_text(json.dumps(report))
        self.fails("cluster", MODEL, "-o", self.out, "--calibrate", self.pictures, "--budget", "kl=1e-9", "--report", path,
                   says="1.00 bits an index, and more are not expected to lower it")

    def test_loss_that_cannot_be_measured(self):
        """Logits that overflow: whatever is done to the weights, no loss can be told."""
        model = scaled_model(self.folder / "large", MODEL, {"norm.weight": 1e3, "norm.bias": 1e3, "head.weight": 1e37})
        for budget in ("kl=0.01", "4bits"):
            self.fails("cluster", model, "-o", self.out, "--calibrate", self.pictures, "--budget", budget,
                       says=["large", "is not finite"])
            self.nothing_is_left()

    def test_sensitivities_are_taken_from_a_report(self):
        path = self.folder / "report.json"
        path.write_text("no report")
        first = self.spend("3bits", "--report", path)
        report = json.loads(path.read_text())
        self.assertEqual(report["tensors"], first["tensors"])
        self.assertEqual([t["clusters"] for t in self.spend("3bits", "--report", path)["tensors"]],
                         [t["clusters"] for t in first["tensors"]])
        # Where they say that only the head matters, it gets all there is; but not with those of another model.
        for source, most in ((report["source_sha256"], True), ("0" * 64, False)):
            for tensor in report["tensors"]:
                for i, point in enumerate(tensor["sensitivity"]):
                    point["kl"] = 0.1 ** i if tensor["name"] == "head.weight" else 1e-9 * 0.5 ** i
            path.write_text(json.dumps({**report, "source_sha256": source}))
            told = self.spend("3bits", "--report", path)
            clusters = {t["name"]: t["clusters"] for t in told["tensors"]}
            self.assertEqual(clusters["head.weight"] == 128, most)

    def test_report_without_a_budget(self):
        path = self.folder / "plain.json"
        self.lutra("cluster", MODEL, "-o", self.out, "--clusters", 16, "--report", path)
        for tensor in json.loads(path.read_text())["tensors"]:
            self.assertEqual((tensor["clusters"], tensor["bits"]), (16, 4))
            self.assertGreater(tensor["relative_error"], 0)
            self.assertIsNone(tensor["output_error"])
            self.assertIsNone(tensor["sensitivity"])
        self.fails("cluster", MODEL, "-o", self.out, "--report", self.folder, says="folder")
        self.fails("cluster", MODEL, "-o", self.out, "--report", self.out, says="out.safetensors")

    def test_deterministic_on_any_number_of_threads(self):
        files = []
        for threads in (1, 3):
            self.spend("kl=0.02", "--threads", threads)
            files.append(self.out.read_bytes())
        self.assertEqual(files[0], files[1])

    def test_budgets_that_are_none(self):
        for budget in ("", "4", "MiB", "-4MiB", "4 MiB", "4mib", "0bits", "nanbits", "infbits", "1e999MiB", "0x4MiB", "kl", "kl=",
                       "kl=0", "kl=-1", "kl=0.1x", "kl=0.1bits", "4bitsx", "0.9bits", "8.1bits"):
            with self.subTest(budget):
                self.fails("cluster", MODEL, "-o", self.out, "--calibrate", self.pictures, "--budget", budget, status=USAGE,
                           says="--budget")
        for more, says in ((["--clusters", 16, "--calibrate", self.pictures], "--clusters and --budget"),
                           ([], "--budget needs --calibrate"),
                           (["--scope", "model", "--calibrate", self.pictures], "--scope model")):
            for budget in ("4bits", "kl=0.01"):
                self.fails("cluster", MODEL, "-o", self.out, "--budget", budget, *more, status=USAGE, says=says)
        self.fails("cluster", HEADLESS, "-o", self.out, "--calibrate", self.pictures, "--budget", "4bits", says="no head")
        self.nothing_is_left()

    def test_too_few_pictures_for_a_loss(self):
        few = self.folder / "few"
        for i in range(20):
            png(few / f"{i}.png", i)
        self.fails("cluster", MODEL, "-o", self.out, "--calibrate", few, "--budget", "kl=0.01",
                   says=["20 pictures", "a quarter of all to be judged on"])
        self.nothing_is_left()
        self.lutra("cluster", MODEL, "-o", self.out, "--calibrate", few, "--budget", "4bits")

    def test_interrupted_leaves_nothing(self):
        model = str(self.folder / "large.safetensors")
        self.lutra("random", "--arch", "vit_tiny_patch16_224", "-o", model)
        process = subprocess.Popen([LUTRA, "cluster", model, "--calibrate", self.pictures, "--budget", "4bits", "--report",
                                    self.out.parent / "report.json", "-o", self.out],
                                   stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.assertIn("clustering", process.stderr.readline())
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=240)
        self.assertEqual(process.returncode, INTERRUPTED, stderr)
        self.assertEqual(stdout, "")
        self.nothing_is_left()


if __name__ == "__main__":
    main()
