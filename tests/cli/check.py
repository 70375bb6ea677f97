# SPDX-License-Identifier: Apache-2.0
"""./check and what it calls, in a folder of its own, with programs that only tell how they were called."""
import fcntl
import json
import os
import pathlib
import shutil
import signal
import subprocess
import unittest

from common import SOURCE, main, temporary_folder


class Check(unittest.TestCase):
    def setUp(self):
        base = temporary_folder().resolve()
        self.calls, self.programs = base / "calls", base / "programs"
        self.folder = base / "a check out"
        self.logs = self.folder / "build/logs"
        for folder in (self.logs, self.programs, self.folder / "scripts"):
            folder.mkdir(parents=True)
        for name in ("check", "scripts/count_tests.py", "scripts/check_arm", "scripts/check_installed", "scripts/fetch_sysroot",
                     "scripts/install-node-packages"):
            shutil.copy(SOURCE / name, self.folder / name)

    def program(self, name, script="", arguments=False):
        """One that adds itself to `calls`, with `arguments` each of them in a line of its own."""
        path = self.programs / name
        told = 'printf "%s\\n" "$0" "$@"' if arguments else f'echo "{name} $*"'
        path.write_text(f'#!/bin/sh\n{told} >>"{self.calls}"\n{script}\n')
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
        numbers = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)

        def heed_signals():  # which whoever runs this may have ignored
            for number in numbers:
                signal.signal(number, signal.SIG_DFL)

        for number in numbers:
            check = subprocess.Popen(["./check", "--only", "format"], cwd=self.folder, env=self.environment(), stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=heed_signals)
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
            what = {"kernels": ["loops are counted"], "all": ["64 KiB", "static", "checks the stack", "demo's job",
                             "descriptions of devices"]}[part]
            for text in what:
                self.assertRegex(result.stdout, f"(?m)^not ok .*{text}")

    def test_an_installation_with_blanks_in_its_path_reached_by_a_link(self):
        link = self.folder.parent / "link"
        link.symlink_to(self.folder)
        options = json.dumps([{"name": "prefix", "value": str(self.folder / "build/prefix")}])
        self.program("meson", f"[ \"$1\" != introspect ] || echo '{options}'")
        self.program("pkg-config", r"""[ "$1" = --exists ] || echo '-I/with\ blanks/include -L/with\ blanks/lib -llutra'""")
        self.program("cc", arguments=True)
        result = subprocess.run(["scripts/check_installed", "build/release"], cwd=link, capture_output=True, text=True, timeout=60,
                                env={**self.environment(), "CC": "cc", "PWD": str(link)})
        self.assertEqual(result.returncode, 1)  # nothing is installed, and no program is built
        for what in ("a program builds against the shared library", "a program builds against the static library",
                     "examples/classify.c builds"):
            self.assertRegex(result.stdout, f"(?m)^ok .*{what}$")
        self.assertEqual(self.called().count("-I/with blanks/include"), 4)  # the static library asks twice
        self.assertIn(str(self.folder / "build/prefix/lib/liblutra.a"), self.called())

    def test_a_sysroot_is_fetched_anew_and_follows_a_checkout_that_moves(self):
        place = self.folder / "build/cross/armhf"
        for name in ("dpkg-deb", "tar"):
            self.program(name)
        self.program("apt-get", arguments=True)
        fetched = self.run_script("scripts/fetch_sysroot", "armhf")
        self.assertEqual((fetched.returncode, fetched.stderr), (0, ""))
        self.assertIn(f"Dir::State={place}/apt/state", self.called())
        old = place / "apt/cache/archives/libc6-dev_1.deb"
        old.write_text("")
        (place / "sysroot/complete").write_text("other packages\n")
        self.assertEqual(self.run_script("scripts/fetch_sysroot", "armhf").returncode, 0)
        self.assertFalse(old.exists())

        before = (place / "sysroot.ini").stat().st_mtime_ns
        self.calls.unlink()
        self.assertEqual(self.run_script("scripts/fetch_sysroot", "armhf").returncode, 0)
        self.assertEqual((place / "sysroot.ini").stat().st_mtime_ns, before)
        self.folder = self.folder.rename(self.folder.parent / "elsewhere")
        self.assertEqual(self.run_script("scripts/fetch_sysroot", "armhf").returncode, 0)
        ini = (self.folder / "build/cross/armhf/sysroot.ini").read_text()
        self.assertEqual(ini, f"[constants]\nsysroot = '{self.folder}/build/cross/armhf/sysroot'\n")
        self.assertEqual(self.called(), [])

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
