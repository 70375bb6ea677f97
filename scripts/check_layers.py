#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each layer includes only itself and the layers below it (docs/architecture.md).

    scripts/check_layers.py [ROOT]

The command and the examples see the public header alone. Prints one TAP line per folder.
"""
import pathlib
import re
import sys

# A folder -> the folders that it may include from, its own not repeated.
LAYERS = {
    "src/base": [],
    "src/kernels": ["base"],
    "src/cluster": ["kernels", "base"],
    "src/format": ["kernels", "base"],
    "src/image": ["base"],
    "src/model": ["format", "image", "kernels", "base"],
    "src/compress": ["model", "cluster", "format", "image", "kernels", "base"],
    "src/profile": ["model", "format", "image", "kernels", "base"],
}
PUBLIC_ONLY = ["tools", "examples"]
PUBLIC = "lutra"
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


def sources(folder):
    return sorted(path for end in ("*.c", "*.h", "*.inc") for path in folder.rglob(end))


def violations(root, folder, allowed):
    """Lines that say which file includes what it may not. A plain name is a neighbour in the same folder."""
    found = []
    for path in sources(folder):
        for include in INCLUDE.findall(path.read_text(encoding="utf-8")):
            top = include.split("/")[0]
            neighbour = (path.parent / include).exists() and ".." not in include.split("/")
            if not neighbour and top not in allowed:
                found.append(f"{path.relative_to(root)}: includes {include}")
    return found


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    results = {}
    for layer, below in LAYERS.items():
        results[layer] = violations(root, root / layer, [PUBLIC, layer.split("/")[1], *below])
    for folder in PUBLIC_ONLY:
        results[folder] = violations(root, root / folder, [PUBLIC])
    unlisted = sorted(f"src/{path.name}" for path in (root / "src").iterdir()
                      if path.is_dir() and f"src/{path.name}" not in LAYERS)
    results["every folder of src has its place"] = unlisted

    for number, (what, found) in enumerate(results.items(), 1):
        print(f"{'not ok' if found else 'ok'} {number} - layers: {what}")
        for line in found:
            print(f"#   {line}")
    print(f"1..{len(results)}")
    return any(results.values())


if __name__ == "__main__":
    sys.exit(main())
