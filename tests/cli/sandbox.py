# SPDX-License-Identifier: Apache-2.0
"""Files of strangers make the command neither read nor write elsewhere, and say nothing to the terminal: what steers one is
escaped wherever it is printed, and in JSON."""
import itertools
import json
import os
import shutil
import struct
import subprocess
import unittest

from common import CLASSES, COMMAND, FAILED, MODEL, SOURCE, CommandTest, main, png, temporary_folder
from inspect_files import safetensors

# A title set, a screen wiped, CSI as one character, text turned around, a bell, an end of line.
HOSTILE = "\033]0;owned\007\033[2J\u009b31m\u202egnp\x7f\r\n"
STEERS = ([*range(0x20), *range(0x7f, 0xa0), 0x061c, 0x200e, 0x200f, *range(0x2028, 0x202f), *range(0x2066, 0x206a)])


class Sandbox(CommandTest):
    def setUp(self):
        self.folder = temporary_folder()

    def harmless(self, *arguments, **options):
        """Runs the command; nothing that it prints may steer a terminal. Its output."""
        result = subprocess.run([*COMMAND, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, timeout=120, **options)
        self.assertIn(result.returncode, (0, 1, 3), result.stderr)
        for stream in (result.stdout, result.stderr):
            bad = sorted({hex(ord(c)) for c in stream.decode() if ord(c) in STEERS and c != "\n"})
            self.assertEqual(bad, [], (arguments, stream))
        return result.stdout.decode(), result.stderr.decode()

    def model(self, change):
        """A clustered model with its description changed."""
        path = self.folder / "model.safetensors"
        self.lutra("cluster", MODEL, "-o", path, "-k", "3", "--quiet")
        data = path.read_bytes()
        size = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8:8 + size])
        config = json.loads(header["__metadata__"]["lutra.config"])
        change(header, config)
        header["__metadata__"]["lutra.config"] = json.dumps(config)
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 64 + 56)
        path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size:])
        return path

    def test_names_of_tensors(self):
        path = safetensors(self.folder / "x.safetensors", {HOSTILE + str(i): ("U8", [1], b"\1") for i in range(2)})
        text, _ = self.harmless("inspect", path)
        self.assertIn(r"\u001b]0;owned\u0007", text)
        text, _ = self.harmless("inspect", path, "--json")
        self.assertEqual(json.loads(text)["tensors"][0]["name"], HOSTILE + "0")
        # In messages, too: a tensor beyond the end, an unknown type, no model.
        for dtype, data in (("U8", b""), ("X" + HOSTILE, b"\1")):
            broken = safetensors(self.folder / "y.safetensors", {HOSTILE: (dtype, [1], data)})
            for command in (["inspect"], ["cluster", "-o", self.folder / "out"], ["export", "-o", self.folder / "out"]):
                self.harmless(*command, broken)

    def test_labels_architecture_and_names(self):
        def change(header, config):
            config["labels"] = [HOSTILE + str(i) for i in range(10)]
            config["architecture"] = HOSTILE

        path = self.model(change)
        picture = png(self.folder / ("a" + HOSTILE.replace("\n", "") + ".png"), 7)
        listed = self.folder / "list"
        listed.write_text(picture + "\n" + str(self.folder / HOSTILE.replace("\n", "").replace("/", "")) + "\n")
        text, _ = self.harmless("classify", path, picture)
        self.assertIn(r"\u009b31m", text)
        text, _ = self.harmless("classify", path, picture, "--json")
        self.assertIn(HOSTILE, json.loads(text)[0]["predictions"][0]["name"])
        for arguments in (["inspect", path], ["inspect", path, "--plan"], ["inspect", path, "--json", "--plan"],
                          ["classify", path, f"@{listed}"], ["bench", path, "--repeat", 1, "--quiet"],
                          ["profile", path, "--on", "pi5"], ["profile", path, "--on", "pi5", "--csv"],
                          ["compare", path, MODEL, "--images", picture], ["export", path, "-o", self.folder / ("o" + HOSTILE[:8])],
                          ["embed", path, picture, "-o", self.folder / "e.npy"]):
            self.harmless(*arguments)

    def test_device(self):
        description = json.loads((SOURCE / "data/devices/pi5.json").read_text())
        description.update(title=HOSTILE, core=HOSTILE, name=HOSTILE)
        path = self.folder / "device.json"
        path.write_text(json.dumps(description))
        self.harmless("profile", MODEL, "--on", path)
        self.harmless("profile", MODEL, "--on", path, "--json")

    def test_tables_of_labels(self):
        images = self.folder / "images"
        png(images / "in.png", 7)
        outside = png(self.folder / "out.png", 9)
        os.makedirs(self.folder / "images-too")
        shutil.copy(outside, self.folder / "images-too/x.png")
        for name in ("../out.png", "x/../../out.png", outside, str(self.folder / "images-too/x.png"), "..", "in.png/.."):
            with self.subTest(name):
                table = self.folder / "table"
                table.write_text(f"file\tclass_index\nin.png\t0\n{name}\t1\n")
                self.fails("eval", MODEL, "--images", images, "--labels", table, says=["line 3", "does not lie in"])
        table.write_text(f"file\tclass_index\n..in.png\t0\n{images}/in.png\t1\n")
        self.lutra("eval", MODEL, "--images", images, "--labels", table, status=3)
        table.write_text(f"file\tclass_index\n{HOSTILE.strip()}\t{HOSTILE.strip()}\n")
        self.harmless("eval", MODEL, "--images", images, "--labels", table)

    def test_shards_stay_in_their_folder(self):
        source = SOURCE / "tests/golden/models/hf-vit-sharded"
        shutil.copy(source / "model-00001-of-00003.safetensors", self.folder / "secret.safetensors")
        model = self.folder / "model"
        shutil.copytree(source, model)
        index = json.loads((model / "model.safetensors.index.json").read_text())
        for name in ("../secret.safetensors", str(self.folder / "secret.safetensors"), "./../secret.safetensors", "..", ".", "",
                     "a/b.safetensors"):
            with self.subTest(name):
                changed = {"weight_map": {tensor: name for tensor in index["weight_map"]}}
                (model / "model.safetensors.index.json").write_text(json.dumps(changed))
                self.fails("inspect", model, says="does not name a file beside the index")

    def test_outputs_replace_links_and_do_not_follow_them(self):
        victim = self.folder / "victim"
        for command in (["cluster", MODEL, "-k", "3"], ["export", MODEL], ["embed", MODEL, png(self.folder / "p.png", 1)]):
            victim.write_bytes(b"safe")
            out, temporary = self.folder / "out", self.folder / ".out.lutra-tmp"
            out.symlink_to(victim)
            self.lutra(*command, "-o", out, "--quiet")
            self.assertFalse(out.is_symlink())
            out.unlink()
            for link in (temporary.symlink_to, temporary.hardlink_to):
                link(victim)
                self.fails(*command, "-o", out, "--quiet", says="temporary" if temporary.is_symlink() else "in the way")
                temporary.unlink()
            self.assertEqual(victim.read_bytes(), b"safe")


