# SPDX-License-Identifier: Apache-2.0
"""The demo's tables of what only some machines can measure, on reports that are made up: no machine has all meters."""
import contextlib
import importlib.util
import io
import json
import pathlib
import unittest
from unittest import mock

from common import SOURCE, main

with mock.patch("sys.argv", ["demo.py", str(SOURCE), "build"]):
    spec = importlib.util.spec_from_file_location("demo", SOURCE / "scripts/demo.py")
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)


def printed(counted, mj, modelled=(7 << 20, 3 << 20)):
    """What is said where each model takes `counted` bytes and `mj` millijoules a picture; None: not measured."""
    entries = [{"name": name, "path": pathlib.Path("models") / name, "mode": "f32", "bytes": size, "weight_bytes": size, "ms": ms,
                "machine": "2 threads"} for name, size, ms in (("dense", 500, 2.0), ("64 clusters", 100, 1.0))]

    def profile(*arguments):
        dense = arguments[1] == entries[0]["path"]
        return json.dumps({"traffic": {"counted_bytes": counted and counted[0 if dense else 1], "modelled_cache_bytes": 1 << 21,
                                       "modelled_bytes": modelled and modelled[0 if dense else 1]},
                           "energy": {"mj_per_inference": mj and mj[0 if dense else 1], "source": "a fake meter",
                                      "lower_bound_mj": 0.25 if dense else 0.125}})

    with mock.patch.object(demo, "lutra", profile), contextlib.redirect_stdout(io.StringIO()) as text:
        demo.measure_costs(entries)
        demo.results_table(entries, 0)
        demo.claims_table(entries)
    return text.getvalue()


class DemoTables(unittest.TestCase):
    def test_nothing_measured(self):
        text = printed(None, None)
        self.assertNotIn("counted MiB", text)
        self.assertNotIn("a fake meter", text)
        self.assertEqual(text.count("not tested here"), 2)
        head, _, dense, clustered = text.splitlines()[:4]
        self.assertRegex(head, "modelled MiB +mJ at least$")
        self.assertRegex(dense, r" 7\.00 +0\.25$")
        self.assertRegex(clustered, r" 3\.00 +0\.125$")
        self.assertIn("last cache of 2 MiB", text)
        self.assertIn("a bound from below", text)

    def test_nothing_known_of_caches(self):
        self.assertNotIn("modelled", printed(None, None, None).split("mJ at least:")[0])

    def test_energy(self):
        text = printed(None, (8, 6))
        self.assertIn("by a fake meter", text)
        self.assertIn("25 % less", text)
        self.assertEqual(text.count("not tested here"), 1)

    def test_traffic(self):
        text = printed((10 << 20, 4 << 20), None)
        self.assertIn("10.00", text)
        self.assertIn("2.50x less", text)
        self.assertEqual(text.count("not tested here"), 1)

    def test_both(self):
        text = printed((10 << 20, 4 << 20), (8, 6))
        self.assertIn("25 % less", text)
        self.assertIn("2.50x less", text)
        self.assertNotIn("not tested here", text)


if __name__ == "__main__":
    main()
