# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/archs.json: what timm knows about every row of src/model/arch_table.inc, which test_archs.c compares.

    python3 tests/golden/make_archs.py

A row holds the facts of timm's model and of its pretrained_cfg, and, for the model cut to two blocks, the names and shapes
of its tensors and the first outputs that it computes from weights and pixels made by `uniform` below, which test_archs.c
makes anew. DeiT's crop_pct deliberately differs: see DEIT_CROP_PCT. `names` are timm's names that begin as a row's, with
that row where they share its preprocessing.
"""
import json
import math
import re

import numpy as np
import timm
import torch
import torch.nn as nn
from timm.models import _registry

from golden_common import HERE, made_by, normalise

DEPTH = 2
OUTPUTS = 16
# timm's configurations of DeiT resize to 248 (384 for 384); DeiT's own evaluation, which the published accuracies
# come from, resizes to 256 for 224: Lutra's table follows DeiT where no configuration says otherwise.
DEIT_CROP_PCT = 0.875


def hash_of(name):
    """FNV-1a, 64 bits."""
    value = 0xcbf29ce484222325
    for byte in name.encode():
        value = (value ^ byte) * 0x100000001b3 & (2**64 - 1)
    return value


def bits(name, count):
    """`count` 64-bit numbers of the SplitMix64 sequence that starts at the name's hash."""
    with np.errstate(over="ignore"):
        z = np.uint64(hash_of(name)) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9e3779b97f4a7c15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xbf58476d1ce4e5b9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94d049bb133111eb)
        return z ^ (z >> np.uint64(31))


def uniform(name, count):
    """Multiples of 2^-23 in [-1, 1)."""
    return (bits(name, count) >> np.uint64(40)).astype(np.float64) / 2**23 - 1


def spread_of(name, shape):
    """(mean, half-width) of a tensor's values; test_archs.c has the same rules."""
    if name.endswith("gamma"):
        return 0.5, 0.5
    if "norm" in name and name.endswith("weight"):
        return 1.0, 0.5
    if name.endswith("bias"):
        return 0.0, 0.25
    if "token" in name or "pos_embed" in name:
        return 0.0, 0.5
    return 0.0, 2.0 / math.sqrt(math.prod(shape[1:]))


def fill(model):
    for name, tensor in model.state_dict().items():
        mean, width = spread_of(name, tensor.shape)
        tensor.copy_(torch.tensor((mean + width * uniform(name, tensor.numel())).astype(np.float32)).view(tensor.shape))
    return model.eval()


def only(values):
    values = set(values)
    assert len(values) == 1, values
    return values.pop()


def facts(name):
    with torch.device("meta"):
        model = timm.create_model(name)
    config, block = model.pretrained_cfg, model.blocks[0]
    # What the table has no column for is the same in all rows.
    assert model.global_pool == "token" and model.cls_token is not None and not isinstance(model.norm, nn.Identity)
    assert isinstance(model.fc_norm, nn.Identity) and isinstance(model.norm_pre, nn.Identity)
    assert isinstance(block.mlp.act, nn.GELU) and block.mlp.act.approximate == "none"
    assert isinstance(block.attn.q_norm, nn.Identity) and block.attn.qkv.bias is not None
    assert config["crop_mode"] == "center" and config["interpolation"] == "bicubic"
    row = {
        "image": only(model.patch_embed.img_size), "patch": only(model.patch_embed.patch_size),
        "dim": model.embed_dim, "depth": len(model.blocks), "heads": block.attn.num_heads,
        "mlp_dim": block.mlp.fc1.out_features,
        "prefix_tokens": model.num_prefix_tokens, "tokens": model.num_prefix_tokens + model.patch_embed.num_patches,
        "classes": model.num_classes,
        "eps": only(module.eps for module in model.modules() if isinstance(module, nn.LayerNorm)),
        "mean": config["mean"], "std": config["std"],
        "crop_pct": DEIT_CROP_PCT if name.startswith("deit_") else config["crop_pct"], "timm_crop_pct": config["crop_pct"],
    }
    assert config["input_size"] == (3, row["image"], row["image"])
    return row


def outputs(name, row):
    model = fill(timm.create_model(name, depth=DEPTH))
    size = row["image"]
    pixels = torch.tensor((bits("pixels", size * size * 3) >> np.uint64(56)).astype(np.uint8)).view(1, size, size, 3)
    tokens = model.forward_features(normalise(pixels, row["mean"], row["std"]))
    row["features"] = model.forward_head(tokens, pre_logits=True)[0, :OUTPUTS]
    if model.num_classes:
        row["logits"] = model.forward_head(tokens)[0, :OUTPUTS]
    for key in ("features", "logits"):
        if key in row:
            row[key] = [round(value, 6) for value in row[key].tolist()]
    row["tensors"] = {key: list(tensor.shape) for key, tensor in model.state_dict().items()}


def names_like(rows):
    """Every name of timm's, old ones and those with the tag of weights, that begins as a row's: the row, or None where
    its weights want pictures prepared otherwise than the row's own do."""
    facts_of = lambda config: {key: getattr(config, key) for key in
                               ("input_size", "mean", "std", "crop_pct", "crop_mode", "interpolation")}
    targets = {f"{name}.{tag}": (name, config) for name, entry in _registry._model_default_cfgs.items()
               for tag, config in entry.cfgs.items()}
    targets.update({name: targets[target] for name, target in _registry._deprecated_models.items() if target in targets})
    result = {}
    for name, (target, config) in sorted(targets.items()):
        row = max((row for row in rows if name.startswith(row)), key=len, default=None)
        if row:
            same = target.startswith(row) and facts_of(config) == facts_of(_registry._model_default_cfgs[row].default)
            result[name] = row if same else None
    return result


if __name__ == "__main__":
    torch.set_num_threads(2)
    table = (HERE.parents[1] / "src" / "model" / "arch_table.inc").read_text()
    names = re.findall(r'^\s*ARCH\("(\w+)"', table, re.MULTILINE)
    assert names, "no rows found"
    rows = {}
    with torch.no_grad():
        for name in names:
            rows[name] = facts(name)
            outputs(name, rows[name])
            print(name, rows[name].get("logits", rows[name]["features"])[:3])
    names = ",\n".join(f"{json.dumps(name)}:{json.dumps(row)}" for name, row in names_like(names).items())
    text = ",\n".join(f"{json.dumps(name)}:{json.dumps(row, separators=(',', ':'))}" for name, row in rows.items())
    head = f'"made_by":"{made_by("timm")}","depth":{DEPTH}'
    (HERE / "archs.json").write_text(f'{{{head},"names":{{\n{names}\n}},"archs":{{\n{text}\n}}}}\n')
