# SPDX-License-Identifier: Apache-2.0
"""./check and what it calls, in a folder of its own, with programs that only tell how they were called."""
import fcntl
import os
import pathlib
import shutil
import signal
import subprocess
import unittest

from common import SOURCE, main, temporary_folder


class Check(unittest.TestCase):
    def setUp(self):
        self.folder = temporary_folder() / "a check out"
        self.logs = self.folder / "build/logs"
        self.calls = self.folder / "calls"
        self.programs = self.folder / "programs"
        for folder in (self.logs, self.programs, self.folder / "scripts"):
            folder.mkdir(parents=True)
        for name in ("check", "scripts/count_tests.py", "scripts/check_arm", "scripts/install-node-packages"):
            shutil.copy(SOURCE / name, self.folder / name)

    def program(self, name, script=""):
        path = self.programs / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>"{self.calls}"\n{script}\n')
        path.chmod(0o755)

    def environment(self):
        return {**os.environ, "PATH": f"{self.programs}:{os.environ['PATH']}", "LUTRA_SOAK_ROUNDS": "2"}

    def run_script(self, *command):
        return subprocess.run(command, cwd=self.folder, env=self.environment(), stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=60)

    def called(self):
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    def test_parts_that_use_the_release_build_bring_it_up_to_date(self):
        self.program("meson", 'if [ "$1" = setup ]; then mkdir -p "$2" && touch "$2/build.ninja"; fi')
        self.program("ninja")
        for part in ("tests", "soak", "faults"):
            self.calls.unlink(missing_ok=True)
            self.run_script("./check", "--only", part)
            calls = self.called()
            first_test = next(i for i, call in enumerate(calls) if call.startswith("meson test -C build/release"))
            self.assertTrue(any(call.startswith("ninja -C build/release") for call in calls[:first_test]), (part, calls))
        self.program("ninja", "exit 1")
        self.calls.unlink()
        self.assertNotEqual(self.run_script("./check", "--only", "tests").returncode, 0)
        self.assertFalse([call for call in self.called() if call.startswith("meson test")])

    def test_a_second_run_is_refused(self):
        with open(self.logs / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            result = self.run_script("./check", "--only", "format")
            self.assertEqual((result.returncode, result.stdout), (1, ""))
            self.assertIn("another ./check is at work", result.stderr)
            self.assertEqual(os.listdir(self.logs), ["lock"])
            self.assertEqual(self.run_script("./check", "--list").returncode, 0)

    def test_signals_end_the_part_at_work(self):
        fifo = self.folder / "at work"
        os.mkfifo(fifo)
        self.program("clang-format", f'echo $$ >"{fifo}"\nexec sleep 600')
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            check = subprocess.Popen(["./check", "--only", "format"], cwd=self.folder, env=self.environment(), stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            worker = pathlib.Path("/proc", fifo.read_text().strip())
            check.send_signal(number)
            _, message = check.communicate(timeout=60)
            self.assertEqual((check.returncode, message), (130, "interrupted\n"))
            self.assertFalse(worker.exists() and "State:\tZ" not in (worker / "status").read_text())

    def test_nothing_of_arm_passes_where_the_tools_fail(self):
        for name in ("fetch_sysroot", "build-device"):
            (self.folder / "scripts" / name).write_text("#!/bin/sh\n")
            (self.folder / "scripts" / name).chmod(0o755)
        for name in ("meson", "ninja"):
            self.program(name)
        for name in ("readelf", "qemu-aarch64-static"):
            self.program(name, "exit 1")
        (self.folder / "build/aarch64").mkdir()
        for part in ("kernels", "all"):
            result = self.run_script("scripts/check_arm", "aarch64", part)
            self.assertEqual(result.returncode, 1, result.stderr)
            self.assertRegex(result.stdout, "(?m)^not ok ")
            self.assertNotRegex(result.stdout, "(?m)^ok ")
            what = {"kernels": ["loops are counted"], "all": ["64 KiB", "static", "demo's job", "descriptions of devices"]}[part]
            for text in what:
                self.assertRegex(result.stdout, f"(?m)^not ok .*{text}")

    def test_node_packages_that_were_cut_off_are_installed_again(self):
        (self.folder / "tools/report").mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SOURCE / "tools/report" / name, self.folder / "tools/report" / name)
        self.program("npm", "mkdir -p node_modules/@observablehq/plot\nexit 1")
        self.assertNotEqual(self.run_script("scripts/install-node-packages").returncode, 0)
        self.program("npm")
        for _ in range(2):
            self.assertEqual(self.run_script("scripts/install-node-packages").returncode, 0)
        self.assertEqual(len(self.called()), 2)


if __name__ == "__main__":
    main()
