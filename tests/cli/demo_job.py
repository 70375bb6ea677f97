#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What ./demo shows, on so few pictures that an emulated processor can do it too: scripts/check_arm runs this on the program
for a device."""
import unittest

from common import SOURCE, CommandTest, main, temporary_folder

DENSE = SOURCE / "data/embedded"
EVERY = 216  # of the 2160 test pictures


class DemoJob(CommandTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = temporary_folder()

    def setUp(self):
        self.model = self.folder / "64.safetensors"
        if not self.model.exists():
            self.lutra("cluster", DENSE, "--clusters", 64, "-o", self.model, "--quiet")

    def test_size(self):
        self.assertLessEqual(4.8 * self.model.stat().st_size, (DENSE / "model.safetensors").stat().st_size)

    def test_line(self):
        """The characters that the crops of the line are taken for."""
        rows = [row.split("\t") for row in (DENSE / "test/labels.tsv").read_text(encoding="utf-8").splitlines()]
        character = {int(row[1]): row[3] for row in rows[1:]}
        crops = sorted((DENSE / "line").glob("*.png"))
        found = self.lutra_json("classify", self.model, *crops, "--top", 1, "--quiet", "--mode", "int8")
        self.assertEqual("".join(character[item["predictions"][0]["index"]] for item in found),
                         (DENSE / "line/line.txt").read_text(encoding="utf-8").strip())

    def test_accuracy(self):
        images = self.folder / "sample"
        images.mkdir()
        labels = (DENSE / "test/labels.tsv").read_text(encoding="utf-8").splitlines()
        chosen = labels[1::EVERY]
        (images / "labels.tsv").write_text("\n".join(labels[:1] + chosen) + "\n", encoding="utf-8")
        for name in (row.split("\t")[0] for row in chosen):
            (images / name).symlink_to(DENSE / "test" / name)
        for mode in ("f32", "int8"):
            result = self.lutra_json("eval", self.model, "--images", images, "--against", DENSE, "--mode", mode)
            self.assertEqual(result["images"], 2160 // EVERY)
            # embedded.py holds all pictures to 0.003 nats; a few of them may lie further out.
            self.assertLessEqual(result["kl"], 0.01)
            self.assertGreaterEqual(result["agreement"], 90)  # one of ten may turn


if __name__ == "__main__":
    main()
