# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/shared.json: what PyTorch and timm compute for the shared models and photos, with Pillow's resize.

    LUTRA_SHARED=../shared python3 tests/golden/make_shared.py

Only numbers are kept: per model the right answers and the mean negative log-likelihood over all photos, and the logits
and a checksum of the preprocessed pixels of the first eight (by name), so that a difference shows where it arises.
"""
import csv
import json
import os
import zlib

import torch
from PIL import Image
from safetensors.torch import load_file

from golden_common import HERE, made_by, normalise

import timm
from timm.data import create_transform
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

SHARED = os.environ.get("LUTRA_SHARED", str(HERE.parents[2] / "shared"))
PHOTOS = 8
# file, timm's name, mean, std, crop_pct (DeiT's own evaluation resizes to 256)
MODELS = (
    ("deit_tiny_patch16_224", "deit_tiny_patch16_224", IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, 0.875),
    ("vit_tiny_patch16_224_augreg", "vit_tiny_patch16_224", (0.5,) * 3, (0.5,) * 3, 0.9),
)


def labels():
    with open(f"{SHARED}/images/imagenet-sample/labels.tsv", newline="") as file:
        return sorted((row[0], int(row[1])) for row in csv.reader(file, delimiter="\t") if row[1].isdigit())


def evaluate(name, arch, mean, std, crop_pct):
    model = timm.create_model(arch).eval()
    model.load_state_dict(load_file(f"{SHARED}/models/{name}.safetensors"))
    transform = create_transform((3, 224, 224), is_training=False, interpolation="bicubic", crop_pct=crop_pct,
                                 normalize=False)
    top1 = top5 = 0
    nll, photos = 0.0, []
    for file, label in labels():
        picture = Image.open(f"{SHARED}/images/imagenet-sample/{file}").convert("RGB")
        pixels = transform(picture).permute(1, 2, 0).contiguous()
        logits = model(normalise(pixels[None], mean, std))[0]
        best = logits.topk(5).indices.tolist()
        top1 += best[0] == label
        top5 += label in best
        nll += torch.nn.functional.cross_entropy(logits.double(), torch.tensor(label)).item()
        if len(photos) < PHOTOS:
            photos.append({"file": file, "pixels_crc32": zlib.crc32(pixels.numpy().tobytes()),
                           "logits": [round(value, 5) for value in logits.tolist()]})
    return {"top1": top1, "top5": top5, "nll": round(nll / len(labels()), 7), "photos": photos}


if __name__ == "__main__":
    torch.set_num_threads(2)
    with torch.no_grad():
        models = {name: evaluate(name, *rest) for name, *rest in MODELS}
    result = {"made_by": made_by("timm", "pillow"), "images": len(labels()), "models": models}
    text = json.dumps(result, separators=(",", ":"))
    for key in ('{"file"', '"vit_'):  # a line per photo
        text = text.replace(key, "\n" + key)
    (HERE / "shared.json").write_text(text + "\n")
    for name, row in models.items():
        print(name, row["top1"], row["top5"], row["nll"])
