# SPDX-License-Identifier: Apache-2.0
"""profile and device: what they print and in which shape; how fast anything is, no test can say."""
import csv
import functools
import io
import json
import os
import re
import resource
import subprocess
import unittest

from common import COMMAND, HEADLESS, INTERRUPTED, LUTRA, MODEL, SOURCE, USAGE, CommandTest, bare_weights, main, temporary_folder
from this_machine import this_machine

ARCH = "deit_tiny_patch16_224"
# The names that other programs may rely on, and the type of each.
CONTRACT = {"device": str, "mode": str, "threads": int, "batch": int, "total_ms": float, "steps": list}
STEP_CONTRACT = {"index": int, "op": str, "name": str, "block": (int, type(None)), "ms": float, "macs": int, "weight_bytes": int,
                 "activation_bytes": int, "dram_bytes": (int, type(None)), "bound": (str, type(None))}


def number(value):
    return {"value": value, "source": "measured: by nobody"}


@functools.cache
def here():
    return this_machine(COMMAND, os.environ)


def description(**changes):
    """This machine, with round numbers: 10 GMAC/s, caches of 4 and 16 KiB, 8 GB/s from memory."""
    return {**here(), "name": "this", "core": "none", "clock_ghz": number(1), "macs_per_cycle": {"f32": number(10), "int8": number(40)},
            "caches": [{"level": 1, "bytes": number(4096), "shared_by": 1, "gb_per_s": number(100)},
                       {"level": 2, "bytes": number(16384), "shared_by": 2, "gb_per_s": number(50)}],
            "dram_gb_per_s": {"one_core": number(8), "all_cores": number(9)},
            "pj": {"dram_byte": number(1), "mac_f32": number(1), "mac_bf16": number(1), "mac_int8": number(1)},
            "published": [], **changes}


