#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A build for a big-endian machine is refused, with the reason.

    byte_order.py COMPILER [ARGUMENT...]

The compiler is told so by its own macro; it need not be able to compile for such a machine.
"""
import os
import pathlib
import subprocess
import sys
import unittest

SOURCE = pathlib.Path(os.environ.get("LUTRA_SOURCE_ROOT", pathlib.Path(__file__).resolve().parents[2]))
COMPILER = sys.argv[1:] or ["cc"]


def compile_for(order):
    return subprocess.run([*COMPILER, "-std=c11", "-I", SOURCE / "src", "-I", SOURCE / "include", "-U__BYTE_ORDER__",
                           f"-D__BYTE_ORDER__={order}", '-DLUTRA_VERSION="0"', "-fsyntax-only", SOURCE / "src/base/memory.c"],
                          capture_output=True, text=True)


class ByteOrder(unittest.TestCase):
    def test_little_endian_is_compiled(self):
        result = compile_for("__ORDER_LITTLE_ENDIAN__")
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_big_endian_is_refused(self):
        result = compile_for("__ORDER_BIG_ENDIAN__")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("Lutra runs on little-endian machines only", result.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
