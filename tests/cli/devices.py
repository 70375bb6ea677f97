# SPDX-License-Identifier: Apache-2.0
"""The descriptions of devices, and that the check of them finds what may be wrong with one."""
import copy
import json
import sys
import unittest

from common import SOURCE, main, temporary_folder

sys.path.insert(0, str(SOURCE / "scripts"))
import check_devices  # noqa: E402

DEVICES = sorted((SOURCE / "data/devices").glob("*.json"))


class Devices(unittest.TestCase):
    def test_each_is_sound(self):
        self.assertGreaterEqual(len(DEVICES), 8)
        for path in DEVICES:
            problems, notes = check_devices.check(path)
            self.assertEqual(problems, [], path.name)
            for note in notes:
                print(f"# {path.stem}: {note}")


class Broken(unittest.TestCase):
    def setUp(self):
        self.path = temporary_folder() / "pi4.json"
        self.device = json.loads((SOURCE / "data/devices/pi4.json").read_text())

    def problems(self, change):
        device = copy.deepcopy(self.device)
        change(device)
        self.path.write_text(json.dumps(device))
        return " ".join(check_devices.check(self.path)[0])

    def test_the_copy_is_sound(self):
        self.assertEqual(self.problems(lambda device: None), "")

    def test_no_json(self):
        self.path.write_text('{"name": ')
        self.assertIn("line 1", check_devices.check(self.path)[0][0])

    def test_missing_numbers_and_sources(self):
        self.assertIn("clock_ghz", self.problems(lambda device: device.pop("clock_ghz")))
        self.assertIn("macs_per_cycle.int8", self.problems(lambda device: device["macs_per_cycle"].pop("int8")))
        self.assertIn("pj.dram_byte is not {value, source}", self.problems(lambda device: device["pj"].update(dram_byte=32)))
        self.assertIn("cores has no source", self.problems(lambda device: device["cores"].update(source="")))
        self.assertIn("cores is not above 0", self.problems(lambda device: device["cores"].update(value=0)))

    def test_names_and_levels(self):
        self.assertIn("name is not the file's", self.problems(lambda device: device.update(name="pi5")))
        self.assertIn("order of their levels", self.problems(lambda device: device["caches"].reverse()))

    def test_a_peak_below_what_another_engine_reached(self):
        self.assertIn("less than the", self.problems(lambda device: device["clock_ghz"].update(value=0.5)))

    def test_too_few_latencies(self):
        self.assertIn("fewer than 2", self.problems(lambda device: device.update(published=device["published"][:1])))
        self.assertEqual(self.problems(lambda device: device.update(published=[], unchecked="none was found")), "")

    def test_a_latency_without_an_address(self):
        self.assertIn("without an address", self.problems(lambda device: device["published"][0].update(source="somewhere")))


if __name__ == "__main__":
    main()
