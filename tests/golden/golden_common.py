# SPDX-License-Identifier: Apache-2.0
"""What the golden scripts share: seeded weights, the reference run, and the file it is written to."""
import json
import math
import sys
import zlib
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
MODELS = HERE / "models"

# The tolerance that the tests hold Lutra to, and how far beyond it every omission must show.
TOLERANCE = 1e-3
VISIBLE = 5 * TOLERANCE


def import_torchvision():
    """A torchvision built for CUDA cannot load its operators beside a CPU-only torch. Nothing here uses them, but
    importing it fails unless their names exist."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(operator + "(Tensor dets, Tensor scores, float threshold) -> Tensor")
        import_torchvision.library = library  # the definitions live as long as this object
        import torchvision  # noqa: F401


import_torchvision()
torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)


def generator_for(name):
    return torch.Generator().manual_seed(zlib.crc32(name.encode()))


def is_norm(name):
    return "norm" in name


def neutral(name, tensor):
    """What a reader that forgot this tensor would compute with."""
    if name.endswith(("gamma", "lambda1")) or (is_norm(name) and name.endswith("weight")):
        return torch.ones_like(tensor)
    return torch.zeros_like(tensor)


def fill(model, name, embedding=0.5, head=1.0, mlp=1.0):
    """Random weights of realistic spread in every tensor, so that none can be left out unseen. `embedding` is the
    spread of what enters the first norm: near the square root of eps, eps shows. `head` and `mlp` amplify: only so do
    the two forms of GELU, 5e-4 apart, show in the logits."""
    generator = generator_for(name)

    def normal(shape, spread, mean=0.0):
        return torch.randn(shape, generator=generator, dtype=torch.float64) * spread + mean

    with torch.no_grad():
        for key, tensor in sorted(model.state_dict().items()):
            shape = tensor.shape
            if key.endswith(("gamma", "lambda1")):
                value = normal(shape, 0.4, 0.6)
            elif is_norm(key):
                value = normal(shape, 0.3, 1.0) if key.endswith("weight") else normal(shape, 0.2)
            elif any(word in key for word in ("token", "pos_embed", "position_embeddings")):
                value = normal(shape, embedding)
            elif "patch_embed" in key:
                fan_in = math.prod(shape[1:])
                value = normal(shape, 2 * embedding / math.sqrt(fan_in) if len(shape) > 1 else embedding / 2)
            elif len(shape) == 1:
                value = normal(shape, 0.3)
            else:
                spread = 1.2 / math.sqrt(shape[1])
                if "head" in key or "classifier" in key:
                    spread *= 1.5 * head
                elif "fc2" in key or ".output.dense" in key:
                    spread *= mlp
                value = normal(shape, spread)
            tensor.copy_(value)
    return model.eval()


def random_pixels(name, batch, height, width):
    generator = generator_for(name + " pixels")
    return torch.randint(0, 256, (batch, height, width, 3), generator=generator, dtype=torch.uint8)


def normalise(pixels, mean, std):
    """Pixels [batch][height][width][3] -> the model's input [batch][3][height][width], as ToTensor and Normalize."""
    x = pixels.permute(0, 3, 1, 2).to(torch.float32) / 255
    return (x - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)


def run_both(model, run, x):
    """The outputs in float32, after a check that float64 agrees far within the tolerance."""
    with torch.no_grad():
        single = run(model.float(), x.float())
        double = run(model.double(), x.double())
        model.float()
    worst = max((a.double() - b).abs().max().item() for a, b in zip(single.values(), double.values()))
    assert worst < TOLERANCE / 20, f"float32 is only within {worst:.1e} of float64"
    return single, worst


def difference(a, b):
    return max((a[key] - b[key]).abs().max().item() for key in a)


def check_sensitivity(model, run, x, outputs, invisible=()):
    """Every tensor must matter: with any one of them left out, some output moves far beyond the tolerance."""
    least = math.inf
    state = model.state_dict()
    for key, tensor in state.items():
        if any(word in key for word in invisible):
            continue
        saved = tensor.clone()
        with torch.no_grad():
            tensor.copy_(neutral(key, tensor))
            moved = difference(outputs, run(model, x))
            tensor.copy_(saved)
        assert moved > VISIBLE, f"{key} could be left out unseen: the outputs move by {moved:.1e}"
        least = min(least, moved)
    return least


def check_visible(name, what, outputs, others):
    moved = difference(outputs, others)
    assert moved > VISIBLE, f"{name}: {what} would not be seen: the outputs move by {moved:.1e}"


def made_by(*packages):
    import importlib.metadata as metadata
    return ", ".join(f"{package} {metadata.version(package).split('+')[0]}" for package in ("torch", *packages))


def save_golden(path, tensors, **metadata):
    from safetensors.torch import save_file
    tensors = {key: torch.as_tensor(np.ascontiguousarray(value)) for key, value in tensors.items()}
    save_file(tensors, str(path), metadata={key: str(value) for key, value in metadata.items()})


def rewrite_json(path):
    """Indented by one, and with a newline at its end, as text files in this repository have."""
    path.write_text(json.dumps(json.loads(path.read_text()), indent=1) + "\n")
