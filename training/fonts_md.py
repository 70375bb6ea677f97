# SPDX-License-Identifier: Apache-2.0
"""Write FONTS.md: every package used, its version, licence, families and split."""
from __future__ import annotations

import argparse
import json
import re
import subprocess
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

HEAD = """# Fonts

The model was trained on pictures drawn from the fonts below, and the test
pictures and the demonstration line in this folder were drawn from those marked
*test*. All of them are in Debian's main section, that is, free under Debian's
guidelines. No font is part of this project; the pictures show single glyphs,
distorted. "Licence" repeats the licence names in each package's copyright file;
that file, installed as `/usr/share/doc/PACKAGE/copyright`, is what counts.

Families of one design, and the renamed copies of a design, are in one split
(`training/designs.list`); faces that `training/skip.list` names are not used.

"""
KNOWN = [("SIL Open Font|OFL", "OFL-1.1"), ("Bitstream Vera", "Bitstream-Vera"),
         ("GNU Lesser|LGPL", "LGPL"), ("GUST Font", "GFL"), ("Apache", "Apache-2.0"),
         ("GNU General|GPL", "GPL"), ("public domain", "public-domain"),
         ("IPA Font License", "IPA"), ("Arphic Public", "Arphic"),
         ("X11|MIT|Expat", "MIT"), ("Creative Commons|CC-", "CC")]


def licences(package: str) -> str:
    """Licence names in a package's copyright file."""
    text = Path(f"/usr/share/doc/{package}/copyright").read_text(errors="replace")
    blocks = re.split(r"\n\s*\n", text)
    found: list[str] = []
    for block in blocks:
        # debian/* is the packaging, not the font.
        if re.search(r"^Files:\s*debian/", block, re.M):
            continue
        if re.search(r"^Files:", block, re.M):
            found += re.findall(r"^License:[ \t]*(\S[^\n]*)", block, re.M)
    if not found:
        found = [name for pattern, name in KNOWN if re.search(pattern, text, re.I)]
    text = ", ".join(dict.fromkeys(f.strip() for f in found)) or "see the package"
    return text.replace("|", " or ")


def package_version(package: str) -> str:
    """The installed version of a Debian package."""
    return subprocess.run(["dpkg-query", "-W", "-f=${Version}", package], check=True,
                          text=True, capture_output=True).stdout


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--glyphs", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    faces = json.loads((args.glyphs / "glyphs.json").read_text())["faces"]
    rows: dict[tuple[str, str], set[str]] = defaultdict(set)
    for face in faces:
        rows[face["package"], face["split"]].add(face["family"])
    lines = ["| package | version | licence | split | families |", "|---|---|---|---|---|"]
    for (package, split), families in sorted(rows.items()):
        names = ", ".join(sorted(f.replace("|", "/") for f in families))
        lines.append(f"| {package} | {package_version(package)} | {licences(package)} "
                     f"| {split} | {names} |")
    tools = ", ".join(f"{name} {version(name)}" for name in
                      ("torch", "timm", "numpy", "pillow", "fonttools", "safetensors"))
    args.out.write_text(HEAD + "\n".join(lines) + f"\n\nMade with {tools}.\n",
                        encoding="utf-8")


if __name__ == "__main__":
    main()
