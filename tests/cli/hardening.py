# SPDX-License-Identifier: Apache-2.0
"""What protects the program and the library if a bug is found in them after all: read from the files themselves."""
import os
import pathlib
import re
import shutil
import subprocess
import unittest

from common import COMMAND, LUTRA, SANITIZED, main

LIBRARY = pathlib.Path(os.environ["LUTRA_BUILD_ROOT"]) / "liblutra.so"


@unittest.skipIf(SANITIZED or len(COMMAND) > 1 or not shutil.which("readelf") or not LIBRARY.exists(),
                 "needs binutils and a build without sanitizers")
class Hardening(unittest.TestCase):
    def read(self, path, *options):
        return subprocess.run(["readelf", "-W", *options, path], check=True, capture_output=True, text=True).stdout

    def test_position_independent(self):
        self.assertRegex(self.read(LUTRA, "-h"), r"Type:\s+DYN")
        self.assertRegex(self.read(LUTRA, "-d"), r"FLAGS_1\).*\bPIE\b")

    def test_relocations_are_read_only_from_the_start(self):
        for path in (LUTRA, LIBRARY):
            self.assertIn("GNU_RELRO", self.read(path, "-l"), path)
            self.assertRegex(self.read(path, "-d"), r"BIND_NOW|\bNOW\b", path)

    def test_no_memory_is_both_written_and_executed(self):
        for path in (LUTRA, LIBRARY):
            segments = self.read(path, "-l")
            self.assertRegex(segments, r"GNU_STACK\s+\S+ \S+ \S+ \S+ \S+ RW ", path)
            self.assertEqual(re.findall(r"LOAD .* RWE ", segments), [], path)
            self.assertNotIn("TEXTREL", self.read(path, "-d"), path)

    def test_buffers_are_guarded(self):
        for path in (LUTRA, LIBRARY):
            symbols = self.read(path, "--dyn-syms")
            self.assertIn("__stack_chk_fail", symbols, path)
            self.assertRegex(symbols, r"__(snprintf|vsnprintf|memcpy|printf|fprintf)_chk", path)


if __name__ == "__main__":
    main()
