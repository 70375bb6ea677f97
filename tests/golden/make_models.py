# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/models: small random models with the outputs that timm and transformers compute for them.

    python3 -m venv venv && venv/bin/pip install -r tests/golden/requirements.txt
    venv/bin/python tests/golden/make_models.py

Each folder has the model as its framework saves it, `golden*.safetensors` (pixels U8 [batch][height][width][3], logits
F32 [batch][classes], features F32 [batch][dim]; the metadata names the programs, and the image size where it is not the
model's own) and, where preprocessing is at stake, `pictures.safetensors` (per test picture the 8-bit pixels after resize
and crop, and the outputs). Every run checks that float64 agrees and that no tensor and no option could be left out unseen.
"""
import numpy as np
from PIL import Image

from golden_common import MODELS


def make_pictures():
    """Three pictures of odd sizes: wide, tall, and smaller than any model's input."""
    for name, width, height in (("wide", 61, 40), ("tall", 37, 66), ("small", 13, 10)):
        y, x = np.mgrid[0:height, 0:width]
        random = np.random.Generator(np.random.PCG64(width))
        waves = [127 + 90 * np.sin(x / (3 + c) + c) * np.cos(y / (5 - c)) for c in range(3)]
        noise = random.integers(-30, 31, (height, width, 3))
        pixels = np.clip(np.stack(waves, axis=-1) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(MODELS / f"{name}.png", optimize=True)


if __name__ == "__main__":
    MODELS.mkdir(exist_ok=True)
    make_pictures()
    import models_timm
    models_timm.make_all()
    import models_hf
    models_hf.make_all()
    total = sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file())
    print(f"{total / 1e6:.2f} MB in {MODELS}")
