# SPDX-License-Identifier: Apache-2.0
"""profile --on: predictions for described devices, which are called so everywhere."""
import json

from common import MODEL, SOURCE, CommandTest, main, temporary_folder

DEVICES = sorted(path.stem for path in (SOURCE / "data/devices").glob("*.json"))


class Predict(CommandTest):
    def predict(self, *arguments):
        return self.lutra_json("profile", MODEL, *arguments)

    def test_contract(self):
        for device in DEVICES:
            result = self.predict("--on", device, "--mode", "int8")
            self.assertIs(result["predicted"], True)
            self.assertEqual(result["device"], json.loads((SOURCE / f"data/devices/{device}.json").read_text())["title"])
            self.assertEqual((result["mode"], result["batch"]), ("int8", 1))
            self.assertAlmostEqual(result["total_ms"] / sum(step["ms"] for step in result["steps"]), 1, places=6)
            for i, step in enumerate(result["steps"]):
                self.assertEqual(step["index"], i)
                self.assertLessEqual({"op", "name", "block", "ms", "macs", "weight_bytes", "activation_bytes", "dram_bytes", "bound"},
                                     set(step))
                self.assertGreater(step["ms"], 0)
            energy = result["energy"]
            self.assertEqual((energy["source"], energy["mj_per_inference"], energy["idle_w"]), ("unavailable", None, None))
            self.assertGreater(energy["lower_bound_mj"], 0)

    def test_energy(self):
        """Attention beside int8 is in bf16; what is in bf16 takes its energy where the device multiplies it, else f32's."""
        for device, has_bf16 in (("laptop-avx2", False), ("server-zen4", True)):
            pj = {name: number["value"] for name, number in json.loads((SOURCE / f"data/devices/{device}.json").read_text())["pj"].items()}
            bf16 = pj["mac_bf16"] if has_bf16 else pj["mac_f32"]
            for mode, product, attention in (("f32", pj["mac_f32"], pj["mac_f32"]), ("bf16", bf16, pj["mac_f32"]),
                                             ("int8", pj["mac_int8"], bf16)):
                result = self.predict("--on", device, "--mode", mode, "--batch", 3)
                energy = sum(step["macs"] * (product if step["op"] == "gemm" else attention) + step["dram_bytes"] * pj["dram_byte"]
                             for step in result["steps"])
                self.assertAlmostEqual(result["energy"]["lower_bound_mj"] / (1e-9 * energy / 3), 1, places=6, msg=f"{device} {mode}")

    def test_the_word_is_always_there(self):
        text = self.lutra("profile", MODEL, "--on", "pi4", "--dense", "--clusters", 16).stdout
        self.assertEqual(text.count("predicted "), 2)
        self.assertEqual(text.count("pred. ms"), 4)
        self.assertIn("predicted: ", text)
        self.assertIn("a lower bound from counts", text)

    def test_the_same_twice(self):
        self.assertEqual(self.predict("--on", "pi4"), self.predict("--on", "pi4"))

    def test_more_cores_and_pictures(self):
        one, four = self.predict("--on", "pi4", "--threads", 1), self.predict("--on", "pi4", "--threads", 4)
        self.assertLess(four["total_ms"], one["total_ms"])
        self.assertEqual((one["threads"], four["threads"]), (1, 4))
        self.assertGreater(self.predict("--on", "pi4", "--batch", 8)["total_ms"], 4 * four["total_ms"])
        self.fails("profile", MODEL, "--on", "pi4", "--threads", 5, says="which has 4 cores")

    def test_at_most_the_roofline(self):
        """A byte a second and small caches: whatever crosses from memory binds."""
        path = temporary_folder() / "slow.json"
        device = json.loads((SOURCE / "data/devices/laptop-avx2.json").read_text())
        for cache in device["caches"]:
            cache["bytes"]["value"] = 4096
        device["dram_gb_per_s"] = {"one_core": {"value": 1e-9, "source": "assumed: slow"}, "all_cores": {"value": 4e-9, "source": "assumed: slow"}}
        path.write_text(json.dumps(device))
        for threads in (1, 2, 3, 5, 8):
            for step in self.predict("--on", path, "--threads", threads)["steps"]:
                self.assertLessEqual(step["percent_of_roofline"], 100.0001, f"{threads} threads, {step['name']}")

    def test_at_most_the_roofline_of_all_caches(self):
        """Two cores have two caches of the second level."""
        path = temporary_folder() / "small.json"
        device = json.loads((SOURCE / "data/devices/server-zen4.json").read_text())
        for cache, size in zip(device["caches"], (1024, 8192, 65536)):
            cache["bytes"]["value"] = size
            if "gb_per_s" in cache:
                cache["gb_per_s"]["value"] *= 1e-6
        path.write_text(json.dumps(device))
        for threads in (1, 2):
            for step in self.predict("--on", path, "--threads", threads)["steps"]:
                self.assertLessEqual(step["percent_of_roofline"], 100.0001, f"{threads} threads, {step['name']}")

    def test_unknown_device(self):
        self.fails("profile", MODEL, "--on", "pi6", says=["unknown device 'pi6'", "did you mean pi4 or pi5?", "server-zen3"])
        self.fails("profile", MODEL, "--on", "toaster", says=["unknown device 'toaster'", *DEVICES])
        self.fails("profile", MODEL, "--on", "../devices/pi4", says="there is no such file")

    def test_a_description_of_ones_own(self):
        path = temporary_folder() / "mine.json"
        device = json.loads((SOURCE / "data/devices/pi4.json").read_text())
        device["clock_ghz"]["value"] *= 2
        path.write_text(json.dumps(device))
        compute = [step["ms"] for step in self.predict("--on", "pi4")["steps"] if step["bound"] == "compute"]
        self.assertTrue(compute)
        self.assertLess(self.predict("--on", path)["total_ms"], self.predict("--on", "pi4")["total_ms"])
        path.write_text('{"name": "mine",\n "title": }')
        self.fails("profile", MODEL, "--on", path, says=["mine.json: byte 2", "invalid JSON"])
        path.write_text("{}")
        self.fails("profile", MODEL, "--on", path, says=["mine.json", '"name"'])


if __name__ == "__main__":
    main()
