# SPDX-License-Identifier: Apache-2.0
"""What the tests of the command share: running it, pictures made from nothing, a model with named classes."""
import atexit
import json
import os
import pathlib
import resource
import shlex
import shutil
import signal
import struct
import subprocess
import tempfile
import unittest
import zlib

SOURCE = pathlib.Path(os.environ.get("LUTRA_SOURCE_ROOT", pathlib.Path(__file__).resolve().parents[2]))
# The program; LUTRA_PROGRAM names another, perhaps with an emulator before it.
COMMAND = shlex.split(os.environ.get("LUTRA_PROGRAM", "")) or [os.path.join(os.environ["LUTRA_BUILD_ROOT"], "tools", "lutra")]
LUTRA = COMMAND[-1]
TIMEOUT = 300 if len(COMMAND) == 1 else 3000
# A fine-tuned ViT of one block with the ten classes CLASSES, 24x24 pixels, own mean and deviation.
MODEL = str(SOURCE / "tests/golden/models/timm-finetuned")
CLASSES = ["otter", "vole", "newt", "heron", "pike", "swan", "frog", "carp", "teal", "moth"]
# One without a head.
HEADLESS = str(SOURCE / "tests/golden/models/hf-vit-no-head")

PROGRAM = pathlib.Path(LUTRA).read_bytes()
# A sanitizer holds memory of its own.
SANITIZED = b"__asan_init" in PROGRAM or b"__tsan_init" in PROGRAM
# The page's own text, without which the build has no report.
HAS_REPORT = b"lutra-report-page" in PROGRAM

DONE, FAILED, USAGE, UNREADABLE, INTERRUPTED = 0, 1, 2, 3, 130

# Inherited settings must not change what is tested: a shell has SIGINT ignored by what it starts in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)
for name in ("LUTRA_ISA", "NO_COLOR"):
    os.environ.pop(name, None)
os.environ["LUTRA_DATA_DIR"] = str(SOURCE / "data")


def temporary_folder():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="lutra-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def png(path, shade, width=31, height=27):
    """A colour picture; each `shade` (0..255) gives another."""
    rows = b"".join(
        b"\0" + bytes(v for x in range(width) for v in ((x * 8 + shade) % 256, (y * 9 + shade // 2) % 256,
                                                         (x * y + 255 - shade) % 256))
        for y in range(height))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    data = (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(path).write_bytes(data)
    return str(path)


def scaled_model(folder, model, factors):
    """Copies the model in F32 or F16 with each tensor that is named multiplied by its factor, or, where that is a function,
    as it makes the list of numbers; returns the copy."""
    shutil.copytree(model, folder)
    path = pathlib.Path(folder) / "model.safetensors"
    data = bytearray(path.read_bytes())
    start = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:start])
    for name, factor in factors.items():
        first, end = (start + at for at in header[name]["data_offsets"])
        kind = "f" if header[name]["dtype"] == "F32" else "e"
        numbers = struct.unpack(f"<{(end - first) // struct.calcsize(kind)}{kind}", data[first:end])
        numbers = factor(numbers) if callable(factor) else [factor * x for x in numbers]
        data[first:end] = struct.pack(f"<{len(numbers)}{kind}", *numbers)
    path.write_bytes(data)
    return folder


def file_limit(size):
    """For preexec_fn: writes beyond `size` bytes fail, as on a full disk."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def bare_weights(path, arch):
    """Random weights that do not tell their architecture, as others write them; returns the path."""
    subprocess.run([*COMMAND, "random", "--arch", arch, "-o", path, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    data = path.read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:start])
    del header["__metadata__"]
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 64)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[start:])
    return path


class CommandTest(unittest.TestCase):
    maxDiff = None

    def bound_by_permissions(self):
        """What runs a program so that it cannot read or write what permissions deny it, as root can."""
        if os.geteuid() != 0:
            return []
        runner = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
        if not shutil.which("setpriv") or subprocess.run([*runner, "true"], stderr=subprocess.DEVNULL).returncode:
            self.skipTest("to root no permission is denied")
        return runner

    def lutra(self, *arguments, status=DONE, text=True, runner=(), **options):
        """Runs the command, expects `status`; returns the completed process."""
        options.setdefault("stdin", subprocess.DEVNULL) if "input" not in options else None
        result = subprocess.run([*runner, *COMMAND, *map(str, arguments)], capture_output=True, text=text, timeout=TIMEOUT, **options)
        self.assertEqual(result.returncode, status,
                         f"lutra {' '.join(map(str, arguments))}\n{result.stdout}\n{result.stderr}")
        return result

    def lutra_json(self, *arguments, status=DONE, **options):
        """The same with --json: standard output must be one JSON document and nothing else."""
        return json.loads(self.lutra(*arguments, "--json", status=status, **options).stdout)

    def fails(self, *arguments, status=FAILED, says, **options):
        """Must fail with `status`, print nothing on standard output and every one of `says` on standard error."""
        result = self.lutra(*arguments, status=status, **options)
        self.assertEqual(result.stdout, "")
        for part in [says] if isinstance(says, str) else says:
            self.assertIn(part, result.stderr)
        return result


main = unittest.main
