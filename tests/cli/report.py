# SPDX-License-Identifier: Apache-2.0
"""profile --html: one file that a browser opens by itself, with every chart, for every reader, and no way in."""
import json
import re
import shutil
import subprocess
import unittest

from common import HAS_REPORT, LUTRA, MODEL, SOURCE, CommandTest, file_limit, main, temporary_folder

NODE_MODULES = SOURCE / "build/node/node_modules"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
EVIL = "Pi </script><script>window.evil = 1</script><img src=x onerror=alert(1)> <!-- & \u2028"


def luminance(colour):
    """Of "rgb(r, g, b)": https://www.w3.org/TR/WCAG21/#dfn-relative-luminance"""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(look):
    high, low = sorted((luminance(look["background"]), luminance(look["text"])), reverse=True)
    return (high + 0.05) / (low + 0.05)


@unittest.skipIf(HAS_REPORT, "this build has the report")
class WithoutReport(CommandTest):
    def test_says_so(self):
        path = temporary_folder() / "report.html"
        self.fails("profile", MODEL, "--html", path, says="built without Node.js")
        self.assertFalse(path.exists())


@unittest.skipUnless(HAS_REPORT, "this build has no report: no Node.js, or not the packages of tools/report")
class Report(CommandTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = temporary_folder()
        cls.device = cls.folder / "evil.json"
        device = json.loads((SOURCE / "data/devices/pi5.json").read_text(encoding="utf-8"))
        device["title"] = EVIL
        cls.device.write_text(json.dumps(device), encoding="utf-8")
        cls.path = cls.folder / "report.html"
        subprocess.run([LUTRA, "profile", MODEL, "--clusters", "16", "--dense", "--on", cls.device, "--html", cls.path, "--quiet"],
                       check=True, stdout=subprocess.DEVNULL)

    def test_one_file_that_needs_nothing_else(self):
        page = self.path.read_text(encoding="utf-8")
        self.assertNotRegex(page, r"<(?:link|img|iframe)\b")
        self.assertNotRegex(page, r"<script[^>]*\bsrc=")
        self.assertNotIn("@import", page)
        self.assertIn("ISC", page)
        self.assertIn("Copyright", page)

    def test_data_cannot_end_its_element(self):
        page = self.path.read_text(encoding="utf-8")
        data = page.split('id="data">')[1].split("</script>")[0]
        self.assertEqual(json.loads(data)["profile"]["device"], EVIL)
        self.assertIs(json.loads(data)["profile"]["predicted"], True)

    def test_measured(self):
        path = self.folder / "measured.html"
        self.lutra("profile", MODEL, "--html", path, "--repeat", 3, "--no-energy", "--quiet")
        data = json.loads(path.read_text(encoding="utf-8").split('id="data">')[1].split("</script>")[0])
        self.assertFalse(data["profile"].get("predicted", False))
        self.assertGreaterEqual(len(data["devices"]), 8)
        self.assertTrue(all(device["predicted"] for device in data["devices"]))

    def test_nothing_half_written(self):
        """Where the page does not fit on the disk, and where there is no folder for it."""
        folder = self.folder / "full"
        folder.mkdir()
        path = folder / "report.html"
        path.write_text("old")
        self.fails("profile", MODEL, "--on", "pi5", "--html", path, "--quiet", says="report.html", preexec_fn=file_limit(1 << 14))
        self.assertEqual((path.read_text(), list(folder.iterdir())), ("old", [path]))
        self.fails("profile", MODEL, "--on", "pi5", "--html", folder / "nowhere/report.html", "--quiet", says="nowhere/report.html")
        self.assertEqual(list(folder.iterdir()), [path])

    def facts(self, path):
        """What a browser finds on the page."""
        result = subprocess.run(["node", SOURCE / "tests/cli/report.mjs", NODE_MODULES, CHROMIUM, path], capture_output=True,
                                text=True, timeout=240)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    @unittest.skipUnless(CHROMIUM and shutil.which("node"), "no Chromium or no Node.js to open it")
    def test_unknown_caches_in_a_browser(self):
        device, path = self.folder / "no-caches.json", self.folder / "no-caches.html"
        described = json.loads((SOURCE / "data/devices/pi5.json").read_text(encoding="utf-8"))
        device.write_text(json.dumps({**described, "caches": []}), encoding="utf-8")
        self.lutra("profile", MODEL, "--on", device, "--html", path, "--quiet")
        facts = self.facts(path)
        self.assertEqual(facts["messages"], [])
        self.assertNotIn("from main memory (model)", facts["text"])
        self.assertEqual(facts["marks"]["traffic"]["bars"], 1)

    @unittest.skipUnless(CHROMIUM and shutil.which("node"), "no Chromium or no Node.js to open it")
    def test_a_slow_device_in_a_browser(self):
        """As slow as a description may say: milliseconds of more digits than a browser writes out."""
        device, path = self.folder / "slow.json", self.folder / "slow.html"
        described = json.loads((SOURCE / "data/devices/pi4.json").read_text(encoding="utf-8"))
        described["clock_ghz"]["value"] = 1e-15
        for peak in described["macs_per_cycle"].values():
            peak["value"] = 1e-12
        device.write_text(json.dumps(described), encoding="utf-8")
        self.lutra("profile", MODEL, "--on", device, "--html", path, "--quiet")
        facts = self.facts(path)
        self.assertEqual(facts["messages"], [])
        self.assertRegex(facts["text"], r"\d\.\de\+\d\d ms")
        self.assertIn("devices", facts["marks"])

    @unittest.skipUnless(CHROMIUM and shutil.which("node"), "no Chromium or no Node.js to open it")
    def test_in_a_browser(self):
        facts = self.facts(self.path)
        plan = self.lutra_json("inspect", MODEL, "--plan")["plan"]
        self.assertEqual(facts["messages"], [])
        self.assertEqual(set(facts["requests"]), {"file"})
        self.assertIs(facts["evil"], False)
        self.assertIn("window.evil = 1", facts["text"])
        self.assertIn("predicted", facts["text"])

        marks = facts["marks"]
        self.assertEqual(marks["roofline"]["dots"], 2 * sum(step["macs"] > 0 for step in plan))
        self.assertEqual(marks["roofline"]["lines"], 2)
        self.assertEqual(marks["traffic"]["bars"], 4)
        self.assertEqual(marks["energy"]["bars"], 2)
        self.assertGreaterEqual(marks["devices"]["bars"], 16)
        operations = {(step["name"].split(".")[1] if step["name"].startswith("blocks.") else i < 3, step["op"])
                      for i, step in enumerate(plan)}
        self.assertEqual(marks["blocks"]["bars"], 2 * len(operations))

        for role, label in facts["pictures"]:
            self.assertEqual(role, "img")
            self.assertTrue(label)
        self.assertEqual(facts["unnamed"], 0)
        self.assertNotEqual(facts["focus"], "none")
        for name, reverse in (("ascending", False), ("descending", True)):
            self.assertEqual(facts[name]["sort"], name)
            values = [float(cell.replace(",", "")) for cell in facts[name]["cells"]]
            self.assertEqual(len(values), 2 * len(plan))
            self.assertEqual(values, sorted(values, reverse=reverse))

        # Readable in the dark and in the light (WCAG's AAA), and no scrolling sideways on a phone.
        self.assertGreater(contrast(facts["light"]), 7)
        self.assertGreater(contrast(facts["dark"]), 7)
        self.assertLess(luminance(facts["dark"]["background"]), luminance(facts["light"]["background"]))
        self.assertLessEqual(facts["phone"]["width"], facts["phone"]["window"])


if __name__ == "__main__":
    main()
