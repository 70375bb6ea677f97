# SPDX-License-Identifier: Apache-2.0
"""What the comparison found: JSON for machines, a Markdown table, a plot."""
from __future__ import annotations

import json
import platform
import statistics
from pathlib import Path

import numpy as np


def machine() -> str:
    """The processor's name and the instruction sets that decide."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    facts = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    flags = set(facts.get("flags", facts.get("Features", "")).split())
    told = [name for name in ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "asimddp",
                              "i8mm") if name in flags]
    return f"{facts.get('model name', platform.machine())} ({', '.join(told)})"


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis, in double."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def judged(reference: np.ndarray, logits: np.ndarray) -> dict:
    """KL divergence from the reference in nats and agreement of the first answers, over photos."""
    p, q = softmax(reference), softmax(logits)
    kl = (p * (np.log(p) - np.log(q))).sum(-1).mean()
    return {"kl": float(kl), "agreement": float((reference.argmax(-1) == logits.argmax(-1)).mean())}


def entry(row, reference, accuracy: dict | None) -> dict:
    """One engine's line; `accuracy` None: times are not wanted."""
    if row.failure or (accuracy is not None and not row.turns):
        return {"engine": row.name, "failure": row.failure or "no times"}
    found = {"engine": row.name}
    if accuracy is not None:
        times = [ms for turn in row.turns for ms in turn]
        tenths = statistics.quantiles(times, n=10)
        found |= {"median_ms": statistics.median(times), "p10_ms": tenths[0], "p90_ms": tenths[-1],
                  "turns_ms": [statistics.median(turn) for turn in row.turns]}
        found |= accuracy.get(row.name, {})
    if reference is not None and reference.logits is not None and row.logits is not None:
        found["logits_apart"] = float(np.abs(row.logits - reference.logits).max())
    if reference is not None and reference.photo_logits is not None and row.photo_logits is not None:
        found |= judged(reference.photo_logits, row.photo_logits)
    return found


def ratio(a: dict, b: dict) -> tuple[float, float, float]:
    """Quartiles over turns of a's time over b's."""
    pairs = [x / y for x, y in zip(a["turns_ms"], b["turns_ms"])]
    low, middle, high = statistics.quantiles(pairs, n=4)
    return middle, low, high


def verdicts(entries: list[dict]) -> dict:
    """Each peer-beating figure: fastest peer over Lutra's clustered modes, any precision and no less accurate."""
    done = {e["engine"]: e for e in entries if "failure" not in e}
    peers = [e for name, e in done.items() if not name.startswith("Lutra")]
    found = {}
    for mode in ("int8", "f32"):
        mine = done.get(f"Lutra {mode}, clustered")
        if not mine:
            continue
        rivals = {"any precision": peers, "f32": [e for e in peers if e["engine"].endswith("f32")]}
        if "kl" in mine:
            rivals["no less accurate"] = [e for e in peers if e.get("kl", np.inf) <= mine["kl"]]
        for kind, those in rivals.items():
            if those:
                best = min(those, key=lambda e: e["median_ms"])
                found[f"{mode}, {kind}"] = {"peer": best["engine"], "times_as_fast": ratio(best, mine)}
        dense = done.get(f"Lutra {mode}, dense")
        if dense:
            found[f"{mode}, clustered over dense"] = {"peer": dense["engine"], "time_ratio": ratio(mine, dense)}
    return found


def accuracy_of(found: dict) -> dict:
    """{engine: {kl, agreement}} of a report whose answers were judged on photos."""
    return {e["engine"]: {"kl": e["kl"], "agreement": e["agreement"]}
            for found_table in found["tables"] for e in found_table["entries"] if "kl" in e}


def table(arch: str, threads: int, rows: list, reference: str, accuracy: dict | None) -> dict:
    """One table of the report; without times where `accuracy` is None, else with it where the answers were not judged."""
    known = next((row for row in rows if row.name == reference), None)
    entries = [entry(row, known, accuracy) for row in rows]
    return {"arch": arch, "threads": threads, "entries": entries,
            "verdicts": verdicts(entries) if accuracy is not None else {}}


def markdown_table(found: dict) -> str:
    """A table sorted by time, and the verdicts as sentences."""
    good = sorted((e for e in found["entries"] if "failure" not in e), key=lambda e: e.get("median_ms", e.get("kl", 0)))
    with_kl = any("kl" in e for e in good)
    head = ["engine", "median ms", "10-90 %", "logits from PyTorch f32"] + (["KL, nats", "agreement %"] if with_kl else [])
    lines = [f"### {found['arch']}, {found['threads']} thread{'s' if found['threads'] > 1 else ''}", "",
             "| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for e in good:
        apart = f"{e['logits_apart']:.2g}" if "logits_apart" in e else ""
        timed = [f"{e['median_ms']:.2f}", f"{e['p10_ms']:.2f} .. {e['p90_ms']:.2f}"] if "median_ms" in e else ["", ""]
        cells = [e["engine"], *timed, apart]
        if with_kl:
            cells += [f"{e['kl']:.2g}", f"{100 * e['agreement']:.1f}"] if "kl" in e else ["", ""]
        lines.append("| " + " | ".join(cells) + " |")
    lines.append("")
    for what, v in found["verdicts"].items():
        name = "times_as_fast" if "times_as_fast" in v else "time_ratio"
        middle, low, high = v[name]
        of = f"times as fast as {v['peer']}" if name == "times_as_fast" else f"of the time of {v['peer']}"
        lines.append(f"- Lutra {what}: {middle:.2f} ({low:.2f} .. {high:.2f}) {of}")
    lines += [f"- {e['engine']}: not measured: {e['failure']}" for e in found["entries"] if "failure" in e]
    return "\n".join(lines) + "\n"


def plot(path: Path, tables: list[dict]) -> None:
    """Bars of median milliseconds, a panel a table."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "lutra"
    from matplotlib import pyplot

    across = len({found["threads"] for found in tables})
    down = -(-len(tables) // across)
    figure, axes = pyplot.subplots(down, across, figsize=(4.6 * across, 4.8 * down), squeeze=False)
    for axis, found in zip(axes.flat, tables):
        good = sorted((e for e in found["entries"] if "failure" not in e), key=lambda e: -e["median_ms"])
        names = [e["engine"] for e in good]
        times = [e["median_ms"] for e in good]
        colours = ["#d95f02" if name.startswith("Lutra") else "#8da0b6" for name in names]
        bars = axis.barh(names, times, color=colours)
        axis.bar_label(bars, [f"{ms:.1f}" for ms in times], padding=3, fontsize=8)
        axis.set_title(f"{found['arch'].replace('_patch16_224', '')}, {found['threads']} thread"
                       f"{'s' if found['threads'] > 1 else ''}", fontsize=10)
        axis.set_xlabel("ms per image, batch 1")
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
        axis.margins(x=0.15)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def join(out: Path, paths: list[Path]) -> None:
    """One report of several, which tell of the same machine and engines."""
    parts = [json.loads(path.read_text()) for path in paths]
    write(out, parts[0] | {"tables": [found for part in parts for found in part["tables"]]})


def write(out: Path, found: dict) -> None:
    """OUT.json, OUT.md and OUT.svg; the Markdown is printed too."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    text = (f"{found['machine']}. Batch 1, {found['weights']} weights, {found['clusters']} clusters. {versions}.\n\n" + "\n".join(map(markdown_table, found["tables"])))
    out.with_suffix(".md").write_text(text)
    if any("median_ms" in e for found_table in found["tables"] for e in found_table["entries"]):
        plot(out.with_suffix(".svg"), found["tables"])
    print(text)