class CutShort(CommandTest):
    """A model's file that another program empties, or cuts short, while it is in use."""

    def classify_while_it_is_cut(self, threads, kept, *options):
        folder = temporary_folder()
        path = folder / "model.safetensors"
        # Of several pages, and used only in part when it is opened.
        self.lutra("random", "--arch", "vit_tiny_patch16_224", "-o", path, "--quiet")
        process = subprocess.Popen([*COMMAND, "classify", path, "-", "--mode", "f32", "--threads", str(threads), "--json", *options],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        # It says so when the model is open.
        self.assertIn(b"carries no names", process.stderr.readline())
        os.truncate(path, int(kept * path.stat().st_size))
        with open(png(folder / "p.png", 3), "rb") as picture:
            stdout, stderr = process.communicate(picture.read(), timeout=120)
        return process.returncode, stdout, stderr.decode()

    def test_mapped(self):
        # Of several threads it may be any that misses what is gone; where all is gone, mostly the first one.
        for threads, kept in itertools.product((1, 2, 8), (0, 0.2, 0.4, 0.6, 0.8)):
            with self.subTest(threads=threads, kept=kept):
                status, _, message = self.classify_while_it_is_cut(threads, kept)
                self.assertEqual((status, message.splitlines()[-1]),
                                 (FAILED, "lutra: a file was cut short while it was in use (--copy reads models before)"))

    def test_copied(self):
        status, stdout, message = self.classify_while_it_is_cut(2, 0, "--copy")
        self.assertEqual(status, 0, message)
        self.assertEqual(len(json.loads(stdout)[0]["predictions"]), 5)


if __name__ == "__main__":
    main()
