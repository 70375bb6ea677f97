# SPDX-License-Identifier: Apache-2.0
"""A random DeiT-Tiny with its first two blocks alone: large enough for caches to matter, small enough for Valgrind."""
import json
import pathlib
import struct
import subprocess

ARCH = "deit_tiny_patch16_224"


def make(lutra, folder, n_blocks=2):
    """Writes the model into `folder`; returns its path."""
    whole, path = pathlib.Path(folder) / "whole.safetensors", pathlib.Path(folder) / "two.safetensors"
    subprocess.run([lutra, "random", "--arch", ARCH, "-o", whole, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    content = whole.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    header, data = json.loads(content[8:8 + size]), content[8 + size:]
    kept, tensors = {}, b""
    for name, entry in header.items():
        if name == "__metadata__":
            # Known by its shapes: that architecture has more blocks.
            entry["lutra.config"] = entry["lutra.config"].replace(f'"architecture":"{ARCH}",', "")
            kept[name] = entry
        elif not name.startswith("blocks.") or int(name.split(".")[1]) < n_blocks:
            begin, end = entry["data_offsets"]
            kept[name] = {**entry, "data_offsets": [len(tensors), len(tensors) + end - begin]}
            tensors += data[begin:end]
    text = json.dumps(kept).encode()
    text += b" " * (-(len(text) + 8) % 64)
    path.write_bytes(struct.pack("<Q", len(text)) + text + tensors)
    whole.unlink()
    return str(path)
