# SPDX-License-Identifier: Apache-2.0
"""Which font files exist, which design each one belongs to, and its split.

A *face* is one font file (or one member of a collection).  A *design* is
everything drawn by the same hand under one name: all weights and widths, and
also the renamed copies other projects ship.  Splits are made over designs, so
no design is seen both in training and in the test.
"""
from __future__ import annotations

import hashlib
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from fontTools.ttLib import TTCollection, TTFont

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Face:
    """One face: its file, its index in a collection, and where it belongs."""

    package: str
    path: str
    index: int
    family: str
    style: str
    design: str
    chars: frozenset[int]


def lines(name: str) -> list[str]:
    """The lines of a text file beside this one, without comments."""
    text = (HERE / name).read_text(encoding="utf-8")
    rows = [row.split("#")[0].strip() for row in text.splitlines()]
    return [row for row in rows if row]


def packages() -> list[str]:
    """Names of the font packages, sorted."""
    return sorted(lines("fonts.list"))


def package_files(package: str) -> list[str]:
    """Real font files a package installs, without links to other files."""
    out = subprocess.run(["dpkg", "-L", package], check=True, text=True,
                         capture_output=True).stdout
    keep = (".ttf", ".otf", ".ttc", ".otc", ".pfb")
    return sorted(p for p in out.splitlines()
                  if p.lower().endswith(keep) and Path(p).is_file()
                  and not Path(p).is_symlink())


def squeeze(name: str) -> str:
    """A family name without spaces, case and punctuation."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def design_of(family: str, rules: list[tuple[re.Pattern[str], str]]) -> str:
    """The design of a family: the first rule that matches, or its own name."""
    key = squeeze(family)
    for pattern, design in rules:
        if pattern.search(key):
            return design
    words = r"(condensed|extracondensed|semicondensed|cond|narrow|extended|wide"
    words += r"|light|extralight|ultralight|thin|hairline|medium|semibold|demibold"
    words += r"|demi|bold|extrabold|black|heavy|book|regular|italic|oblique|std"
    words += r"|no2|variable|vf)+$"
    short = re.sub(words, "", key)
    return short or key


def design_rules() -> list[tuple[re.Pattern[str], str]]:
    """(pattern, design) from designs.list, in order."""
    rules = []
    for row in lines("designs.list"):
        pattern, design = row.split()[:2]
        rules.append((re.compile(pattern), design))
    return rules


def pinned() -> set[str]:
    """Designs that always go to training."""
    return {row.split()[1] for row in lines("designs.list") if row.endswith(" train")}


def name_of(font: TTFont, wanted: tuple[int, ...]) -> str:
    """First name record of the wanted ids that is set."""
    for number in wanted:
        text = font["name"].getDebugName(number)
        if text:
            return text.strip()
    return "?"


def faces_of_file(package: str, path: str,
                  rules: list[tuple[re.Pattern[str], str]]) -> list[Face]:
    """The faces in one file; none if it cannot be read."""
    if path.lower().endswith((".ttc", ".otc")):
        members = TTCollection(path, lazy=True).fonts
    else:
        members = [TTFont(path, lazy=True)]
    faces = []
    for index, font in enumerate(members):
        cmap = font.getBestCmap()
        if not cmap or not ("glyf" in font or "CFF " in font or "CFF2" in font):
            continue
        family = name_of(font, (16, 1))
        faces.append(Face(package, path, index, family, name_of(font, (17, 2)),
                          design_of(family, rules), frozenset(cmap)))
    return faces


def all_faces() -> list[Face]:
    """Every usable face of the installed packages, in a fixed order.

    Left out: families that skip.list names, and copies (same family and
    style) that a second package or file format brings along.
    """
    rules = design_rules()
    skip = [re.compile(row) for row in lines("skip.list")]
    seen: set[tuple[str, str]] = set()
    faces: list[Face] = []
    for package in packages():
        for path in package_files(package):
            if path.lower().endswith(".pfb"):
                continue
            try:
                members = faces_of_file(package, path, rules)
            except Exception as error:  # a broken file is not a reason to stop
                print(f"left out {path}: {error}")
                continue
            for face in members:
                key = (squeeze(face.family), squeeze(face.style))
                if key in seen or any(p.search(key[0] + ":" + key[1]) for p in skip):
                    continue
                seen.add(key)
                faces.append(face)
    return faces


def rank(text: str) -> str:
    """A fixed pseudo-random order that depends on the text alone."""
    return hashlib.sha256(("lutra fonts 1 " + text).encode()).hexdigest()


MOST = 12  # faces of one design and kind that are kept


def chosen_faces() -> list[Face]:
    """All faces, at most MOST of one family, picked by rank."""
    count: dict[str, int] = {}
    kept = []
    for face in sorted(all_faces(), key=lambda f: rank(f.family + f.style)):
        count[face.family] = count.get(face.family, 0) + 1
        if count[face.family] <= MOST:
            kept.append(face)
    return sorted(kept, key=lambda f: (f.package, f.path, f.index))


def split_of(faces: list[Face]) -> dict[str, str]:
    """design -> train, val or test.

    Designs with kana, with Greek or Cyrillic, and with Latin alone are dealt
    apart, each ten of them 7 : 1 : 2 in rank order; pinned ones train.
    """
    chars: dict[str, set[int]] = {}
    for face in faces:
        chars.setdefault(face.design, set()).update(face.chars)
    stacks: dict[str, list[str]] = {"kana": [], "greek": [], "latin": []}
    held = pinned()
    splits = {}
    for design, have in chars.items():
        if design in held:
            splits[design] = "train"
        elif ord("\u3042") in have:
            stacks["kana"].append(design)
        elif ord("\u0416") in have or ord("\u03c9") in have:
            stacks["greek"].append(design)
        else:
            stacks["latin"].append(design)
    pattern = ["test", "train", "train", "val", "train", "train", "test",
               "train", "train", "train"]
    for stack in stacks.values():
        for place, design in enumerate(sorted(stack, key=rank)):
            splits[design] = pattern[place % len(pattern)]
    return splits
