# SPDX-License-Identifier: Apache-2.0
"""Check that timm alone rebuilds the exported model, and agrees on the pictures.

timm reads the folder as it would one from a model hub ("local-dir:"), the
transform is the one timm makes from pretrained_cfg.
"""
from __future__ import annotations

import sys
from pathlib import Path

import torch
from PIL import Image

import load_model
import timm_model


def main(folder: Path) -> None:
    """Compare with load_model on the first 64 pictures; exit 1 if they differ."""
    timm = timm_model.import_timm()
    model = timm.create_model(f"local-dir:{folder.resolve()}", pretrained=True).eval()
    data = timm.data.resolve_model_data_config(model)
    transform = timm.data.create_transform(**data, is_training=False)
    files, want = load_model.labels(folder / "test")
    files, want = files[::len(files) // 64][:64], want[::len(want) // 64][:64]
    images = [Image.open(folder / "test" / name).convert("RGB") for name in files]
    with torch.no_grad():
        theirs = model(torch.stack([transform(image) for image in images]))
    own, config = load_model.load(folder)
    ours = load_model.logits(own, load_model.pictures(folder / "test", files))
    names = model.pretrained_cfg.get("label_names", config["label_names"])
    worst = (theirs - ours).abs().max().item()
    right = int((theirs.argmax(1) == want).sum())
    print(f"{len(names)} classes, {right} of {len(files)} right, largest difference {worst:.2e}")
    if worst > 1e-4 or names != config["label_names"]:
        sys.exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
