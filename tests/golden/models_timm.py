# SPDX-License-Identifier: Apache-2.0
"""Golden models made by timm: folders as its save_for_hf writes them."""
import shutil

import timm
import torch
import torch.nn as nn
from PIL import Image
from timm.data import create_transform, resolve_data_config
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed
from timm.models import save_for_hf
from timm.models.vision_transformer import checkpoint_filter_fn

from golden_common import (MODELS, check_sensitivity, check_visible, fill, made_by, normalise, random_pixels, rewrite_json,
                           run_both, save_golden)

TINY = dict(embed_dim=16, num_heads=2, depth=2, patch_size=4, img_size=16, num_classes=7)


def outputs_of(model, x):
    tokens = model.forward_features(x)
    outputs = {"features": model.forward_head(tokens, pre_logits=True)}
    if model.num_classes > 0:
        outputs["logits"] = model.forward_head(tokens)
    return outputs


def other_gelu(model):
    """Gives the model the other form of GELU, and back."""
    for block in model.blocks:
        exact = isinstance(block.mlp.act, nn.GELU) and block.mlp.act.approximate == "none"
        block.mlp.act = nn.GELU(approximate="tanh" if exact else "none")


def set_eps(model, eps):
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            saved, module.eps = module.eps, eps
    return saved


def save_mixed(folder, model, dtype):
    """Matrices in the narrow type, all else in float32: what many exporters write."""
    state = {key: value.to(dtype) if value.dim() > 1 else value for key, value in model.state_dict().items()}
    save_file(state, str(folder / "model.safetensors"))
    model.load_state_dict(state)  # the golden is that of the rounded weights


def golden(model, name, run_name, batch, config, other_option=None, other_eps=(), **metadata):
    pixels = random_pixels(name + run_name, batch, *model.patch_embed.img_size)
    x = normalise(pixels, config["mean"], config["std"])
    outputs, worst = run_both(model, outputs_of, x)
    least = check_sensitivity(model, outputs_of, x, outputs)
    if other_option:
        other_option(model)
        check_visible(name, "an option", outputs, outputs_of(model, x))
        other_option(model)
    for eps in other_eps:
        saved = set_eps(model, eps)
        check_visible(name, f"eps {eps}", outputs, outputs_of(model, x))
        set_eps(model, saved)
    save_golden(MODELS / name / f"{run_name}.safetensors", {"pixels": pixels, **outputs},
                made_by=made_by("timm"), **metadata)
    print(f"{name + '/' + run_name:36} float64 within {worst:.0e}, any tensor left out moves {least:.0e}")
    return x, outputs


def golden_resized(model, name, arch, args, config):
    """The model at another image size: positions interpolated as timm does when it loads them."""
    resized = timm.create_model(arch, **args).eval()
    resized.load_state_dict(checkpoint_filter_fn(dict(model.state_dict()), resized))
    size = args["img_size"]
    x, outputs = golden(resized, name, f"golden-{size}", 1, config, image_size=size)
    prefix = 0 if model.no_embed_class else model.num_prefix_tokens
    resized.pos_embed.copy_(resample_abs_pos_embed(model.pos_embed, resized.patch_embed.grid_size, None, prefix,
                                                   antialias=False))
    check_visible(name, "antialiasing", outputs, outputs_of(resized, x))


def pictures(model, name, config):
    """The test pictures through timm's own transform and the model."""
    transform = create_transform(**config, is_training=False, normalize=False)
    tensors = {}
    for path in sorted(MODELS.glob("*.png")):
        pixels = transform(Image.open(path).convert("RGB")).permute(1, 2, 0)
        assert pixels.dtype == torch.uint8
        outputs = outputs_of(model, normalise(pixels[None], config["mean"], config["std"]))
        tensors[f"{path.name}.pixels"] = pixels
        tensors.update({f"{path.name}.{key}": value for key, value in outputs.items()})
    save_golden(MODELS / name / "pictures.safetensors", tensors, made_by=made_by("timm", "pillow"))


