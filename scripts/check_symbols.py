#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The public symbols are the same three times: in the header, in the version map, in the built library.

    scripts/check_symbols.py HEADER MAP LIBRARY [--nm NM]

An exported symbol can never be taken back, so nothing gets out by accident, and nothing declared is missing.
Prints one TAP line per comparison.
"""
import argparse
import re
import subprocess
import sys

VERSION = "LUTRA_0.1"


def declared(path):
    """Names of the functions marked LUTRA_API in the header."""
    with open(path, encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/|//[^\n]*", "", file.read(), flags=re.DOTALL)
    return set(re.findall(r"^LUTRA_API\b[^;(]*?(\w+)\s*\(", text, flags=re.MULTILINE))


def mapped(path):
    """Names that the version map lists under VERSION."""
    with open(path, encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/|#[^\n]*", "", file.read(), flags=re.DOTALL)
    node = re.search(re.escape(VERSION) + r"\s*\{(.*?)\}", text, flags=re.DOTALL).group(1)
    return set(re.findall(r"\b(\w+);", node.split("local:")[0]))


def exported(library, nm):
    """name -> version of every symbol that the library defines for others."""
    lines = subprocess.run([nm, "--dynamic", "--defined-only", "--with-symbol-versions", library], check=True,
                           capture_output=True, text=True).stdout.splitlines()
    symbols = {}
    for line in lines:
        kind, name = line.split()[-2:]
        if kind != "A":  # the version's own name
            name, _, version = name.partition("@@")
            symbols[name] = version
    return symbols


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("header")
    parser.add_argument("map")
    parser.add_argument("library")
    parser.add_argument("--nm", default="nm")
    arguments = parser.parse_args()

    header, version_map = declared(arguments.header), mapped(arguments.map)
    library = exported(arguments.library, arguments.nm)
    problems = {
        "header and version map agree":
            [f"{name}: only in the header" for name in sorted(header - version_map)] +
            [f"{name}: only in the map" for name in sorted(version_map - header)],
        "the library exports what the map lists":
            [f"{name}: not in the library" for name in sorted(version_map - set(library))] +
            [f"{name}: exported, not in the map" for name in sorted(set(library) - version_map)],
        f"every symbol carries version {VERSION}":
            [f"{name}: version '{version}'" for name, version in sorted(library.items()) if version != VERSION],
    }
    for number, (what, found) in enumerate(problems.items(), 1):
        print(f"{'not ok' if found else 'ok'} {number} - {what}")
        for line in found:
            print(f"#   {line}")
    print(f"1..{len(problems)}")
    return any(problems.values()) or not header


if __name__ == "__main__":
    sys.exit(main())
