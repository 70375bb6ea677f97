# SPDX-License-Identifier: Apache-2.0
"""Models of random weights to be timed: time does not depend on what the weights say."""
from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Callable


def quietly(*command: object) -> None:
    """The command, of which only errors are seen."""
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)


def clustered(lutra: object, arch: str, folder: Path, run: Callable[..., object] = quietly) -> Path:
    """The file of `arch` in 64 clusters in `folder`, made where it is missing by `run(COMMAND, ARGUMENT...)`."""
    path = folder / f"{arch}-64.safetensors"
    if not path.exists():
        dense = folder / f"{arch}.safetensors"
        run(lutra, "random", "--quiet", "--arch", arch, "-o", dense)
        run(lutra, "cluster", "--quiet", dense, "--arch", arch, "--clusters", 64, "-o", path)
        dense.unlink()
    return path
