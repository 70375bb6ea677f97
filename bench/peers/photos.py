# SPDX-License-Identifier: Apache-2.0
"""Photos as every engine gets them: 8-bit pixels, resized and cropped as timm's configuration says."""
from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from models import SIZE

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def pixels(path: Path, crop_pct: float) -> np.ndarray:
    """Shorter side to SIZE / crop_pct, bicubic; the centre: [SIZE][SIZE][3] uint8."""
    image = Image.open(path).convert("RGB")
    short = int(SIZE / crop_pct)
    scale = short / min(image.size)
    image = image.resize(tuple(max(short, int(side * scale)) for side in image.size), Image.Resampling.BICUBIC)
    left, top = ((side - SIZE) // 2 for side in image.size)
    return np.asarray(image.crop((left, top, left + SIZE, top + SIZE)))


def read(folder: Path, crop_pct: float) -> np.ndarray:
    """Every picture of the folder in the order of names: [N][SIZE][SIZE][3] uint8."""
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise SystemExit(f"{folder}: no pictures")
    return np.stack([pixels(path, crop_pct) for path in paths])


def split(folder: Path, crop_pct: float, made: Path) -> tuple[np.ndarray, Path]:
    """(the photos to judge on, where those for calibration were written): every fifth calibrates."""
    every = read(folder, crop_pct)
    calibration = made / "calibration.npy"
    np.save(calibration, every[::5])
    return np.delete(every, np.s_[::5], axis=0), calibration
