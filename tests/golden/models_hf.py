# SPDX-License-Identifier: Apache-2.0
"""Golden models made by Hugging Face transformers: folders as save_pretrained writes them, and as the Hub has them."""
import json
import shutil
from unittest import mock

import numpy as np
import torch
import torch.nn as nn
from PIL import Image
from safetensors.torch import save_file
from transformers import (DeiTConfig, DeiTForImageClassification, DeiTForImageClassificationWithTeacher, DeiTModel,
                          Dinov2Config, Dinov2ForImageClassification, Dinov2Model, Dinov2WithRegistersConfig,
                          Dinov2WithRegistersModel, ViTConfig, ViTForImageClassification, ViTModel)
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from golden_common import (MODELS, check_sensitivity, check_visible, fill, made_by, normalise, random_pixels, rewrite_json,
                           run_both, save_golden)

TINY = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=40, image_size=16,
            patch_size=4, attn_implementation="eager")
NAMES = {0: "otter", 1: "vole", 2: "newt", 3: "heron", 4: "pike", 5: "swan"}
PROCESSORS = {"ViT": ViTImageProcessorPil, "DeiT": DeiTImageProcessorPil, "Bit": BitImageProcessorPil}


def outputs_of(model, x):
    """Logits, and what the head sees: the class token, or as in timm the mean of the two tokens that two heads see."""
    base = getattr(model, model.base_model_prefix, model)
    tokens = base(x).last_hidden_state
    if isinstance(model, DeiTForImageClassificationWithTeacher):
        return {"logits": model(x).logits, "features": tokens[:, :2].mean(dim=1)}
    if isinstance(model, Dinov2ForImageClassification):
        return {"logits": model(x).logits, "features": torch.cat([tokens[:, 0], tokens[:, 1:].mean(dim=1)], dim=1)}
    return {**({"logits": model(x).logits} if base is not model else {}), "features": tokens[:, 0]}


def other_gelu(model):
    exact = model.config.hidden_act == "gelu"
    for module in model.modules():
        if hasattr(module, "activation_fn"):
            module.activation_fn = nn.GELU(approximate="tanh" if exact else "none")


def set_eps(model, eps):
    saved = None
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            saved, module.eps = module.eps, eps
    return saved


def outputs_resampled_otherwise(model, x):
    """With the positions resampled with antialiasing where the model does so without, and the other way round."""
    interpolate = nn.functional.interpolate
    other = lambda *args, antialias=False, **more: interpolate(*args, antialias=not antialias, **more)
    with mock.patch.object(nn.functional, "interpolate", other):
        return outputs_of(model, x)


def pictures(model, name, processor):
    """The test pictures through the Pillow backend of the model's own image processor, and the model."""
    tensors = {}
    raw = PROCESSORS[processor].from_pretrained(MODELS / name, do_rescale=False, do_normalize=False)
    full = PROCESSORS[processor].from_pretrained(MODELS / name)
    for path in sorted(MODELS.glob("*.png")):
        picture = Image.open(path).convert("RGB")
        pixels = torch.tensor(np.asarray(raw(picture)["pixel_values"][0])).permute(1, 2, 0)
        assert torch.equal(pixels, pixels.to(torch.uint8))
        x = torch.tensor(np.asarray(full(picture)["pixel_values"]))
        tensors[f"{path.name}.pixels"] = pixels.to(torch.uint8)
        for key, value in outputs_of(model, x).items():
            tensors[f"{path.name}.{key}"] = value
    save_golden(MODELS / name / "pictures.safetensors", tensors, made_by=made_by("transformers", "pillow"))


def make(name, model_class, config_class, args, batch=2, spread=None, eps=(), processor=("ViT", {}), size=None,
         state_dict_names=False, shard=None, gelu=False,
         with_pictures=False):
    folder = MODELS / name
    shutil.rmtree(folder, ignore_errors=True)
    model = fill(model_class(config_class(**{**TINY, **args})), name, **(spread or {}))
    model.save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
    if state_dict_names:  # the names of transformers 5's modules, as torch users save them by hand
        save_file({key: value.contiguous() for key, value in model.state_dict().items()},
                  str(folder / "model.safetensors"))
    rewrite_json(folder / "config.json")
    kind, preprocessing = processor
    mean, std = preprocessing.get("image_mean", [0.5] * 3), preprocessing.get("image_std", [0.5] * 3)
    preprocessing = {"image_processor_type": f"{kind}ImageProcessor", **preprocessing}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing, indent=1) + "\n")
    with torch.no_grad():
        resized = size
        size = size or model.config.image_size
        pixels = random_pixels(name, batch, size, size)
        x = normalise(pixels, mean, std)
        outputs, worst = run_both(model, outputs_of, x)
        # A key's bias adds the same to all scores of a row, which softmax ignores; mask tokens and poolers are for
        # training.
        least = check_sensitivity(model, outputs_of, x, outputs,
                                  invisible=("k_proj.bias", "mask_token", "pooler"))
        for other in eps:
            saved = set_eps(model, other)
            check_visible(name, f"eps {other}", outputs, outputs_of(model, x))
            set_eps(model, saved)
        if resized:
            check_visible(name, "antialiasing", outputs, outputs_resampled_otherwise(model, x))
        save_golden(folder / "golden.safetensors", {"pixels": pixels, **outputs}, made_by=made_by("transformers"),
                    **({"labels": "\n".join(args["id2label"].values())} if "id2label" in args else {}))
        if with_pictures:
            pictures(model, name, kind)
        if gelu:
            other_gelu(model)
            check_visible(name, "the form of GELU", outputs, outputs_of(model, x))
    print(f"{name + '/golden':36} float64 within {worst:.0e}, any tensor left out moves {least:.0e}")


