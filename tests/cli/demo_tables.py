# SPDX-License-Identifier: Apache-2.0
"""The demo's tables of what only some machines can measure, on reports that are made up: no machine has all meters. And the pictures
that it takes, whatever their names are."""
import contextlib
import importlib.util
import io
import json
import os
import pathlib
import unittest
from unittest import mock

from common import SOURCE, main, temporary_folder

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


def classified(*arguments):
    """As lutra classify: a report for each line, in their order, with names in UTF-8; the class is the line's number."""
    lines = pathlib.Path(arguments[2].removeprefix("@")).read_bytes().removesuffix(b"\n").split(b"\n")
    return json.dumps([{"file": line.decode(errors="replace"), "predictions": [] if line.endswith(b"broken.png") else [{"index": i}]}
                       for i, line in enumerate(lines)])


class DemoPictures(unittest.TestCase):
    def setUp(self):
        self.folder = temporary_folder()

    def pictures(self, n_classes=10):
        with contextlib.redirect_stdout(io.StringIO()) as text:
            found = demo.pictures_of(self.folder, n_classes, 100)
        return {os.fsencode(path.relative_to(self.folder)): label for path, label in found}, text.getvalue()

    def test_strange_names(self):
        for name in (b"a.png", b"\xff.png", b"two\nlines.png", b"return\r.png", b"broken.png", b"separator\x1c.png"):
            (self.folder / os.fsdecode(name)).write_bytes(b"")
        (self.folder / "folder.png").mkdir()
        found, said = self.pictures()
        self.assertEqual(set(found), {b"a.png", b"\xff.png", b"broken.png", b"separator\x1c.png"})
        self.assertIn("left out: 3 ", said)
        paths = [str(self.folder / os.fsdecode(name)) for name in sorted(found)]
        with mock.patch.object(demo, "lutra", classified):
            best = demo.answers({"path": "model", "mode": "f32"}, paths, self.folder)
        self.assertEqual({path: answer["index"] for path, answer in best.items()},
                         {path: i for i, path in enumerate(paths) if not path.endswith("broken.png")})

    def test_folders_of_classes(self):
        for name in ("1/b.png", "0/a.png"):
            (self.folder / name).parent.mkdir()
            (self.folder / name).write_bytes(b"")
        (self.folder / "beside.png").write_bytes(b"")
        self.assertEqual(self.pictures(2)[0], {b"0/a.png": 0, b"1/b.png": 1, b"beside.png": None})
        self.assertEqual(self.pictures(3)[0], {b"0/a.png": None, b"1/b.png": None, b"beside.png": None})

    def test_tables(self):
        table = self.folder / "labels.tsv"
        table.write_bytes(b"\nclass_index\tfile\r\n3\t\xff.png\r\n\n4\tz\0.png\n")
        found, said = self.pictures()
        self.assertEqual(found, {b"\xff.png": 3})
        self.assertIn("left out: 1 ", said)
        for text, says in ((b"", "is empty"), (b"\n \n", "is empty"), (b"file\tlabel\na.png\t1\n", "no column 'class_index'"),
                           (b"a.png\t1\n", "no column 'file'"), (b"file\tclass_index\na.png\n", "['a.png']"),
                           (b"file\tclass_index\na.png\tswan\n", "['a.png', 'swan']")):
            table.write_bytes(text)
            with self.assertRaises(SystemExit) as left:
                self.pictures()
            self.assertIn(f"demo: {table}: ", left.exception.code)
            self.assertIn(says, left.exception.code)


if __name__ == "__main__":
    main()
