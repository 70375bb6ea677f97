# SPDX-License-Identifier: Apache-2.0
"""inspect: models, their plans, and safetensors files that are no models."""
import json
import math
import shutil
import struct

from common import CLASSES, MODEL, SOURCE, CommandTest, main, temporary_folder


def safetensors(path, tensors, metadata=None):
    """Writes {name: (dtype, shape, bytes)}."""
    header, data = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def read_header(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + size]), 8 + size


class Inspect(CommandTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = temporary_folder()

    def clustered(self, *options):
        path = self.folder / "clustered.safetensors"
        self.lutra("cluster", MODEL, "-o", path, *options)
        return path

    def test_clustered_model(self):
        path = self.clustered("--clusters", "50")
        result = self.lutra_json("inspect", path)
        header, _ = read_header(path)
        tensors = {tensor["name"]: tensor for tensor in result["tensors"]}
        head = tensors["head.weight"]
        self.assertEqual((head["shape"], head["dtype"], head["clusters"], head["bits"], head["scope"]),
                         ([10, 16], "F32", 50, 6, "row"))
        parts = [header["head.weight" + part]["data_offsets"] for part in (".indices", ".codebook", ".scale")]
        self.assertEqual(head["bytes"], sum(end - start for start, end in parts))
        self.assertIsNone(tensors["head.bias"]["clusters"])
        self.assertEqual(result["totals"]["bytes"], path.stat().st_size - read_header(path)[1])
        self.assertEqual(result["totals"]["elements"], result["model"]["parameters"])
        self.assertEqual(result["totals"]["clustered_elements"], result["model"]["clustered_parameters"])
        self.assertEqual(result["model"]["classes"], len(CLASSES))
        self.assertEqual(result["model"]["preprocessing"]["std"], [0.21, 0.24, 0.19])
        self.assertIn("threads", result)
        self.assertIn("isa", result)

    def test_bits_per_weight(self):
        """As cluster reports them; the one codebook of scope model counts, but its entries are no weights."""
        for scope in ("row", "tensor", "model"):
            with self.subTest(scope):
                path = self.folder / "scope.safetensors"
                report = self.lutra_json("cluster", MODEL, "-o", path, "--clusters", "50", "--scope", scope)
                result = self.lutra_json("inspect", path)
                totals = result["totals"]
                self.assertAlmostEqual(8 * totals["clustered_bytes"] / totals["clustered_elements"], report["bits_per_weight"])
                self.assertEqual(totals["elements"], result["model"]["parameters"])
                self.assertEqual(totals["bytes"], path.stat().st_size - read_header(path)[1])

    def test_text(self):
        text = self.lutra("inspect", self.clustered()).stdout
        for word in ("head.weight", "10x16", "row", "architecture", "vit_tiny_patch16_224", "squash", "MACs"):
            self.assertIn(word, text)

    def test_resized_side(self):
        """The largest that crop_pct leaves room for, as pictures are resized."""
        folder = self.folder / "cropped"
        shutil.copytree(MODEL, folder)
        config = json.loads((folder / "config.json").read_text())
        for part, side in ((0.96, 25), (0.95, 25), (0.9, 26), (0.8889, 26), (0.888, 27), (1, 24)):  # of 24 pixels
            config["pretrained_cfg"]["crop_pct"] = part
            (folder / "config.json").write_text(json.dumps(config))
            self.assertIn(f"resized to {side} (crop_pct {part:g})", self.lutra("inspect", folder).stdout)

    def test_plan(self):
        result = self.lutra_json("inspect", MODEL, "--plan")
        gemms = [step for step in result["plan"] if step["op"] == "gemm"]
        self.assertTrue(any("head" in step["name"] for step in gemms))
        for step in gemms:
            self.assertEqual(step["macs"], step["m"] * step["n"] * step["k"])
        self.assertEqual(sum(step["macs"] for step in result["plan"]), result["model"]["macs"])
        text = self.lutra("inspect", MODEL, "--plan").stdout
        for step in result["plan"]:
            self.assertIn(step["op"], text)

    def test_verify(self):
        path = self.clustered("--clusters", "50")
        self.assertTrue(self.lutra_json("inspect", path, "--verify")["verified"])
        header, start = read_header(path)
        begin, end = header["blocks.0.mlp.fc1.weight.indices"]["data_offsets"]
        data = bytearray(path.read_bytes())
        data[start + begin:start + end] = b"\xff" * (end - begin)  # index 63 of 50
        path.write_bytes(data)
        self.fails("inspect", path, "--verify", says="blocks.0.mlp.fc1.weight")

    def test_any_safetensors_file(self):
        path = safetensors(self.folder / "any.safetensors",
                           {"a": ("F32", [2, 3], b"\0" * 24), "b": ("U8", [], b"\1"), "c": ("BF16", [0, 4], b"")})
        result = self.lutra_json("inspect", path)
        self.assertEqual({t["name"]: (t["dtype"], t["shape"], t["bytes"]) for t in result["tensors"]},
                         {"a": ("F32", [2, 3], 24), "b": ("U8", [], 1), "c": ("BF16", [0, 4], 0)})
        self.assertIsNone(result["model"])
        self.assertIn("any.safetensors", result["no_model"])
        text = self.lutra("inspect", path).stdout
        self.assertIn("none that runs", text)
        self.assertIn("scalar", text)
        self.fails("inspect", path, "--plan", says="any.safetensors")

    def test_folders(self):
        result = self.lutra_json("inspect", SOURCE / "tests/golden/models/hf-vit-sharded")
        self.assertIsNotNone(result["model"])
        elements = sum(math.prod(tensor["shape"]) for tensor in result["tensors"])
        self.assertEqual(elements, result["totals"]["elements"])
        self.assertEqual(elements, result["model"]["parameters"])
        self.fails("inspect", self.folder, says=["model.safetensors", "No such file"])

    def test_broken_files(self):
        good = safetensors(self.folder / "x.safetensors", {"a": ("F32", [2, 3], b"\0" * 24)}).read_bytes()
        for name, data, says in (("empty", b"", "empty"), ("short", good[:5], "short"), ("cut", good[:-1], '"a"'),
                                 ("long", struct.pack("<Q", 1 << 40) + good[8:], "long"),
                                 ("text", b"not a safetensors file at all", "text")):
            path = self.folder / f"{name}.safetensors"
            path.write_bytes(data)
            with self.subTest(name):
                self.fails("inspect", path, says=[f"{name}.safetensors", says])


class Descriptions(CommandTest):
    def test_a_norm_behind_the_class_token_and_an_average(self):
        """No framework has it: the norm is of half of what is pooled."""
        path = temporary_folder() / "small.safetensors"
        self.lutra("cluster", SOURCE / "tests/golden/models/timm-average", "-o", path)
        data = path.read_bytes()
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8:8 + size])
        config = json.loads(header["__metadata__"]["lutra.config"])
        self.assertIn("fc_norm.weight", header)
        config["model"]["pool"] = "token and average"
        header["__metadata__"]["lutra.config"] = json.dumps(config)
        text = json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size:])
        self.assertIn("a norm behind the pool", self.lutra("inspect", path).stdout)


if __name__ == "__main__":
    main()
