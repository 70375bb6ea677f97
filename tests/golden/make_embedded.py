# SPDX-License-Identifier: Apache-2.0
"""Golden logits of the embedded model, by PyTorch and timm in f32.

    python tests/golden/make_embedded.py

Reads data/embedded, writes tests/golden/embedded_logits.safetensors: "logits"
F32 [32][classes]; the metadata's "files" are the 32 pictures, comma-separated,
in order, and "made_with" the versions.  Versions: training/requirements.txt.
"""
from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "training"))

import load_model  # noqa: E402
import timm_model  # noqa: E402

COUNT = 32


def main() -> None:
    """Every n-th picture of the test set, so that all scripts take part."""
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    folder = ROOT / "data" / "embedded"
    model, _ = load_model.load(folder)
    files, _ = load_model.labels(folder / "test")
    chosen = [files[number * len(files) // COUNT] for number in range(COUNT)]
    logits = load_model.logits(model, load_model.pictures(folder / "test", chosen))
    timm = timm_model.import_timm()
    save_file({"logits": logits.contiguous()},
              ROOT / "tests" / "golden" / "embedded_logits.safetensors",
              metadata={"files": ",".join(chosen),
                        "made_with": f"torch {torch.__version__}, timm {timm.__version__}"})


if __name__ == "__main__":
    main()
