# SPDX-License-Identifier: Apache-2.0
"""Photos as every engine gets them: 8-bit pixels, resized and cropped as timm's configuration says."""
from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from models import SIZE, import_timm

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def pixels(path: Path, crop_pct: float) -> np.ndarray:
    """Shorter side to SIZE / crop_pct, bicubic; the centre: [SIZE][SIZE][3] uint8."""
    image = Image.open(path).convert("RGB")
    short = int(SIZE / crop_pct)
    scale = short / min(image.size)
    image = image.resize(tuple(max(short, int(side * scale)) for side in image.size), Image.Resampling.BICUBIC)
    left, top = ((side - SIZE) // 2 for side in image.size)
    return np.asarray(image.crop((left, top, left + SIZE, top + SIZE)))


def read(paths: list[Path], crop_pct: float) -> np.ndarray:
    """[N][SIZE][SIZE][3] uint8."""
    return np.stack([pixels(path, crop_pct) for path in paths])


def split(folder: Path, arch: str, made: Path) -> tuple[np.ndarray, Path]:
    """(the photos to judge on, a folder of links to those that calibrate): every fifth in the order of names.

    The pixels of those that calibrate lie in the folder too, as pixels.npy.
    """
    paths = sorted(p.resolve() for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    if len(paths) < 10:
        raise SystemExit(f"{folder}: {len(paths)} pictures are too few to calibrate on some and judge on others")
    crop_pct = import_timm().get_pretrained_cfg(arch).crop_pct
    calibration = made / "calibration"
    calibration.mkdir(parents=True, exist_ok=True)
    for path in paths[::5]:
        link = calibration / path.name
        if not link.is_symlink():
            link.symlink_to(path)
    np.save(calibration / "pixels.npy", read(paths[::5], crop_pct))
    return read([path for n, path in enumerate(paths) if n % 5], crop_pct), calibration