def labelled(count):
    return dict(id2label={key: NAMES[key] for key in range(count)}, label2id={NAMES[key]: key for key in range(count)})


def make_all():
    vit = (ViTForImageClassification, ViTConfig)
    loud = dict(head=10, mlp=6)
    square = lambda size, **more: ("ViT", {"size": {"height": size, "width": size}, "resample": 2, **more})
    imagenet = dict(image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225])
    make("hf-vit", *vit, labelled(6), spread=dict(embedding=0.0005), eps=(1e-6, 1e-5), processor=square(16))
    make("hf-vit-eps-1e-5", *vit, dict(layer_norm_eps=1e-5, hidden_act="gelu_pytorch_tanh", **labelled(5)),
         spread=dict(embedding=0.002, **loud), eps=(1e-6, 1e-12), gelu=True, processor=square(16))
    make("hf-vit-no-qkv-bias", *vit, dict(qkv_bias=False, hidden_act="gelu_new", **labelled(4)), spread=loud,
         gelu=True, processor=square(16))
    make("hf-vit-state-dict-names", *vit, labelled(5), state_dict_names=True, processor=square(16))
    make("hf-vit-sharded", *vit, labelled(5), shard="12KB", processor=square(16))
    make("hf-vit-no-head", ViTModel, ViTConfig, dict(), processor=square(16))
    # Pillow's resample codes: 0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic, 4 box, 5 Hamming; a size as the Hub's
    # older files have it (224) and as newer ones ({"height", "width"}) means both sides, whatever the aspect.
    small = dict(image_size=24, num_hidden_layers=1, intermediate_size=32, **labelled(3))
    for code in range(6):
        size = 24 if code % 2 else {"height": 24, "width": 24}
        make(f"hf-resample-{code}", *vit, small, batch=1, with_pictures=True,
             processor=("ViT", {"do_resize": True, "do_normalize": True, "size": size, "resample": code}))
    make("hf-deit", DeiTForImageClassification, DeiTConfig, {**small, **labelled(4)}, with_pictures=True,
         processor=("DeiT", {"size": 28, "crop_size": 24, "do_center_crop": True, "resample": 3, **imagenet}))
    make("hf-deit-teacher", DeiTForImageClassificationWithTeacher, DeiTConfig, {**small, **labelled(5)},
         with_pictures=True,
         processor=("DeiT", {"size": {"height": 27, "width": 31}, "crop_size": {"height": 24, "width": 24},
                             "do_center_crop": True, "resample": 3, **imagenet}))
    make("hf-deit-no-head", DeiTModel, DeiTConfig, dict(image_size=24, num_hidden_layers=1, intermediate_size=32),
         processor=("DeiT", {"size": 28, "crop_size": 24, "do_center_crop": True, "resample": 3, **imagenet}))
    edge = lambda size, crop: ("Bit", {"size": {"shortest_edge": size}, "resample": 3, "do_center_crop": True,
                                       "crop_size": {"height": crop, "width": crop}, **imagenet})
    dinov2 = dict(image_size=24, mlp_ratio=3)
    make("hf-dinov2", Dinov2Model, Dinov2Config, dinov2, processor=edge(27, 24), with_pictures=True)
    make("hf-dinov2-registers", Dinov2WithRegistersModel, Dinov2WithRegistersConfig,
         {**dinov2, "num_register_tokens": 3}, processor=edge(24, 24))
    # The Hub's DINOv2 models hold positions of 518 pixels and are run at 224: positions interpolated, without
    # antialiasing, and with it where there are registers.
    make("hf-dinov2-smaller", Dinov2Model, Dinov2Config, {**dinov2, "image_size": 40}, size=24,
         processor=edge(28, 24), with_pictures=True)
    make("hf-dinov2-registers-smaller", Dinov2WithRegistersModel, Dinov2WithRegistersConfig,
         {**dinov2, "num_register_tokens": 3, "image_size": 40}, size=24, processor=edge(28, 24))
    make("hf-dinov2-classifier", Dinov2ForImageClassification, Dinov2Config, {**dinov2, **labelled(4)},
         processor=edge(26, 24), with_pictures=True)