def make(name, arch, args, batch=2, spread=None, dtype=torch.float32, mixed=False, data_config=None, labels=None,
         other_sizes=(), eps=(), gelu=False, with_pictures=False):
    folder = MODELS / name
    shutil.rmtree(folder, ignore_errors=True)
    model = fill(timm.create_model(arch, **{**TINY, **args}), name, **(spread or {}))
    if not mixed:
        model.to(dtype)
    save_for_hf(model, folder, safe_serialization=True, data_config=data_config,
                model_config={"label_names": labels} if labels else None)
    if mixed:
        save_mixed(folder, model, dtype)
    rewrite_json(folder / "config.json")
    model.float()
    config = resolve_data_config({**model.pretrained_cfg, **(data_config or {}),
                                  "input_size": (3, *model.patch_embed.img_size)}, model=model)
    with torch.no_grad():
        golden(model, name, "golden", batch, config, other_gelu if gelu else None, eps,
               **({"labels": "\n".join(labels)} if labels else {}))
        if with_pictures:
            pictures(model, name, config)
        for size in other_sizes:
            golden_resized(model, name, arch, {**TINY, **args, "img_size": size}, config)


def make_all():
    vit, deit3 = "vit_tiny_patch16_224", "deit3_small_patch16_224"
    small_embedding = dict(embedding=0.002)
    loud = dict(head=10, mlp=6)
    make("timm-token", vit, dict(embed_dim=20, num_heads=2), batch=3, spread=small_embedding, eps=(1e-5, 1e-12),
         other_sizes=(24, 8))
    make("timm-gelu-erf", vit, dict(), spread=loud, gelu=True)
    make("timm-gelu-tanh", vit, dict(act_layer="gelu_tanh", mlp_ratio=3), spread=loud, gelu=True)
    make("timm-average", vit, dict(global_pool="avg"))
    make("timm-average-no-class", vit, dict(global_pool="avg", class_token=False, fc_norm=False, qkv_bias=False),
         other_sizes=(24,))
    make("timm-token-fc-norm", vit, dict(fc_norm=True, qkv_bias=False, num_heads=4))
    make("timm-average-fc-norm-false", vit, dict(global_pool="avg", fc_norm=False, depth=1))
    make("timm-pre-norm", vit, dict(pre_norm=True, init_values=1e-5, num_heads=1))
    make("timm-patch14", vit, dict(patch_size=14, img_size=42, depth=1, embed_dim=12))
    make("timm-not-square", vit, dict(img_size=(12, 20), num_classes=5), with_pictures=True)
    make("timm-distilled", "deit_tiny_distilled_patch16_224", dict(num_classes=9), other_sizes=(20,))
    make("timm-deit3", deit3, dict(num_classes=6, embed_dim=24, num_heads=3), other_sizes=(12,))
    make("timm-dinov2", "vit_small_patch14_dinov2", dict(num_classes=0), other_sizes=(24,))
    make("timm-dinov2-registers", "vit_small_patch14_reg4_dinov2", dict(num_classes=0), other_sizes=(8,))
    make("timm-registers-embedded", vit, dict(reg_tokens=3, global_pool="avg"), other_sizes=(20,))
    make("timm-f16", vit, dict(num_classes=12), dtype=torch.float16)
    make("timm-bf16", deit3, dict(depth=1), dtype=torch.bfloat16, other_sizes=(12,))
    make("timm-f64", vit, dict(depth=1), dtype=torch.float64)
    make("timm-mixed", vit, dict(depth=1), dtype=torch.bfloat16, mixed=True)
    make("timm-crop-center", vit, dict(depth=1, img_size=24), with_pictures=True,
         data_config=dict(crop_pct=0.8, crop_mode="center", interpolation="bicubic"))
    make("timm-crop-border", vit, dict(depth=1, img_size=24), with_pictures=True,
         data_config=dict(crop_pct=0.85, crop_mode="border", interpolation="bilinear",
                          mean=(0.3, 0.6, 0.45), std=(0.2, 0.25, 0.3)))
    make("timm-finetuned", vit, dict(depth=1, num_classes=10, img_size=24), with_pictures=True,
         data_config=dict(crop_pct=0.9, crop_mode="squash", interpolation="bicubic",
                          mean=(0.41, 0.52, 0.47), std=(0.21, 0.24, 0.19)),
         labels=["otter", "vole", "newt", "heron", "pike", "swan", "frog", "carp", "teal", "moth"])
