# SPDX-License-Identifier: Apache-2.0
"""cluster --calibrate: what it gains, which pictures it takes, and what is said of bad ones."""
import os
import signal
import subprocess
import unittest

from common import (INTERRUPTED, LUTRA, MODEL, SANITIZED, SOURCE, UNREADABLE, CommandTest, main, png, scaled_model,
                    temporary_folder)

EMBEDDED = SOURCE / "data/embedded"


class Calibrate(CommandTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = temporary_folder()
        for i in range(24):
            png(cls.folder / "pictures" / f"{i:02}.png", 9 * i)
        cls.pictures = cls.folder / "pictures"

    def setUp(self):
        self.out = temporary_folder() / "out.safetensors"

    def calibrate(self, *arguments, **options):
        return self.lutra_json("cluster", MODEL, "-o", self.out, "--clusters", 4, "--calibrate", *arguments, **options)

    def nothing_is_left(self):
        self.assertEqual(os.listdir(self.out.parent), [])

    def test_outputs_are_nearer_than_without(self):
        """On the pictures themselves; unseen ones are the embedded model's business, below."""
        truth = self.folder / "truth.txt"
        truth.write_text("".join(f"{i:02}.png {i % 10}\n" for i in range(24)))
        kl = []
        for options in ([], ["--calibrate", self.pictures]):
            for scope in ("row", "tensor", "model"):
                self.lutra("cluster", MODEL, "-o", self.out, "--clusters", 4, "--scope", scope, *options)
                self.lutra("inspect", self.out, "--verify")
                kl.append(self.lutra_json("eval", "--mode", "f32", self.out, "--images", self.pictures, "--labels", truth, "--against",
                                          MODEL)["kl"])
        for plain, calibrated in zip(kl[:3], kl[3:]):
            self.assertLess(calibrated, 0.75 * plain)

    def test_report(self):
        report = self.calibrate(self.pictures, "--threads", 2)
        self.assertEqual(report["calibration_pictures"], 24)
        config = self.lutra_json("inspect", self.out)
        self.assertEqual(config["model"]["arch"], report["arch"])
        text = self.lutra("cluster", MODEL, "-o", self.out, "--calibrate", self.pictures).stdout
        self.assertIn("on 24 pictures", text)

    def test_deterministic_on_any_number_of_threads(self):
        files = []
        for threads in (1, 3):
            self.calibrate(self.pictures, "--threads", threads)
            files.append(self.out.read_bytes())
        self.assertEqual(files[0], files[1])

    def test_count_picks_evenly(self):
        """16 of 24: those that stand at 0, 1, 3, 4, 6, ...; the others need not even be pictures."""
        folder = self.folder / "spoilt"
        kept = {i * 24 // 16 for i in range(16)}
        for i in range(24):
            if i in kept:
                png(folder / f"{i:02}.png", 9 * i)
            else:
                (folder / f"{i:02}.png").write_text("no picture")
        self.assertEqual(self.calibrate(folder, "--calibrate-count", 16)["calibration_pictures"], 16)
        one = self.out.read_bytes()
        self.calibrate(self.pictures, "--calibrate-count", 16)
        self.assertEqual(one, self.out.read_bytes())

    def test_lists(self):
        listed = self.folder / "list.txt"
        listed.write_text("".join(f"{self.pictures}/{i:02}.png\n" for i in range(24)))
        self.assertEqual(self.calibrate(f"@{listed}")["calibration_pictures"], 24)

    def test_unreadable_pictures_are_left_out(self):
        folder = self.folder / "some"
        for i in range(20):
            png(folder / f"{i}.png", i)
        (folder / "broken.jpg").write_text("no picture")
        result = self.lutra("cluster", MODEL, "-o", self.out, "--calibrate", folder, status=UNREADABLE)
        self.assertIn("broken.jpg", result.stderr)
        self.assertIn("on 20 pictures", result.stdout)
        self.lutra("inspect", self.out, "--verify")

    def test_pictures_that_do_not_differ(self):
        """A lens cap, blank pages, the same picture again and again."""
        for name, shade, size in (("black", 0, 1), ("grey", 100, 1), ("white", 255, 1), ("same", 9, 31)):
            folder = self.folder / name
            for i in range(20):
                png(folder / f"{i}.png", shade, size, size)
            with self.subTest(name):
                self.lutra("cluster", MODEL, "-o", self.out, "--clusters", 4)
                plain = self.loss()
                self.calibrate(folder)
                self.assertLess(self.loss(), 3 * plain)

    def loss(self):
        truth = self.folder / "all.txt"
        truth.write_text("".join(f"{i:02}.png {i % 10}\n" for i in range(24)))
        return self.lutra_json("eval", "--mode", "f32", self.out, "--images", self.pictures, "--labels", truth, "--against",
                               MODEL)["kl"]

    def test_numbers_too_large_for_calibration(self):
        """The head is clustered as without pictures; all others as ever."""
        model = scaled_model(self.folder / "large", MODEL, {"norm.weight": 1e16, "norm.bias": 1e16, "head.weight": 1e12})
        for codebook in ("i8", "f32"):
            options = [model, "-o", self.out, "--clusters", 4, "--codebook", codebook, "--errors"]
            plain = self.lutra_json("cluster", *options)["tensors"][-1]
            *others, head = self.lutra_json("cluster", *options, "--calibrate", self.pictures)["tensors"]
            self.assertEqual(head["name"], "head.weight")
            self.assertEqual((head["squared_error"], head["output_error"]), (plain["squared_error"], None))
            for tensor in others:
                self.assertGreater(tensor["output_error"], 0)
            self.lutra("inspect", self.out, "--verify")
            text = self.lutra("cluster", *options, "--calibrate", self.pictures).stdout
            self.assertRegex(text, r"head\.weight .* -\n")

    def test_weights_up_to_the_largest_float(self):
        """Every other row of one magnitude, whose scale may then be larger than the other rows' entries allow."""
        def spread(weights):
            even = [2e38 * (1 + i / len(weights) / 3) * (-1 if x < 0 else 1) for i, x in enumerate(weights)]
            largest = max(map(abs, weights))
            row = 16  # inputs
            return [even[i] if i // row % 2 else 3.3e38 * x / largest for i, x in enumerate(weights)]

        model = scaled_model(self.folder / "huge", MODEL, {"blocks.0.norm2.weight": 1e-37, "blocks.0.norm2.bias": 1e-37,
                                                           "blocks.0.mlp.fc1.weight": spread})
        for clusters in (4, 64):
            self.lutra("cluster", model, "-o", self.out, "--clusters", clusters, "--calibrate", self.pictures)
            self.lutra("inspect", self.out, "--verify")

    def test_biases_stay_within_their_type(self):
        model = scaled_model(self.folder / "f16", SOURCE / "tests/golden/models/timm-f16",
                             {"blocks.1.norm2.weight": 3000, "blocks.1.norm2.bias": 3000, "blocks.1.mlp.fc2.weight": 300})
        self.lutra("cluster", model, "-o", self.out, "--clusters", 2, "--calibrate", self.pictures)
        self.assertIn("model", self.lutra_json("inspect", self.out))
        self.lutra("classify", self.out, self.pictures / "00.png")

    def test_folders_that_do_not_serve(self):
        empty, few, broken = (self.folder / name for name in ("empty", "few", "broken"))
        empty.mkdir()
        broken.mkdir()
        for i in range(15):
            png(few / f"{i}.png", i)
        for i in range(16):
            (broken / f"{i}.jpg").write_text("no picture")
        for folder, says in ((empty, "holds no pictures"), (few, "15 pictures"), (broken, "0 pictures"),
                             (self.folder / "none", "none")):
            with self.subTest(folder.name):
                self.fails("cluster", MODEL, "-o", self.out, "--calibrate", folder, says=says)
                self.nothing_is_left()
        self.fails("cluster", self.folder / "no-model", "-o", self.out, "--calibrate", self.pictures, says="no-model")

    def test_interrupted_leaves_nothing(self):
        model = str(self.folder / "large.safetensors")
        self.lutra("random", "--arch", "vit_tiny_patch16_224", "-o", model)
        process = subprocess.Popen([LUTRA, "cluster", model, "--calibrate", self.pictures, "-o", self.out],
                                   stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.assertIn("clustering", process.stderr.readline())
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=120)
        self.assertEqual(process.returncode, INTERRUPTED, stderr)
        self.assertEqual(stdout, "")
        self.nothing_is_left()

    def test_interrupted_while_pictures_are_read(self):
        listed = self.folder / "with-standard-input.txt"
        listed.write_text("-\n" + "".join(f"{self.pictures}/{i:02}.png\n" for i in range(24)))
        process = subprocess.Popen([LUTRA, "cluster", MODEL, "--calibrate", f"@{listed}", "-o", self.out], stdin=subprocess.PIPE,
                                   stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        process.stdin.write(bytes(1 << 20))  # more than a pipe holds: when it is written, it is being read
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
        self.assertEqual((process.returncode, stdout, stderr), (INTERRUPTED, b"", b"lutra: interrupted\n"))
        self.nothing_is_left()

    @unittest.skipIf(SANITIZED, "minutes under a sanitizer, and no code that the others do not run")
    def test_unseen_pictures_of_the_embedded_model(self):
        """Calibrated on every 16th test picture, judged on others."""
        names = sorted(path.name for path in (EMBEDDED / "test").iterdir() if path.suffix == ".png")
        listed, truth = self.folder / "calibration.txt", self.folder / "others.txt"
        listed.write_text("".join(f"{EMBEDDED}/test/{name}\n" for name in names[::16]))
        truth.write_text("".join(f"{name} 0\n" for i, name in enumerate(names) if i % 16 == 8))
        kl = []
        for options in ([], ["--calibrate", f"@{listed}", "--calibrate-count", 128]):
            self.lutra("cluster", EMBEDDED, "-o", self.out, "--clusters", 8, *options)
            kl.append(self.lutra_json("eval", "--mode", "f32", self.out, "--images", EMBEDDED / "test", "--labels", truth, "--against",
                                      EMBEDDED)["kl"])
        self.assertLess(kl[1], 0.5 * kl[0])


if __name__ == "__main__":
    main()
