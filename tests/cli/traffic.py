# SPDX-License-Identifier: Apache-2.0
"""The modelled bytes from beyond a cache beside the misses of Cachegrind's simulation of the same cache, which sees every access
of the program and knows nothing of plans."""
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import unittest

import cachegrind
import two_blocks
from common import LUTRA, MODEL, SANITIZED, temporary_folder

# The model's cache is fully associative and every access reaches it; Cachegrind's has 16 ways and sees what the first level
# misses.
TOLERANCE = 0.10


def supported():
    if SANITIZED or not shutil.which("valgrind") or platform.machine() != "x86_64":
        return False
    run = subprocess.run([LUTRA, "profile", MODEL, "--repeat", "1", "--no-energy"], env={**os.environ, "LUTRA_ISA": "avx2"},
                         capture_output=True, text=True, check=False)
    return "LUTRA_ISA" not in run.stderr


class Traffic(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = temporary_folder()
        cls.dense = two_blocks.make(LUTRA, cls.folder)
        cls.clustered = str(cls.folder / "clustered.safetensors")
        subprocess.run([LUTRA, "cluster", cls.dense, "-o", cls.clustered, "--quiet"], check=True, stdout=subprocess.DEVNULL)

    def agrees(self, model, mode, cache):
        options = ["--mode", mode, "--image-size", 128]  # 65 tokens: Valgrind takes its time
        modelled, counted = cachegrind.compare(LUTRA, [model, *options], cache, self.folder)
        print(f"# {pathlib.Path(model).stem} {mode}, {cache >> 10} KiB: modelled {modelled / 2**20:.3f} MiB, "
              f"Cachegrind {counted / 2**20:.3f} MiB, ratio {modelled / counted:.3f}")
        self.assertAlmostEqual(modelled / counted, 1, delta=TOLERANCE)

    def test_dense(self):
        self.agrees(self.dense, "f32", 1 << 19)

    def test_dense_in_a_smaller_cache(self):
        self.agrees(self.dense, "f32", 1 << 17)

    def test_clustered(self):
        self.agrees(self.clustered, "int8", 1 << 19)

    def test_clustered_in_a_smaller_cache(self):
        self.agrees(self.clustered, "int8", 1 << 17)


if __name__ == "__main__":
    if not supported():
        sys.exit(77)
    unittest.main()
