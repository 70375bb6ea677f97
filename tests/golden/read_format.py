# SPDX-License-Identifier: Apache-2.0
"""An independent reader of clustered files, written from docs/format.md alone, and the test that it agrees with
`lutra export` bit for bit: for 1 to 8 bits, every scope, shapes that need padding, re-saved files and a 1 x 1 model.

    python3 tests/golden/read_format.py FILE     lists the matrices of a clustered file
    python3 tests/golden/read_format.py          runs the test
"""
import json
import math
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I8": "i1", "U8": "u1"}


def read_safetensors(path):
    """name -> array, and the metadata."""
    data = Path(path).read_bytes()
    (n,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + n])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        tensors[name] = np.frombuffer(data[8 + n + begin:8 + n + end], DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors, metadata


def unpack(packed, n, k, bits):
    """NAME.indices -> [n][k]."""
    p, q = 8 // math.gcd(8, bits), bits // math.gcd(8, bits)
    f = 8 // bits
    w = 8 - f * bits
    blocks, groups = -(-n // 16), -(-k // (4 * p))
    vectors = packed.reshape(blocks, groups, q, 64).astype(np.uint32)
    tiles = np.zeros((blocks, groups, p, 64), np.uint32)
    for t in range(p):
        if t < f * q:
            tiles[:, :, t] = vectors[:, :, t // f] >> bits * (t % f) & (1 << bits) - 1
            continue
        for j in range(bits):
            s = (t - f * q) * bits + j
            tiles[:, :, t] |= (vectors[:, :, s // w] >> f * bits + s % w & 1) << j
    # [block][group][tile][output][input] -> [block][output][group][tile][input]
    lanes = tiles.reshape(blocks, groups, p, 16, 4).transpose(0, 3, 1, 2, 4)
    padded = lanes.reshape(blocks * 16, groups * p * 4)
    assert not padded[n:].any() and not padded[:, k:].any(), "the padding is not index 0"
    return padded[:n, :k]


def read_clustered(path):
    """name -> array, clustered matrices decoded; and the names of these."""
    tensors, metadata = read_safetensors(path)
    assert metadata["lutra.version"] == "1"
    descriptions = json.loads(metadata["lutra.config"])["tensors"]
    parts = {"lutra.codebook"}
    decoded = {}
    for name, description in descriptions.items():
        shape, bits, scope = description["shape"], description["bits"], description["scope"]
        n, k = shape[0], math.prod(shape[1:])
        codebook = tensors["lutra.codebook" if scope == "model" else name + ".codebook"]
        assert codebook.shape == (description["clusters"],)
        entries = np.zeros(1 << bits, np.float32)
        entries[:codebook.size] = codebook
        scale = tensors[name + ".scale"]
        assert scale.shape == (n if scope == "row" else 1,)
        indices = unpack(tensors[name + ".indices"], n, k, bits)
        decoded[name] = (scale[:, None] * entries[indices]).reshape(shape)
        parts |= {name + ".indices", name + ".codebook", name + ".scale"}
    rest = {name: tensor for name, tensor in tensors.items() if name not in parts}
    return {**rest, **decoded}, set(descriptions)


# ---- the test -----------------------------------------------------------------------------------------------


def write_safetensors(path, tensors, metadata=None, gap=0):
    """`gap` spaces more in the header: nothing stays aligned."""
    header, at = {"__metadata__": metadata} if metadata else {}, 0
    names = {np.dtype(text): name for name, text in DTYPES.items()}
    for name, tensor in tensors.items():
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [at, at + tensor.nbytes]}
        at += tensor.nbytes
    text = json.dumps(header).encode() + b" " * gap
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(t.tobytes() for t in tensors.values()))


def make_model(folder, dim, heads, mlp, classes):
    """A vision transformer of one block for 4 x 4 pixels in patches of one, as timm would save it. Its matrices have
    K = 3 (patches), dim, mlp."""
    random = np.random.default_rng(dim * classes)
    shapes = {
        "cls_token": (1, 1, dim), "pos_embed": (1, 17, dim),
        "patch_embed.proj.weight": (dim, 3, 1, 1), "patch_embed.proj.bias": (dim,),
        "blocks.0.norm1.weight": (dim,), "blocks.0.norm1.bias": (dim,),
        "blocks.0.attn.qkv.weight": (3 * dim, dim), "blocks.0.attn.qkv.bias": (3 * dim,),
        "blocks.0.attn.proj.weight": (dim, dim), "blocks.0.attn.proj.bias": (dim,),
        "blocks.0.norm2.weight": (dim,), "blocks.0.norm2.bias": (dim,),
        "blocks.0.mlp.fc1.weight": (mlp, dim), "blocks.0.mlp.fc1.bias": (mlp,),
        "blocks.0.mlp.fc2.weight": (dim, mlp), "blocks.0.mlp.fc2.bias": (dim,),
        "norm.weight": (dim,), "norm.bias": (dim,),
        "head.weight": (classes, dim), "head.bias": (classes,),
    }
    folder.mkdir()
    write_safetensors(folder / "model.safetensors",
                      {name: random.standard_normal(shape).astype("<f4") for name, shape in shapes.items()})
    (folder / "config.json").write_text(json.dumps({
        "architecture": "vit_tiny_patch16_224", "num_classes": classes,
        "model_args": {"embed_dim": dim, "depth": 1, "num_heads": heads, "patch_size": 1, "img_size": 4,
                       "mlp_ratio": mlp / dim},
        "pretrained_cfg": {"input_size": [3, 4, 4], "mean": [0.5] * 3, "std": [0.5] * 3}}))
    return folder


def lutra(*arguments):
    command = Path(os.environ["LUTRA_BUILD_ROOT"]) / "tools" / "lutra"
    done = subprocess.run([command, *map(str, arguments), "--quiet"], capture_output=True, text=True)
    assert done.returncode == 0, f"lutra {arguments}: {done.stderr}"


def assert_same(ours, theirs, what):
    assert set(ours) == set(theirs), (what, set(ours) ^ set(theirs))
    for name, tensor in ours.items():
        assert tensor.shape == theirs[name].shape and tensor.dtype == theirs[name].dtype, (what, name)
        assert tensor.tobytes() == theirs[name].tobytes(), f"{what}: {name} differs from what lutra export says"


def resave_with_safetensors(source, target):
    from safetensors import safe_open
    from safetensors.numpy import save_file
    with safe_open(source, "np") as file:
        save_file({name: file.get_tensor(name) for name in file.keys()}, target, file.metadata())


def check(clustered, folder, bits, have_safetensors):
    """Decoded here and by lutra, as it is and saved again by others in another order."""
    ours, matrices = read_clustered(clustered)
    tensors, metadata = read_safetensors(clustered)
    config = json.loads(metadata["lutra.config"])
    assert all(config["tensors"][name]["bits"] == bits for name in matrices)
    files = {"as written": clustered, "in reverse, unaligned": folder / "reversed.safetensors"}
    write_safetensors(files["in reverse, unaligned"], dict(reversed(tensors.items())), metadata, gap=3)
    if have_safetensors:
        files["saved by safetensors"] = folder / "resaved.safetensors"
        resave_with_safetensors(clustered, files["saved by safetensors"])
    for how, file in files.items():
        lutra("export", file, "-o", folder / "dense.safetensors")
        assert_same(ours, read_safetensors(folder / "dense.safetensors")[0], f"{bits} bits, {how}")
        assert_same(ours, read_clustered(file)[0], f"{bits} bits, {how}, read here")
    return ours, matrices


def test():
    try:
        import safetensors  # noqa: F401
        have_safetensors = True
    except ImportError:
        have_safetensors = False
        print("SKIPPED: files saved again by Python's safetensors, which is not installed")
    counts = {1: 2, 2: 3, 3: 7, 4: 16, 5: 20, 6: 64, 7: 100, 8: 256}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wide = make_model(folder / "wide", dim=96, heads=3, mlp=1, classes=1000)
        one = make_model(folder / "one", dim=1, heads=1, mlp=1, classes=1)
        dense = read_safetensors(wide / "model.safetensors")[0]
        n_checked = 0
        for bits, clusters in counts.items():
            last_error = math.inf
            for options in ["--scope row", "--scope row --codebook f32", "--scope tensor", "--scope model"]:
                target = folder / "clustered.safetensors"
                for model in (wide, one):
                    lutra("cluster", model, "-o", target, "--clusters", clusters, *options.split())
                    ours, matrices = check(target, folder, bits, have_safetensors)
                    n_checked += len(matrices)
                    if model is one:
                        continue
                    assert matrices == {name for name, tensor in dense.items() if tensor.ndim in (2, 4)}
                    assert all(np.array_equal(ours[name], dense[name]) for name in set(dense) - matrices)
                    if options == "--scope row --codebook f32":
                        last_error = sum(((ours[name] - dense[name]) ** 2).sum() for name in matrices)
            # Far from zero or shuffled: with normal weights the error is about 2.7 / clusters^2 of their square.
            square = sum((dense[name] ** 2).sum() for name in matrices)
            assert last_error < 3 * square / clusters ** 2, (bits, last_error, square)
        print(f"{n_checked} matrices agree with lutra export, bit for bit")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        arrays, clustered_names = read_clustered(sys.argv[1])
        for each in sorted(clustered_names):
            print(each, arrays[each].shape)
    else:
        test()
