# SPDX-License-Identifier: Apache-2.0
"""Train the embedded model.  `--resume` goes on from the last checkpoint.

Batch number n is drawn from a generator seeded by (seed, n) alone, so that a
run that was stopped and resumed sees the very batches it would have seen.
"""
from __future__ import annotations

import argparse
import json
import math
import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import glyphs
import textures
import timm_model
from data import Sampler, fixed_set
from render import Renderer


def schedule(step: int, conf: dict) -> float:
    """Learning rate: a cosine for clear pictures and a second one for faint ones.

    Each has a linear warm-up and ends at a hundredth.
    """
    first, steps, peak = 0, conf["faint_from"], conf["lr"]
    if step >= conf["faint_from"]:
        first, steps, peak = steps, conf["steps"] - steps, conf["faint_lr"]
    place = step - first
    if place < conf["warmup"]:
        return peak * (place + 1) / conf["warmup"]
    part = (place - conf["warmup"]) / (steps - conf["warmup"])
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1, part))))


def level_of(step: int, conf: dict) -> float:
    """Strength of the distortions of one batch: drawn from a range, which grows.

    The task's own level lies inside the range.
    """
    drawn = np.random.default_rng((conf["seed"], step, 1)).uniform(*conf["level_range"])
    return float(drawn) * reached(step, conf)


def reached(step: int, conf: dict) -> float:
    """How much of the range's strength the distortions have: 0 to 1."""
    return min(1.0, step / conf["level_steps"])


def autocast(conf: dict) -> torch.autocast:
    """Mixed precision where conf["precision"] is "bf16", nothing where it is "f32"."""
    return torch.autocast("cpu", torch.bfloat16, enabled=conf["precision"] == "bf16")


def easy_of(step: int, conf: dict) -> float:
    """Share of pictures with light ink on dark paper: from all to none."""
    return max(0.0, 1 - step / conf["easy_steps"])


@torch.no_grad()
def accuracy(model: torch.nn.Module, pictures: torch.Tensor, labels: torch.Tensor,
             conf: dict) -> float:
    """Top-1 in per cent, in the precision of training."""
    model.eval()
    right = 0
    for part, want in zip(pictures.split(256), labels.split(256)):
        with autocast(conf):
            right += int((model(timm_model.scale(part)).argmax(1) == want).sum())
    model.train()
    return 100 * right / len(labels)


def save(path: Path, state: dict) -> None:
    """Write a checkpoint so that it is whole or not there."""
    torch.save(state, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)


def optimiser(model: torch.nn.Module, conf: dict) -> torch.optim.Optimizer:
    """AdamW; no weight decay on vectors and the two embeddings."""
    plain = [p for n, p in model.named_parameters()
             if p.ndim == 1 or n in ("pos_embed", "cls_token")]
    known = {id(p) for p in plain}
    decay = [p for p in model.parameters() if id(p) not in known]
    groups = [{"params": decay, "weight_decay": conf["weight_decay"]},
              {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=conf["lr"], betas=(0.9, conf["beta2"]),
                             fused=True)


def run(conf: dict, store_dir: Path, out: Path, resume: bool) -> None:
    """Train to conf["steps"] and leave checkpoint.pt and log.jsonl in `out`."""
    torch.set_num_threads(conf["threads"])
    torch.manual_seed(conf["seed"])
    out.mkdir(parents=True, exist_ok=True)
    store = glyphs.load(store_dir)
    sampler = Sampler(store, "train", conf)
    bank = textures.bank(sampler.some(2048), conf["seed"])
    renderer = Renderer(bank)
    val_pictures, val_labels = fixed_set(store, "val", conf, conf["val_count"])
    model = timm_model.make(len(store.classes), weight_init="jax")
    model.train()
    opt = optimiser(model, conf)
    average = {k: v.clone() for k, v in model.state_dict().items()}
    first, log = 0, out / "log.jsonl"
    if resume:
        state = torch.load(out / "checkpoint.pt")
        model.load_state_dict(state["model"])
        opt.load_state_dict(state["opt"])
        average, first = state["average"], state["step"]
    elif log.exists():
        log.unlink()
    tester = timm_model.make(len(store.classes))
    losses: list[float] = []
    for step in range(first, conf["steps"]):
        faint = conf["faint_range"] if step >= conf["faint_from"] else None
        pictures, labels = sampler.batch(step, renderer, level_of(step, conf),
                                         easy_of(step, conf), faint)
        rate = schedule(step, conf)
        for group in opt.param_groups:
            group["lr"] = rate
        with autocast(conf):
            logits = model(timm_model.scale(pictures))
        loss = F.cross_entropy(logits.float(), labels,
                               label_smoothing=conf["smoothing"])
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), conf["clip"])
        opt.step()
        keep = min(conf["ema"], (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.values()),
                                 list(model.state_dict().values()), 1 - keep)
        losses.append(loss.item())
        done = step + 1
        if done % conf["log_every"] == 0 or done == conf["steps"]:
            row = {"step": done, "lr": round(rate, 8), "loss": round(float(np.mean(losses)), 4),
                   "reached": round(reached(step, conf), 3)}
            losses = []
            if done % conf["val_every"] == 0 or done == conf["steps"]:
                tester.load_state_dict(average)
                row["val_top1"] = round(accuracy(tester, val_pictures, val_labels, conf), 2)
                save(out / "checkpoint.pt", {"step": done, "model": model.state_dict(),
                     "opt": opt.state_dict(), "average": average, "conf": conf,
                     "classes": store.classes})
            with log.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(row, flush=True)


def main() -> None:
    """Command line."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--glyphs", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=here / "train.json")
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    run(json.loads(args.config.read_text()), args.glyphs, args.out, args.resume)


if __name__ == "__main__":
    main()
