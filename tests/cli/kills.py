# SPDX-License-Identifier: Apache-2.0
"""A writer that is killed at any moment leaves the old file or the new one, never a mixture; the next one uses the temporary of
a dead writer again and never touches that of one at work. LUTRA_KILLS sets the number of kills at random moments."""
import fcntl
import os
import pathlib
import random
import signal
import subprocess
import time
import unittest

from common import COMMAND, DONE, FAILED, INTERRUPTED, LUTRA, MODEL, SANITIZED, CommandTest, main, temporary_folder

N_KILLS = int(os.environ.get("LUTRA_KILLS", "40"))
SEED = int(os.environ.get("LUTRA_TEST_SEED", "1"))
PRELOAD = pathlib.Path(os.environ["LUTRA_BUILD_ROOT"]) / "tests/faults/liblutra-faults.so"
BEFORE, AFTER = -1, -2  # of a call, in tests/faults/faults.h
OLD = b"an older file of whoever came before"


class Kills(CommandTest):
    @classmethod
    def setUpClass(cls):
        folder = temporary_folder()
        # Large enough that writing it takes some time.
        dense, small = folder / "dense.safetensors", folder / "small.safetensors"
        for command in (["random", "--arch", "vit_tiny_patch16_224", "-o", dense], ["cluster", dense, "-k", "3", "-o", small]):
            subprocess.run([LUTRA, *command, "--quiet"], check=True, stdout=subprocess.DEVNULL)
        cls.commands = {"cluster small": ["cluster", MODEL, "-k", "7", "--threads", "2"],
                        "cluster": ["cluster", dense, "-k", "2", "--threads", "2"], "export": ["export", small, "--dtype", "bf16"]}

    def setUp(self):
        self.folder = temporary_folder()
        self.out = self.folder / "out"
        self.temporary = self.folder / ".out.lutra-tmp"

    def start(self, command, **options):
        return subprocess.Popen([*COMMAND, *map(str, command), "-o", self.out, "--quiet"], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options)

    def finish(self, process):
        """The exit status, or less than 0 where a signal ended it; and what it said."""
        message = process.communicate(timeout=120)[1]
        return process.returncode, message

    def new_file(self, command):
        """What the command writes, and how long it takes."""
        began = time.monotonic()
        status, message = self.finish(self.start(command))
        self.assertEqual(status, DONE, message)
        return self.out.read_bytes(), time.monotonic() - began

    def check(self, status, message, signal_number, new):
        what = (status, message, signal_number)
        self.assertIn(status, (DONE, INTERRUPTED, -signal_number), what)
        left = set(os.listdir(self.folder))
        if status == DONE:
            self.assertEqual(self.out.read_bytes(), new, what)
        elif status == INTERRUPTED:
            self.assertIn(self.out.read_bytes(), (OLD, new), what)
        else:
            self.assertIn(self.out.read_bytes(), (OLD, new), what)
            if signal_number == signal.SIGKILL:  # any other ends the program only before it has begun
                left -= {".out.lutra-tmp"}
        self.assertEqual(left, {"out"}, what)

    def test_random_moments(self):
        random_number = random.Random(SEED)
        expected = {name: self.new_file(command) for name, command in self.commands.items()}
        counts = {}
        for i in range(N_KILLS):
            name = random_number.choice(sorted(self.commands))
            new, seconds = expected[name]
            signal_number = random_number.choice((signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGKILL))
            self.out.write_bytes(OLD)
            process = self.start(self.commands[name])
            time.sleep(random_number.uniform(0, 1.1 * seconds))
            process.send_signal(signal_number)
            status, message = self.finish(process)
            with self.subTest(i=i, name=name):
                self.check(status, message, signal_number, new)
            stale = self.temporary.exists()
            key = "done" if status == DONE else "interrupted" if status == INTERRUPTED else "killed"
            counts[key] = counts.get(key, 0) + 1
            counts["left a temporary"] = counts.get("left a temporary", 0) + stale
            if stale and counts["left a temporary"] % 4 == 1:  # the next run uses it
                self.assertEqual(self.new_file(self.commands[name])[0], new)
                self.assertEqual(os.listdir(self.folder), ["out"])
        print(f"# {N_KILLS} kills: {counts}")

    @unittest.skipIf(SANITIZED or len(COMMAND) > 1 or not PRELOAD.exists(), "needs tests/faults")
    def test_at_every_call(self):
        """Just before and just after each call that makes or changes a file."""
        command = self.commands["cluster small"]
        new, _ = self.new_file(command)
        n = 0
        for kind in ("open", "write", "sync", "rename"):
            for when in (BEFORE, AFTER):
                for first in range(1000):
                    self.out.write_bytes(OLD)
                    come, go = os.pipe()
                    environment = dict(os.environ, LD_PRELOAD=str(PRELOAD), LUTRA_FAULT=f"{kind} {first} 1 {when}",
                                       LUTRA_FAULT_REPORT=str(go))
                    status, message = self.finish(self.start(command, env=environment, pass_fds=[go]))
                    os.close(go)
                    hit = os.read(come, 1) != b""
                    os.close(come)
                    self.check(status, message, signal.SIGKILL, new)
                    if not hit:
                        self.assertEqual(status, DONE)
                        break
                    n += 1
                    if kind == "rename":
                        self.assertEqual(self.out.read_bytes(), OLD if when == BEFORE else new)
        self.assertGreater(n, 20)
        # The last temporaries were of dead writers, and every next run has used them.
        self.assertEqual(os.listdir(self.folder), ["out"])
        print(f"# killed at {n} calls")

    def test_a_writer_at_work_is_left_alone(self):
        """Its lock is its sign: whoever holds it is not disturbed, whatever lies in the file."""
        self.out.write_bytes(OLD)
        self.temporary.write_bytes(b"half of a file")
        with open(self.temporary, "r+b") as working:
            fcntl.flock(working, fcntl.LOCK_EX)
            for command in self.commands.values():
                status, message = self.finish(self.start(command))
                self.assertEqual(status, FAILED)
                self.assertIn("another program is writing it", message)
            self.assertEqual(self.temporary.read_bytes(), b"half of a file")
            self.assertEqual(self.out.read_bytes(), OLD)
        self.new_file(self.commands["cluster small"])
        self.assertEqual(os.listdir(self.folder), ["out"])

    def test_many_writers_at_once(self):
        """One of them writes; each of the others says so, or comes later and writes the same."""
        command = self.commands["cluster small"]
        new, _ = self.new_file(command)
        for _ in range(5):
            results = [self.finish(process) for process in [self.start(command) for _ in range(6)]]
            self.assertIn(DONE, {status for status, _ in results})
            for status, message in results:
                self.assertIn(status, (DONE, FAILED), message)
                if status == FAILED:
                    self.assertRegex(message, "another program is writing it|other programs keep replacing it")
            self.assertEqual(self.out.read_bytes(), new)
            self.assertEqual(os.listdir(self.folder), ["out"])


if __name__ == "__main__":
    main()
