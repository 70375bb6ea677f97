# SPDX-License-Identifier: Apache-2.0
"""compare: the drift of activations, and the step where it begins."""
import unittest

from common import HEADLESS, MODEL, UNREADABLE, USAGE, CommandTest, main, png, scaled_model, temporary_folder


class Compare(CommandTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = temporary_folder()
        cls.pictures = cls.folder / "pictures"
        for i in range(20):
            png(cls.pictures / f"{i:02}.png", 9 * i)

    def clustered(self, clusters):
        path = self.folder / f"{clusters}.safetensors"
        self.lutra("cluster", MODEL, "-o", path, "--clusters", clusters)
        return path

    def compare(self, *arguments, **options):
        mode = [] if "--mode" in arguments else ["--mode", "f32"]
        return self.lutra_json("compare", *arguments, *mode, "--images", self.pictures, **options)

    def test_a_model_is_itself(self):
        result = self.compare(MODEL, MODEL)
        self.assertEqual((result["images"], result["kl"], result["agreement"]), (20, 0, 100))
        for step in result["steps"]:
            self.assertIsNone(step["snr_db"])  # nothing differs: infinite
            self.assertAlmostEqual(step["cosine"], 1, places=9)
        text = self.lutra("compare", MODEL, MODEL, "--images", self.pictures, "--mode", "f32").stdout
        for part in ("embedding", "block 0", "head", "inf", "agreement     100.00 %"):
            self.assertIn(part, text)

    def test_fewer_clusters_drift_further(self):
        fine, coarse = (self.compare(self.clustered(clusters), MODEL) for clusters in (64, 4))
        plan = self.lutra_json("inspect", MODEL, "--plan")["plan"]
        self.assertEqual([step["name"] for step in fine["steps"]], [step["name"] for step in plan])
        self.assertEqual([block["block"] for block in fine["blocks"]], [None, 0, None])
        for a, b in zip(fine["blocks"], coarse["blocks"]):
            self.assertGreater(a["snr_db"], b["snr_db"] + 6)
            self.assertGreater(a["cosine"], b["cosine"])
        truth = self.folder / "truth.txt"
        truth.write_text("".join(f"{i:02}.png 0\n" for i in range(20)))
        judged = self.lutra_json("eval", self.clustered(4), "--images", self.pictures, "--labels", truth, "--against", MODEL, "--mode",
                                 "f32")
        # f32 logits in runs of another batch.
        self.assertAlmostEqual(judged["kl"] / coarse["kl"], 1, delta=1e-3)
        self.assertEqual(judged["agreement"], coarse["agreement"])

    def test_the_matrix_that_differs_is_found(self):
        """Scaled by 1.1: its output is off by a tenth of what it adds, and all before it is the same."""
        folder = scaled_model(self.folder / "spoilt", MODEL, {"head.weight": 1.1})
        *before, head = self.compare(folder, MODEL)["steps"]
        self.assertTrue(all(step["snr_db"] is None for step in before))
        self.assertEqual(head["name"], "head")
        self.assertGreater(head["snr_db"], 15)
        self.assertLess(head["snr_db"], 25)

    def test_modes_and_steps(self):
        path = self.clustered(64)
        result = self.compare(path, path, "--mode", "int8")
        self.assertTrue(20 < result["blocks"][1]["snr_db"] < 80)
        self.assertEqual((result["mode"], result["against_mode"]), ("int8", "f32"))
        text = self.lutra("compare", path, MODEL, "--images", self.pictures, "--steps").stdout
        for step in result["steps"]:
            self.assertIn(step["name"], text)

    def test_without_classes(self):
        result = self.compare(HEADLESS, HEADLESS)
        self.assertIsNone(result["kl"])
        self.assertEqual(result["images"], 20)

    def test_what_cannot_be_compared(self):
        self.fails("compare", MODEL, HEADLESS, "--images", self.pictures, says="cannot be compared")
        self.fails("compare", MODEL, "--images", self.pictures, status=USAGE, says="two models")
        self.fails("compare", MODEL, MODEL, status=USAGE, says="--images")
        self.fails("compare", MODEL, MODEL, "--images", self.folder / "none", says="none")
        some = self.folder / "some"
        png(some / "a.png", 1)
        (some / "b.png").write_text("no picture")
        result = self.lutra("compare", MODEL, MODEL, "--images", some, status=UNREADABLE)
        self.assertIn("1 pictures, 1 unreadable", result.stdout)


if __name__ == "__main__":
    main()
