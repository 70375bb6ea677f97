# SPDX-License-Identifier: Apache-2.0
"""eval: its figures against the same computed here from classify's probabilities, and every way to tell classes."""
import math
import os
import pathlib
import shutil
import signal
import statistics
import subprocess

from common import (CLASSES, HEADLESS, INTERRUPTED, LUTRA, MODEL, SOURCE, UNREADABLE, CommandTest, bare_weights, main, png,
                    temporary_folder)

# Probabilities are printed with nine digits; their logarithms and sums are as exact.
TOLERANCE = 1e-7


class Eval(CommandTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = temporary_folder()
        cls.images = cls.folder / "images"
        cls.pictures = [pathlib.Path(png(cls.images / f"{i:02}.png", 11 * i)) for i in range(23)]
        cls.small = str(cls.folder / "small.safetensors")
        subprocess.run([LUTRA, "cluster", MODEL, "-o", cls.small, "--clusters", "3", "--quiet"], check=True,
                       stdout=subprocess.DEVNULL)

    def setUp(self):
        # Truth of a third of the pictures is what the dense model says, so that something is right.
        self.dense = self.probabilities(MODEL)
        self.truth = {name: self.ranked(p)[0] if i % 3 == 0 else (7 * i) % 10
                      for i, (name, p) in enumerate(sorted(self.dense.items()))}
        self.labels = self.folder / "labels.tsv"
        self.labels.write_text("file\tclass_index\n" + "".join(f"{n}\t{t}\n" for n, t in self.truth.items()))

    def probabilities(self, model):
        """{picture: [probability of each class]} as classify gives them."""
        result = {}
        for element in self.lutra_json("classify", model, self.images, "--top", 10, "--mode", "f32"):
            by_index = {p["index"]: p["probability"] for p in element["predictions"]}
            result[pathlib.Path(element["file"]).name] = [by_index[i] for i in range(10)]
        return result

    @staticmethod
    def ranked(probabilities):
        return sorted(range(len(probabilities)), key=lambda i: -probabilities[i])

    def expected(self, probabilities):
        n = len(self.truth)
        ranks = [self.ranked(probabilities[name]).index(truth) for name, truth in self.truth.items()]
        return {"top1": 100 * sum(rank < 1 for rank in ranks) / n, "top5": 100 * sum(rank < 5 for rank in ranks) / n,
                "nll": sum(-math.log(probabilities[name][truth]) for name, truth in self.truth.items()) / n}

    def evaluate(self, *arguments, **options):
        return self.lutra_json("eval", MODEL, "--mode", "f32", *arguments, **options)

    def test_figures(self):
        for batch in (1, 5, 64):
            result = self.evaluate("--images", self.images, "--labels", self.labels, "--batch", batch, "--threads", 2)
            self.assertEqual((result["images"], result["unreadable"], result["threads"]), (23, 0, 2))
            for name, value in self.expected(self.dense).items():
                self.assertAlmostEqual(result[name], value, delta=TOLERANCE * 100)
            self.assertGreater(result["images_per_second"], 0)
            self.assertIn("isa", result)
            self.assertEqual(result["preprocessing"]["height"], 24)
            self.assertNotIn("agreement", result)

    def test_against(self):
        other, model = self.dense, self.probabilities(self.small)
        result = self.lutra_json("eval", self.small, "--images", self.images, "--labels", self.labels, "--mode", "f32",
                                 "--against", MODEL)
        best = {name: (self.ranked(model[name])[0], self.ranked(other[name])[0]) for name in self.truth}
        kl = statistics.mean(sum(q * math.log(q / p) for p, q in zip(model[name], other[name])) for name in self.truth)
        change = [(best[name][0] == truth) - (best[name][1] == truth) for name, truth in self.truth.items()]
        self.assertAlmostEqual(result["agreement"], 100 * statistics.mean(a == b for a, b in best.values()), places=6)
        self.assertAlmostEqual(result["kl"], kl, delta=TOLERANCE)
        self.assertAlmostEqual(result["top1_change"], 100 * statistics.mean(change), places=6)
        self.assertAlmostEqual(result["top1_change_se"], 100 * statistics.stdev(change) / math.sqrt(23), places=6)
        self.assertNotEqual(result["kl"], 0)
        for name, value in self.expected(other).items():
            self.assertAlmostEqual(result["against"][name], value, delta=TOLERANCE * 100)

    def test_against_itself(self):
        result = self.evaluate("--images", self.images, "--labels", self.labels, "--against", MODEL)
        self.assertEqual((result["agreement"], result["kl"], result["top1_change"], result["top1_change_se"]),
                         (100, 0, 0, 0))

    def test_against_a_model_with_other_preprocessing(self):
        """Each model gets pictures as it wants them: the other's figures are those it has alone."""
        alone = self.evaluate("--images", self.images, "--labels", self.labels)
        result = self.evaluate("--images", self.images, "--labels", self.labels, "--crop-pct", "0.5", "--against", MODEL)
        self.assertEqual(result["against"]["nll"], alone["nll"])
        self.assertNotEqual(result["nll"], alone["nll"])

    def test_modes(self):
        """Nobody names one: int8 is taken where weights are exact in it, and the other model is still computed in f32."""
        options = ("--images", self.images, "--labels", self.labels, "--against", MODEL)
        result = self.lutra_json("eval", self.small, *options)
        mode, source = ("int8", "auto") if result["isa"] != "reference" else ("f32", "auto")
        self.assertEqual((result["mode"], result["mode_source"], result["against"]["mode"]), (mode, source, "f32"))
        named = self.lutra_json("eval", self.small, *options, "--mode", mode)
        self.assertEqual((named["mode_source"], named["kl"]), ("option", result["kl"]))
        self.assertIn(f"mode {mode} (auto)", self.lutra("eval", self.small, *options).stderr)
        self.assertNotIn("(auto)", self.lutra("eval", self.small, *options, "--quiet").stderr)
        bf16 = self.lutra_json("eval", self.small, *options, "--mode", "bf16", "--against-mode", "bf16")
        self.assertEqual((bf16["mode"], bf16["against"]["mode"]), ("bf16", "bf16"))
        self.assertNotEqual(bf16["kl"], result["kl"])

    def test_text(self):
        result = self.lutra("eval", MODEL, "--images", self.images, "--labels", self.labels, "--against", self.small)
        for word in ("top-1", "top-5", "NLL", "agreement", "KL", "standard error", "23 pictures, 0 unreadable"):
            self.assertIn(word, result.stdout)

    def test_labels_beside_the_pictures(self):
        expected = self.evaluate("--images", self.images, "--labels", self.labels)
        shutil.copytree(self.images, self.folder / "beside")
        shutil.copy(self.labels, self.folder / "beside" / "labels.tsv")
        result = self.evaluate("--images", self.folder / "beside")
        self.assertEqual(result["nll"], expected["nll"])

    def test_only_a_file_beside_the_pictures_is_a_table(self):
        shutil.copytree(self.images, self.folder / "strange")
        os.mkfifo(self.folder / "strange" / "labels.tsv")  # reading it would not end
        self.fails("eval", MODEL, "--images", self.folder / "strange", says="no folders")

    def test_kinds_of_tables(self):
        expected = self.evaluate("--images", self.images, "--labels", self.labels)["nll"]
        rows = list(self.truth.items())
        tables = {
            "names": "label\tfile\n" + "".join(f"{CLASSES[t]}\t{n}\n" for n, t in rows),
            "commas": "Filename,Index\r\n" + "".join(f"{n},{t}\r\n" for n, t in rows),
            "blanks": "".join(f"{n}   {t}\n" for n, t in rows),
            "tabs without heading": "".join(f"{n}\t{CLASSES[t]}\n" for n, t in reversed(rows)),
            "more columns": "wnid\tfile\tclass_index\tname\n" + "".join(f"n1\t{n}\t{t}\tx y\n" for n, t in rows),
            "one class a line": "".join(f"{CLASSES[t]}\n" for n, t in rows),
            "a byte order mark": "\ufefffile,label\n" + "".join(f"{n},{CLASSES[t]}\n" for n, t in rows),
            "a byte order mark before classes": "\ufeff" + "".join(f"{CLASSES[t]}\n" for n, t in rows),
            "blank lines first": " \t\r\n\n" + "".join(f"  {n} {t}\n" for n, t in rows),
            "blank lines before a heading": "\n  \nfile\tindex\n\n" + "".join(f"{n}\t{t}\n" for n, t in rows),
            "a heading without a first name": "\n\tfile\tindex\n" + "".join(f"0\t{n}\t{t}\n" for n, t in rows),
            "blank lines before classes": "\n \n" + "".join(f"{CLASSES[t]}\n" for n, t in rows),
            "absolute paths, no end of line": "\n".join(f"{self.images / n} {t}" for n, t in rows),
        }
        for name, text in tables.items():
            with self.subTest(name):
                table = self.folder / "table"
                table.write_bytes(text.encode())
                self.assertAlmostEqual(self.evaluate("--images", self.images, "--labels", table)["nll"], expected,
                                       delta=TOLERANCE)  # summed in another order

    def test_names_of_several_words(self):
        """As ImageNet's 'tiger cat' beside a 'tiger': no other class is taken for the first word's sake."""
        names, model = [*CLASSES], self.folder / "words.safetensors"
        names[:4] = "tiger", "tiger cat", "tench, Tinca tinca", "bow"
        names[9] = "bow tie"
        (self.folder / "words").write_text("\n".join(names) + "\n")
        self.lutra("cluster", MODEL, "--labels", self.folder / "words", "-o", model)
        (self.images / "tiger").mkdir()  # no picture
        self.addCleanup((self.images / "tiger").rmdir)
        table = self.folder / "table"

        def nll(text):
            table.write_bytes(text.encode())
            return self.lutra_json("eval", model, "--images", self.images, "--labels", table)["nll"]

        for first in (1, 2):  # of a list, this line must not be taken for "PICTURE CLASS" or for two columns
            truth = {name: first if name == "00.png" else t for name, t in self.truth.items()}
            rows = [(n, names[t]) for n, t in truth.items()]
            expected = nll("file\tindex\n" + "".join(f"{n}\t{t}\n" for n, t in truth.items()))
            for text in ("file label\n" + "".join(f"{n} {name}\n" for n, name in rows),
                         "\n" + "".join(f" {n}  {name} \r\n" for n, name in reversed(rows)),
                         "".join(f"{n}\t{name} \n" for n, name in rows), "".join(f" {name} \r\n" for _, name in rows)):
                with self.subTest(text[:20]):
                    self.assertAlmostEqual(nll(text), expected, delta=TOLERANCE)  # summed in another order
        for text in ("00.png tiger domestic\n", "00.png\ttiger domestic\n", "00.png,tiger domestic\n",
                     "file label\n00.png tiger domestic\n", "tiger domestic\n"):
            with self.subTest(text):
                table.write_text(text)
                self.fails("eval", model, "--images", self.images, "--labels", table, "--quiet",
                           says=[f"line {text.count(chr(10))}", "'tiger domestic' is no class"])

    def test_folders_named_as_classes(self):
        folder = self.folder / "named"
        for picture in self.pictures:
            target = folder / CLASSES[self.truth[picture.name]]
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(picture, target)
        result = self.lutra("eval", MODEL, "--images", folder)
        self.assertIn("named as its class", result.stderr)
        expected = self.evaluate("--images", self.images, "--labels", self.labels)["nll"]
        self.assertAlmostEqual(self.evaluate("--images", folder)["nll"], expected, delta=TOLERANCE)

    def test_folders_in_sorted_order(self):
        folder = self.folder / "sorted"
        for i in range(10):  # "0", "1", "10", ..: sorted as text, as torchvision does
            (folder / str(i if i < 2 else i + 8)).mkdir(parents=True)
        order = sorted(path.name for path in folder.iterdir())
        for picture in self.pictures:
            shutil.copy(picture, folder / order[self.truth[picture.name]])
        result = self.lutra("eval", MODEL, "--images", folder)
        self.assertIn("sorted order", result.stderr)
        expected = self.evaluate("--images", self.images, "--labels", self.labels)["nll"]
        self.assertAlmostEqual(self.evaluate("--images", folder)["nll"], expected, delta=TOLERANCE)
        shutil.rmtree(folder / "0")
        self.fails("eval", MODEL, "--images", folder, says=["9 folders", "10 classes", "--labels"])

    def test_unreadable_pictures_are_counted(self):
        (self.images / "zero.png").write_bytes(b"")
        self.addCleanup((self.images / "zero.png").unlink)
        table = self.folder / "with-broken"
        table.write_text(self.labels.read_text() + f"{self.images}/zero.png\t3\nmissing.png\t4\n")
        result = self.lutra("eval", MODEL, "--images", self.images, "--labels", table, "--json", status=UNREADABLE)
        for name in ("zero.png", "missing.png", "2 of 25"):
            self.assertIn(name, result.stderr)
        for arguments in ([], ["--against", self.small], ["--against", self.small, "--crop-pct", "0.5"]):
            result = self.evaluate("--images", self.images, "--labels", table, "--batch", 3, *arguments,
                                   status=UNREADABLE)
            self.assertEqual((result["images"], result["unreadable"]), (23, 2))
        self.assertEqual(self.evaluate("--images", self.images, "--labels", table, status=UNREADABLE)["nll"],
                         self.evaluate("--images", self.images, "--labels", self.labels)["nll"])

    def test_labels_that_do_not_match(self):
        table = self.folder / "wrong"
        for text, says in (
                ("file\tclass_index\n00.png\t10\n", ["line 2", "'10'", "0..9"]),
                ("file\tclass_index\n00.png\tbadger\n", ["line 2", "badger"]),
                ("file\tclass_index\n00.png\n", ["line 2", "columns"]),
                ("file\tcolour\n00.png\tred\n", ["class_index"]),
                ("file\tclass_index\nno.png\t1\nnone.png\t1\n", ["none of the 2 pictures"]),
                ("file\tclass_index\n", ["names no pictures"]),
                ("3\n4\n", ["line 1", "order of its own"]),
                ("otter\nvole\n", ["2 lines", "23 pictures"]),
                ("otter\n\rvole\n", ["line 2", "vole"]),
                ("otter\n" * 24, ["line 24", "only 23"]),
                ("00.png 1\n\0" + "01.png 2\n", ["byte 9 is 0", "not a text"]),
                ("\n \nfile\tclass_index\n00.png\t10\n", ["line 4", "'10'"]),
                ("\n \n00.png 1\n01.png\n", ["line 4", "columns"]),
                ("", ["is empty"]), (" \n\t\r\n", ["is empty"])):
            with self.subTest(text):
                table.write_bytes(text.encode())
                self.fails("eval", MODEL, "--images", self.images, "--labels", table, "--quiet", says=["wrong", *says])

    def test_classes_that_share_a_name(self):
        """As ImageNet's two cranes do."""
        labels, table = self.folder / "names", self.folder / "table"
        labels.write_text("\n".join([*CLASSES[:-1], CLASSES[0]]) + "\n")
        twins = self.folder / "twins.safetensors"
        self.lutra("cluster", MODEL, "--labels", labels, "-o", twins)
        table.write_text(f"file\tlabel\n00.png\t{CLASSES[0]}\n")
        self.fails("eval", twins, "--images", self.images, "--labels", table, "--quiet", says=["line 2", "2 classes"])
        for index in (0, 9):
            table.write_text(f"file\tclass_index\n00.png\t{index}\n")
            self.lutra("eval", twins, "--images", self.images, "--labels", table)

    def test_folders_that_do_not_do(self):
        empty = self.folder / "empty"
        empty.mkdir()
        self.fails("eval", MODEL, "--images", empty, says=[str(empty), "no folders"])
        self.fails("eval", MODEL, "--images", self.images, says="no folders")
        for name in CLASSES:
            (empty / name).mkdir()
        self.fails("eval", MODEL, "--images", empty, says="no pictures")
        (empty / CLASSES[3]).rename(empty / "misspelt")
        self.fails("eval", MODEL, "--images", empty, says=["9 of its 10 folders", "misspelt"])
        self.fails("eval", MODEL, "--images", self.folder / "none", says="No such file")
        self.fails("eval", MODEL, "--images", self.labels, says="Not a directory")

    def test_models_that_do_not_do(self):
        self.fails("eval", HEADLESS, "--images", self.images, "--labels", self.labels, says="no head")
        other = str(SOURCE / "tests/golden/models/hf-vit")
        self.fails("eval", MODEL, "--images", self.images, "--labels", self.labels, "--against", other,
                   says="10")

    def test_arch_of_weights_that_do_not_tell(self):
        arch = "deit_tiny_patch16_224"
        weights, small = bare_weights(self.folder / "weights.safetensors", arch), self.folder / "deit.safetensors"
        self.lutra("cluster", weights, "--arch", arch, "-o", small)
        arguments = ["--images", self.images, "--labels", self.labels, "--mode", "f32"]
        self.fails("eval", small, *arguments, "--against", weights, says="pass --arch")
        for model, against in ((small, weights), (weights, small)):
            result = self.lutra_json("eval", model, *arguments, "--against", against, "--arch", arch)
            self.assertEqual((result["arch"], result["against"]["arch"]), (arch, arch))

    def test_interrupted(self):
        slow = self.folder / "slow"
        (slow / "x").mkdir(parents=True)
        for i in range(2000):
            (slow / "x" / f"{i}.png").symlink_to(self.pictures[i % 23])
        table = self.folder / "slow.tsv"
        table.write_text("".join(f"x/{i}.png 1\n" for i in range(2000)))
        # 3137 tokens a picture: minutes for all of them.
        process = subprocess.Popen([LUTRA, "eval", MODEL, "--mode", "f32", "--images", slow, "--labels", table, "--batch", "1",
                                    "--image-size", "224"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertIn("2000 pictures", process.stderr.readline())
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
        self.assertEqual((process.returncode, stdout), (INTERRUPTED, ""), stderr)


class ImageNet(CommandTest):
    """wnids, and the flat validation set as it is handed out."""

    def test_wnids(self):
        folder = temporary_folder()
        model = folder / "vit_tiny_patch16_224.safetensors"
        self.lutra("random", "--arch", "vit_tiny_patch16_224", "-o", model)
        wnids = {"n01440764": 0, "n01443537": 1, "n15075141": 999}
        flat, folders = folder / "flat", folder / "folders"
        for i, wnid in enumerate(wnids):
            png(flat / f"ILSVRC2012_val_0000000{i + 1}.JPEG", 50 * i)  # what it is shows in its bytes
            png(folders / wnid / "a.png", 50 * i)
        by_index = folder / "index.txt"
        by_index.write_text("".join(f"ILSVRC2012_val_0000000{i + 1}.JPEG {c}\n" for i, c in enumerate(wnids.values())))
        expected = self.lutra_json("eval", model, "--images", flat, "--labels", by_index)["nll"]
        self.assertEqual(self.lutra_json("eval", model, "--images", folders)["nll"], expected)
        for text in ("".join(f"{wnid}\n" for wnid in wnids),
                     "".join(f"{wnid} name, other name\n" for wnid in wnids),
                     "".join(f"ILSVRC2012_val_0000000{i + 1} {wnid}\n" for i, wnid in enumerate(wnids)),
                     "ImageId,PredictionString\n" + "".join(f"ILSVRC2012_val_0000000{i + 1},{wnid} 1 2 3 4 \n"
                                                              for i, wnid in enumerate(wnids))):
            table = folder / "table"
            table.write_text(text)
            self.assertEqual(self.lutra_json("eval", model, "--images", flat, "--labels", table)["nll"], expected)


if __name__ == "__main__":
    main()
