# SPDX-License-Identifier: Apache-2.0
"""Under Valgrind, with the reference kernels: what the commands do reads nothing that is not theirs and frees what it took,
where it ends well and where it fails. Minutes: only where LUTRA_LONG is set."""
import os
import shutil
import subprocess
import unittest

from common import COMMAND, MODEL, SANITIZED, SOURCE, TIMEOUT, CommandTest, main, png, temporary_folder

VALGRIND = ["valgrind", "-q", "--leak-check=full", "--errors-for-leak-kinds=definite,indirect,possible", "--error-exitcode=99"]


@unittest.skipIf(SANITIZED or len(COMMAND) > 1 or not shutil.which("valgrind") or "LUTRA_LONG" not in os.environ,
                 "takes minutes: set LUTRA_LONG")
class Leaks(CommandTest):
    def test_all(self):
        folder = temporary_folder()
        small, broken, cut = (folder / f"{name}.safetensors" for name in ("small", "broken", "cut"))
        self.lutra("cluster", MODEL, "-o", small, "-k", "5", "--quiet")
        data = small.read_bytes()
        broken.write_bytes(data.replace(b"blocks.0.mlp.fc1.weight.scale", b"blocks.0.mlp.fc1.weight.scalx"))
        cut.write_bytes(data[:-100])
        for i in range(16):
            png(folder / f"images/{i}.png", 15 * i)
        images, picture = folder / "images", folder / "images/0.png"
        table, wrong = folder / "table", folder / "wrong"
        table.write_text("".join(f"{i}.png {i % 10}\n" for i in range(16)))
        wrong.write_text("1\n2\n")
        half = folder / "half.png"
        half.write_bytes(picture.read_bytes()[:300])
        out = folder / "out"
        commands = [
            (0, "cluster", MODEL, "-o", out, "-k", "4", "--labels", self.names(folder), "--errors", "--json"),
            (0, "cluster", MODEL, "-o", out, "-k", "4", "--scope", "model", "--exact"),
            (0, "cluster", MODEL, "-o", out, "--budget", "3bits", "--calibrate", images, "--calibrate-count", "16", "--report",
             folder / "report.json"),
            (0, "export", small, "-o", out, "--dtype", "bf16"),
            (0, "inspect", small, "--json", "--plan", "--verify"),
            (0, "inspect", SOURCE / "tests/golden/models/hf-vit-sharded"),
            (0, "classify", small, images, "--json"),
            (0, "classify", small, SOURCE / "tests/golden/images/exif_6.jpg", SOURCE / "tests/golden/images/lossy.webp", "--copy"),
            (0, "eval", small, "--images", images, "--labels", table, "--against", MODEL),
            (0, "compare", small, MODEL, "--images", images, "--steps"),
            (0, "embed", small, images, "-o", folder / "out.npy"),
            (0, "bench", small, "--repeat", "1"),
            (0, "profile", small, "--on", "pi5", "--json"),
            (3, "classify", small, half, picture, folder / "none.png"),
            (1, "cluster", small, "-o", out),
            (1, "cluster", broken, "-o", out),
            (1, "cluster", MODEL, "-o", folder / "none/out"),
            (1, "cluster", MODEL, "-o", out, "--labels", wrong),
            (1, "export", cut, "-o", out),
            (1, "inspect", broken, "--plan"),
            (1, "eval", small, "--images", images, "--labels", wrong),
            (1, "compare", small, broken, "--images", images),
            (1, "profile", small, "--on", wrong),
            (2, "classify", small, "--top", "0"),
        ]
        for status, *arguments in commands:
            with self.subTest(arguments):
                self.valgrind(arguments, status)
        print(f"# {len(commands)} commands")

    @staticmethod
    def names(folder):
        path = folder / "names"
        path.write_text("".join(f"name {i}\n" for i in range(10)))
        return path

    def valgrind(self, arguments, status):
        threads = [] if arguments[0] in ("export", "inspect") else ["--threads", "1"]
        result = subprocess.run([*VALGRIND, *COMMAND, *map(str, arguments), *threads], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=TIMEOUT, env=dict(os.environ, LUTRA_ISA="reference"))
        self.assertEqual(result.returncode, status, result.stderr)


if __name__ == "__main__":
    main()
