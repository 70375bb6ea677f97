# SPDX-License-Identifier: Apache-2.0
"""Classifying with a clustered DeiT-Tiny takes little memory of its own beyond the mapped file."""
import pathlib
import subprocess
import unittest

from common import LUTRA, MODEL, SANITIZED, CommandTest, main, png, temporary_folder

LIMIT_KIB = 16 * 1024  # what a small board can spare; a batch of pictures took 10 MiB, one alone 2; the dense weights take 22


def peak_anonymous(command):
    """The most RssAnon (KiB) that was seen while the command ran."""
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            try:
                status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            except (FileNotFoundError, ProcessLookupError):
                break
            lines = [line for line in status.splitlines() if line.startswith("RssAnon:")]
            peak = max([peak, *(int(line.split()[1]) for line in lines)])
    if process.returncode != 0:
        raise RuntimeError(f"{command}: exit status {process.returncode}")
    return peak


@unittest.skipIf(SANITIZED, "a sanitizer holds memory of its own")
class Memory(CommandTest):
    def test_classify(self):
        folder = temporary_folder()
        dense, clustered = folder / "deit_tiny_patch16_224.safetensors", folder / "clustered.safetensors"
        self.lutra("random", "--arch", "deit_tiny_patch16_224", "-o", dense, "--quiet")
        self.lutra("cluster", dense, "-o", clustered, "--clusters", 64, "--quiet")
        picture = png(folder / "picture.png", 7, width=816, height=612)  # half a megapixel
        # Many times the same, so that a look every few hundred microseconds meets every state.
        peak = peak_anonymous([LUTRA, "classify", str(clustered), *[picture] * 30, "--quiet"])
        print(f"# peak RssAnon {peak} KiB")
        self.assertGreater(peak, 500)  # it was seen at work
        self.assertLess(peak, LIMIT_KIB)

    def test_eval_is_flat(self):
        """Ten times the pictures take their names more, and nothing else."""
        folder = temporary_folder()
        png(folder / "images/p.png", 7)
        peaks = []
        for n in (1000, 10000):
            table = folder / f"{n}.txt"
            table.write_text("p.png 1\n" * n)
            peaks.append(peak_anonymous([LUTRA, "eval", MODEL, "--images", str(folder / "images"), "--labels", str(table), "--quiet",
                                         "--threads", "1"]))
        print(f"# peak RssAnon {peaks[0]} KiB with 1,000 pictures, {peaks[1]} KiB with 10,000")
        name = len(str(folder / "images/p.png")) + 1
        allowed = 9000 * (name + 16 + 8 + 8 + 8)  # each in a block of malloc's, in two lists that grow to twice their size
        self.assertLess(peaks[1] - peaks[0], 2 * allowed / 1024)


if __name__ == "__main__":
    main()