class Profile(CommandTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = temporary_folder()
        cls.small = str(cls.folder / "small.safetensors")
        subprocess.run([LUTRA, "cluster", MODEL, "-o", cls.small, "--clusters", "7", "--quiet"], check=True,
                       stdout=subprocess.DEVNULL)
        cls.unmeasured = {**os.environ, "XDG_CACHE_HOME": str(cls.folder / "unmeasured")}
        cls.measured = {**os.environ, "XDG_CACHE_HOME": str(cls.folder / "measured")}
        (cls.folder / "measured/lutra").mkdir(parents=True)
        (cls.folder / "measured/lutra/device.json").write_text(json.dumps(description()))

    def profile(self, *arguments, **options):
        options.setdefault("env", self.unmeasured)
        return self.lutra_json("profile", *arguments, "--repeat", "3", "--threads", "1", "--no-energy", **options)

    def test_contract(self):
        result = self.profile(self.small, "--mode", "f32")
        for name, kind in CONTRACT.items():
            self.assertIsInstance(result[name], kind, name)
        for index, step in enumerate(result["steps"]):
            self.assertEqual(step["index"], index)
            for name, kind in STEP_CONTRACT.items():
                self.assertIsInstance(step[name], kind, name)
        self.assertEqual((result["mode"], result["threads"], result["batch"], result["runs"], result["clusters"]), ("f32", 1, 1, 3, 7))
        self.assertNotIn("against", result)
        self.assertEqual(set(result["traffic"]), {"compulsory_weight_bytes", "modelled_bytes", "modelled_cache_bytes", "counted_bytes",
                                                  "controller_bytes"})

    def test_steps_are_those_of_the_plan(self):
        plan = self.lutra_json("inspect", self.small, "--plan")["plan"]
        for batch in (1, 3):
            result = self.profile(self.small, "--batch", batch)
            self.assertEqual([(s["op"], s["name"]) for s in result["steps"]], [(p["op"], p["name"]) for p in plan])
            for step, planned in zip(result["steps"], plan):
                self.assertEqual(step["macs"], batch * planned["macs"])
                self.assertEqual(step["weight_bytes"], planned["weight_bytes"])
                self.assertEqual(step["activation_bytes"], batch * (planned["read_bytes"] + planned["written_bytes"]))
                self.assertTrue(0 < step["p10_ms"] <= step["ms"] <= step["p90_ms"])
                block = int(step["name"].split(".")[1]) if step["name"].startswith("blocks.") else None
                self.assertEqual(step["block"], block)

    def test_groups_add_up(self):
        result = self.profile(self.small, env=self.measured)
        for groups in (result["kinds"], result["blocks"]):
            for name in ("macs", "weight_bytes", "activation_bytes", "dram_bytes"):
                self.assertEqual(sum(g[name] for g in groups), sum(s[name] for s in result["steps"]), name)
            self.assertEqual(sum(g["steps"] for g in groups), len(result["steps"]))
            self.assertAlmostEqual(sum(g["share"] for g in groups), 1, places=6)  # printed with nine digits
            self.assertAlmostEqual(sum(g["ms"] for g in groups), sum(s["ms"] for s in result["steps"]), places=6)
        self.assertEqual([b["block"] for b in result["blocks"]], [None, 0])

    def test_roofline(self):
        """A step needs at least what its multiply-adds take at the peak, and its bytes from memory at their rate."""
        for mode, peak in (("f32", 10e9), ("int8", 40e9)):
            result = self.profile(self.small, "--mode", mode, env=self.measured)
            bounds = set()
            for step in result["steps"]:
                least = step["percent_of_roofline"] / 100 * step["ms"] / 1e3
                compute = step["macs"] / (peak if step["op"] == "gemm" else 10e9)
                memory = step["dram_bytes"] / 8e9
                self.assertGreaterEqual(least * (1 + 1e-6), max(compute, memory))
                if step["bound"] == "compute":
                    self.assertAlmostEqual(least / compute, 1, places=6)
                if step["bound"] == "DRAM":
                    self.assertAlmostEqual(least / memory, 1, places=6)
                bounds.add(step["bound"])
            self.assertLessEqual({"compute", "DRAM"}, bounds)
            self.assertLessEqual(bounds, {"compute", "L2", "DRAM"})

    def test_without_peaks_no_roofline(self):
        result = self.lutra("profile", self.small, "--repeat", 2, "--no-energy", "--json", env=self.unmeasured)
        self.assertIn("lutra device measure", result.stderr)
        for step in json.loads(result.stdout)["steps"]:
            self.assertIsNone(step["bound"])
            self.assertIsNone(step["percent_of_roofline"])

    def test_traffic_falls_with_the_cache(self):
        """What does not fit comes again; what fits does not come at all."""
        folder = self.folder / "caches/lutra"
        folder.mkdir(parents=True)
        bytes_of = []
        for size in (4096, 24576, 1 << 26):
            cache = [{"level": 1, "bytes": number(size), "shared_by": 1, "gb_per_s": number(1)}]
            (folder / "device.json").write_text(json.dumps(description(caches=cache)))
            traffic = self.profile(self.small, env={**os.environ, "XDG_CACHE_HOME": str(folder.parent)})["traffic"]
            self.assertEqual(traffic["modelled_cache_bytes"], size)
            bytes_of.append(traffic["modelled_bytes"])
        self.assertGreater(bytes_of[0], bytes_of[1])
        self.assertGreater(bytes_of[1], 0)
        self.assertEqual(bytes_of[2], 0)
        # The least that a cache without room must bring is what is compulsory.
        self.assertGreater(bytes_of[0], traffic["compulsory_weight_bytes"])

    def test_a_machine_that_tells_of_no_caches(self):
        folder = self.folder / "none/lutra"
        folder.mkdir(parents=True)
        (folder / "device.json").write_text(json.dumps(description(caches=[])))
        for on in ((), ("--on", "this")):
            result = self.lutra_json("profile", self.small, *on, *(() if on else ("--repeat", 3, "--no-energy")),
                                     env={**os.environ, "XDG_CACHE_HOME": str(folder.parent)})
            self.assertIsNone(result["traffic"]["modelled_bytes"])
            for step in result["steps"]:
                self.assertGreater(step["ms"], 0)
                self.assertIsNone(step["dram_bytes"])

    def test_against(self):
        result = self.profile(MODEL, "--against", self.small)
        self.assertEqual((result["clusters"], result["against"]["clusters"]), (0, 7))
        result = self.profile(MODEL, "--clusters", 5, "--dense", "--mode", "int8")
        self.assertEqual((result["clusters"], result["against"]["clusters"], result["against"]["mode"]), (5, 0, "int8"))
        self.assertLess(result["traffic"]["compulsory_weight_bytes"],
                        result["against"]["traffic"]["compulsory_weight_bytes"])

    def test_arch_of_weights_that_do_not_tell(self):
        """Of those that are compared with too; a model that tells its own keeps it."""
        weights = bare_weights(self.folder / "weights.safetensors", ARCH)
        self.fails("profile", self.small, "--against", weights, "--repeat", 1, "--no-energy", says="pass --arch")
        result = self.profile(weights, "--arch", ARCH, "--clusters", 16, "--against", weights, "--image-size", 32)
        self.assertEqual([(r["arch"], r["clusters"]) for r in (result, result["against"])], [(ARCH, 16), (ARCH, 0)])
        result = self.profile(weights, "--arch", ARCH, "--against", self.small)
        self.assertEqual(result["arch"], ARCH)
        self.assertEqual(result["against"]["clusters"], 7)

    def test_arch(self):
        result = self.profile("--arch", ARCH, "--image-size", 32)
        self.assertEqual((result["arch"], result["clusters"], len(result["blocks"])), (ARCH, 64, 13))

    def test_headless(self):
        self.assertGreater(len(self.profile(HEADLESS)["steps"]), 5)

    def test_csv(self):
        text = self.lutra("profile", self.small, "--csv", "--repeat", 2, "--threads", 1, "--no-energy", "--quiet", env=self.measured).stdout
        rows = list(csv.DictReader(io.StringIO(text)))
        steps = self.profile(self.small, env=self.measured)["steps"]
        self.assertEqual([row["name"] for row in rows], [step["name"] for step in steps])
        for row, step in zip(rows, steps):
            for name in ("index", "op", "macs", "weight_bytes", "activation_bytes", "dram_bytes", "bound"):
                self.assertEqual(row[name], str(step[name]), name)
            self.assertGreater(float(row["ms"]), 0)

    def test_text(self):
        text = self.lutra("profile", self.small, "--against", MODEL, "--repeat", 2, "--threads", 1, "--no-energy", env=self.measured).stdout
        for line in (r"(?m)^gemm mlp\.fc1 +\d+\.\d{3} +\d+\.\d% ", r"(?m)^attention .* \d+ % (compute|L2|DRAM)$", r"(?m)^block 0 ",
                     r"(?m)^all .* 100\.0% #{16} ", r"1 thread, batch 1 on " + re.escape(here()["title"]), r"\(compulsory\)",
                     r"\(modelled: a last cache of 16\.00 KiB\)", r"\d\.\d{3} times the time of the other"):
            self.assertRegex(text, line)

    def test_no_energy(self):
        energy = self.profile(self.small)["energy"]
        self.assertEqual(energy["source"], "unavailable")
        for name in ("mj_per_inference", "mj_per_inference_raw", "idle_w"):
            self.assertIsNone(energy[name])
        # 1 pJ for each multiply-add and byte, in the made-up device's description.
        result = self.profile(self.small, env=self.measured)
        macs = sum(step["macs"] for step in result["steps"])
        self.assertAlmostEqual(result["energy"]["lower_bound_mj"] / (1e-9 * (macs + result["traffic"]["modelled_bytes"])), 1, places=6)
        self.assertRegex(self.lutra("profile", self.small, "--repeat", 1, "--no-energy", env=self.measured).stdout,
                         r"energy: unavailable \(--no-energy.*lower bound from counts, not measured")

    def test_energy_of_bf16(self):
        """Counted where the machine multiplies bf16, else f32's; as attention beside int8 is."""
        folder = self.folder / "bf16/lutra"
        folder.mkdir(parents=True)
        for peak, pj in ((10, 7), (20, 3)):
            (folder / "device.json").write_text(json.dumps(description(
                macs_per_cycle={"f32": number(10), "bf16": number(peak), "int8": number(40)},
                pj={"dram_byte": number(1), "mac_f32": number(7), "mac_bf16": number(3), "mac_int8": number(2)})))
            for mode, product, attention in (("f32", 7, 7), ("bf16", pj, 7), ("int8", 2, pj)):
                result = self.profile(self.small, "--mode", mode, env={**os.environ, "XDG_CACHE_HOME": str(folder.parent)})
                energy = sum(step["macs"] * (product if step["op"] == "gemm" else attention) + step["dram_bytes"]
                             for step in result["steps"])
                self.assertAlmostEqual(result["energy"]["lower_bound_mj"] / (1e-9 * energy), 1, places=6, msg=f"{peak} {mode}")

    def test_a_meter_of_ones_own(self):
        """A machine that always draws 5 W: nothing beyond idle, and all of it is raw. The clock is a real one, and a reading
        may wait for a processor: a hundredth is allowed, half of what is promised."""
        result = self.lutra_json("profile", self.small, "--threads", 1, "--repeat", 1, "--quick", "--batch", 2, "--power-meter",
                                 "while echo 5; do sleep 0.1; done", env=self.unmeasured)
        energy = result["energy"]
        self.assertEqual(energy["source"], "command")
        self.assertAlmostEqual(energy["idle_w"], 5, delta=0.05)
        self.assertAlmostEqual(energy["busy_w"], 5, delta=0.05)
        self.assertGreaterEqual(energy["seconds"], 5)
        expected = 5e3 * energy["seconds"] / energy["inferences"]
        self.assertAlmostEqual(energy["mj_per_inference_raw"] / expected, 1, delta=0.01)
        self.assertLess(abs(energy["mj_per_inference"]), 0.02 * expected)

    def test_meters_that_fail(self):
        for meter, says in (("echo watts", "not watts: 'watts'"), ("exit 7", "status 7")):
            self.fails("profile", self.small, "--quick", "--repeat", 1, "--power-meter", meter, says=says, env=self.unmeasured)

    def test_mistakes(self):
        for arguments, says in (([], "--arch NAME"), (["a", "b"], "one MODEL"), (["a", "--batch", "0"], "1 to 1024"),
                                (["a", "--clusters", "1"], "2 to 256"), (["a", "--dense", "--against", "b"], "give one"),
                                (["a", "--json", "--csv"], "give one"),
                                *((["a", "--on", "pi5", *option], "nothing is run") for option in
                                  (["--cpus", "0"], ["--power-meter", "x"], ["--quick"], ["--repeat", "3"]))):
            self.fails("profile", *arguments, status=USAGE, says=says, env=self.unmeasured)
        self.fails("profile", self.folder / "missing.safetensors", says="missing.safetensors", env=self.unmeasured)
        self.fails("profile", MODEL, "--against", self.folder / "none.safetensors", says="none.safetensors", env=self.unmeasured)
        broken = self.folder / "broken/lutra"
        broken.mkdir(parents=True)
        (broken / "device.json").write_text("{")
        self.fails("profile", MODEL, says=["device.json", "lutra device measure"],
                   env={**os.environ, "XDG_CACHE_HOME": str(broken.parent)})


class Device(CommandTest):
    def test_measure_and_show(self):
        folder = temporary_folder()
        environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "new")}
        self.fails("device", "show", says="lutra device measure", env=environment)
        measured = self.lutra_json("device", "measure", env=environment)
        self.assertEqual([path.name for path in (folder / "new/lutra").iterdir()], ["device.json"])
        shown = self.lutra_json("device", "show", env=environment)
        self.assertEqual((shown.keys(), shown["device"]), (measured.keys(), measured["device"]))
        for name in ("clock_ghz", "peak_gmacs_f32", "peak_gmacs_int8", "dram_gb_per_s_one_core", "dram_gb_per_s_all_cores"):
            self.assertGreater(shown[name], 0, name)
        self.assertGreaterEqual(shown["dram_gb_per_s_all_cores"], shown["dram_gb_per_s_one_core"])
        self.assertIn("GMAC/s in f32", self.lutra("device", "show", env=environment).stdout)

    def test_check(self):
        sources = self.lutra_json("device", "check", "--power-meter", "while echo 7; do sleep 0.1; done")
        self.assertEqual([s["source"] for s in sources], ["rapl", "perf", "hwmon", "pmic", "battery", "command"])
        for source in sources:
            self.assertIn(source["state"], ("found", "denied", "absent"))
            self.assertEqual(source["reason"] is None, source["state"] == "found")
        self.assertRegex(self.lutra("device", "check").stdout, r"(?m)^command +absent +no --power-meter was given$")

    def test_check_waits_for_the_first_value(self):
        """The clock is a real one, and a reading may wait for a processor. Had the wait counted, half would be the most."""
        for command in ("while echo 7; do sleep 0.1; done", "while sleep 2; do echo 7; done"):
            with self.subTest(command):
                source = self.lutra_json("device", "check", "--power-meter", command)[-1]
                self.assertAlmostEqual(source["joules"] / source["seconds"], 7, delta=1)
                self.assertGreaterEqual(source["seconds"], 2)

    def test_check_of_a_program_that_is_no_meter(self):
        for command, reason in (("echo good day", "is not watts"), ("exit 3", "status 3"), ("sleep 100", "has printed nothing")):
            with self.subTest(command):
                source = self.lutra_json("device", "check", "--power-meter", command)[-1]
                self.assertEqual(source["state"], "failed")
                self.assertIn(reason, source["reason"])

    def test_check_is_interrupted(self):
        """The meter's command sends the signal itself, as soon as somebody reads it."""
        self.fails("device", "check", "--json", "--power-meter", "kill -INT $PPID; while echo 7; do sleep 0.1; done",
                   status=INTERRUPTED, says="interrupted")

    def test_check_without_descriptors(self):
        """Which says nothing of the sensors."""
        self.fails("device", "check", "--json", says="Too many open files",
                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4)))

    def test_home(self):
        folder = temporary_folder()
        environment = {name: value for name, value in os.environ.items() if name != "XDG_CACHE_HOME"}
        (folder / ".cache/lutra").mkdir(parents=True)
        (folder / ".cache/lutra/device.json").write_text(json.dumps(description()))
        self.assertEqual(self.lutra_json("device", "show", env={**environment, "HOME": str(folder)})["clock_ghz"], 1)

    def test_a_description_of_another_machine(self):
        """Of another processor, level of kernels or number of cores: nothing is known of this one."""
        folder = temporary_folder()
        environment = {**os.environ, "XDG_CACHE_HOME": str(folder)}
        (folder / "lutra").mkdir()
        pi4 = json.loads((SOURCE / "data/devices/pi4.json").read_text())
        for other in (pi4, description(title="a made-up device"), description(isa="abacus"), description(cores=number(4096))):
            (folder / "lutra/device.json").write_text(json.dumps(other))
            self.fails("device", "show", says=["device.json is left out", other["title"], "lutra device measure"], env=environment)
            self.fails("profile", MODEL, "--on", "this", says="lutra device measure", env=environment)
        result = self.lutra_json("profile", MODEL, "--repeat", 1, "--no-energy", env=environment)
        self.assertEqual(result["device"], here()["title"])
        self.assertTrue(all(step["bound"] is None for step in result["steps"]))

    def test_a_level_without_peaks(self):
        """Nobody is sent to what cannot succeed there."""
        environment = {**os.environ, "LUTRA_ISA": "reference", "XDG_CACHE_HOME": str(temporary_folder())}
        self.fails("device", "measure", says="no loop measures the peak of the level reference", env=environment)
        for arguments in (("device", "show"), ("profile", MODEL, "--on", "this")):
            result = self.fails(*arguments, says="no loop measures them at the level of kernels reference", env=environment)
            self.assertNotIn("lutra device measure", result.stderr)

    def test_a_level_that_there_is_not(self):
        self.fails("device", "show", says="LUTRA_ISA", env={**os.environ, "LUTRA_ISA": "abacus"})

    def test_mistakes(self):
        self.fails("device", status=USAGE, says="measure, show and check")
        self.fails("device", "peel", status=USAGE, says="measure, show and check")
        folder = temporary_folder()
        (folder / "file").write_text("")
        self.fails("device", "measure", says="file", env={**os.environ, "XDG_CACHE_HOME": str(folder / "file")})


if __name__ == "__main__":
    main()
