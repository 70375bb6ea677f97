# SPDX-License-Identifier: Apache-2.0
"""embed: a NumPy file with a row of features per picture."""
import json
import pathlib

import numpy

from common import HEADLESS, MODEL, UNREADABLE, CommandTest, main, png, temporary_folder


class Embed(CommandTest):
    def setUp(self):
        self.folder = temporary_folder()
        self.pictures = [png(self.folder / "photos" / f"{i}.png", 30 * i) for i in range(5)]
        self.out = self.folder / "out" / "features.npy"
        self.out.parent.mkdir()

    def test_rows_follow_the_inputs(self):
        result = self.lutra_json("embed", MODEL, self.pictures[4], self.folder / "photos", "-o", self.out)
        features = numpy.load(self.out, allow_pickle=False)
        self.assertEqual((features.shape, features.dtype), ((6, 16), numpy.float32))
        self.assertEqual(result["shape"], [6, 16])
        self.assertEqual(result["files"], [self.pictures[4], *self.pictures])
        self.assertTrue((features[0] == features[5]).all())
        self.assertFalse((features[0] == features[1]).all())
        for key in ("threads", "isa", "preprocessing"):
            self.assertIn(key, result)

    def test_batches_do_not_matter(self):
        rows = []
        for batch in (1, 2, 16):
            self.lutra("embed", MODEL, *self.pictures, "-o", self.out, "--batch", batch)
            rows.append(numpy.load(self.out))
        self.assertTrue((rows[0] == rows[1]).all() and (rows[0] == rows[2]).all())

    def test_unreadable_rows_are_nan(self):
        empty = self.folder / "empty.png"
        empty.touch()
        result = self.lutra("embed", MODEL, self.pictures[0], empty, self.pictures[1], "-o", self.out,
                            status=UNREADABLE)
        self.assertIn("empty.png", result.stderr)
        features = numpy.load(self.out)
        self.assertTrue(numpy.isnan(features[1]).all())
        self.assertTrue(numpy.isfinite(features[[0, 2]]).all())

    def test_nothing_readable(self):
        self.out.write_bytes(b"old")
        self.fails("embed", MODEL, self.folder / "none.png", "-o", self.out, says="none.png")
        self.assertEqual(self.out.read_bytes(), b"old")

    def test_features_are_what_the_head_sees(self):
        """Logits = head(features): the probabilities of classify follow from the file's head."""
        self.lutra("embed", MODEL, self.pictures[2], "--mode", "f32", "-o", self.out)  # bf16 would round the features
        data = (pathlib.Path(MODEL) / "model.safetensors").read_bytes()
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8:8 + size])

        def tensor(name):
            start, end = header[name]["data_offsets"]
            return numpy.frombuffer(data[8 + size + start:8 + size + end], "<f4").reshape(header[name]["shape"])

        logits = numpy.load(self.out)[0] @ tensor("head.weight").T + tensor("head.bias")
        probabilities = numpy.exp(logits - logits.max()) / numpy.exp(logits - logits.max()).sum()
        for p in self.lutra_json("classify", MODEL, self.pictures[2], "--mode", "f32", "--top", 10)[0]["predictions"]:
            # Sums of 16 floats in another order.
            self.assertAlmostEqual(p["probability"], probabilities[p["index"]], delta=1e-5)

    def test_model_without_a_head(self):
        self.lutra("embed", HEADLESS, self.pictures[0], "-o", self.out)
        self.assertEqual(numpy.load(self.out).shape[0], 1)

    def test_output_that_is_a_folder(self):
        self.fails("embed", MODEL, self.pictures[0], "-o", self.out.parent, says="folder")

    def test_a_link_in_the_temporary_file_s_place_is_not_followed(self):
        victim = self.folder / "victim"
        victim.write_text("mine")
        (self.out.parent / ".features.npy.lutra-tmp").symlink_to(victim)
        self.fails("embed", MODEL, self.pictures[0], "-o", self.out, says="features.npy")
        self.assertEqual(victim.read_text(), "mine")


if __name__ == "__main__":
    main()
