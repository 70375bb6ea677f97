# SPDX-License-Identifier: Apache-2.0
"""The embedded model on all its test pictures: accuracy as recorded, and what clustering and int8 may cost.

The recorded figures are those of training/README.md. A change of kernels may turn a picture or two whose first
classes lie within rounding; a mistake turns many more.
"""
import pathlib
import unittest

from common import SANITIZED, SOURCE, CommandTest, main, temporary_folder

DENSE = SOURCE / "data/embedded"
IMAGES = DENSE / "test"
PICTURES = 2160
TOP1 = 100 * 1960 / PICTURES
TURNED = 100 * 3 / PICTURES  # three pictures, in points


@unittest.skipIf(SANITIZED, "thousands of pictures: too slow under a sanitizer, and no other code than eval.py's")
class Embedded(CommandTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = temporary_folder()

    def cluster(self, clusters):
        """Path of the model with so many clusters."""
        path = self.folder / f"{clusters}.safetensors"
        self.lutra("cluster", DENSE, "--clusters", clusters, "-o", path, "--quiet")
        return path

    def against_dense(self, model, *arguments):
        """eval's figures; the dense model's top-1 is checked on the way."""
        result = self.lutra_json("eval", model, "--images", IMAGES, "--against", DENSE, "--mode", "f32", *arguments)
        self.assertEqual((result["images"], result["unreadable"]), (PICTURES, 0))
        self.assertAlmostEqual(result["against"]["top1"], TOP1, delta=TURNED)
        return result

    def test_64_clusters(self):
        model = self.cluster(64)
        size = pathlib.Path(model).stat().st_size
        self.assertLessEqual(4.8 * size, (DENSE / "model.safetensors").stat().st_size)
        result = self.against_dense(model)
        # Recorded: +0.09 points, 99.12 % and 0.00163 nats.
        self.assertGreaterEqual(result["top1_change"], -0.5)
        self.assertGreaterEqual(result["agreement"], 98.8)
        self.assertLessEqual(result["kl"], 0.003)

    def test_16_clusters(self):
        # Recorded: -0.28 points, 96.90 % and 0.0249 nats. Too good would be as suspicious as too bad.
        result = self.against_dense(self.cluster(16))
        self.assertGreaterEqual(result["top1_change"], -2)
        self.assertGreaterEqual(result["agreement"], 95.5)
        self.assertLessEqual(result["kl"], 0.05)
        self.assertGreaterEqual(result["kl"], 0.005)

    def test_int8(self):
        # Recorded: 0.00 points, 99.58 % and 0.00057 nats.
        result = self.against_dense(DENSE, "--mode", "int8")
        self.assertGreaterEqual(result["top1_change"], -0.5)
        self.assertLessEqual(result["kl"], 0.0015)


if __name__ == "__main__":
    main()
