# SPDX-License-Identifier: Apache-2.0
"""classify: what it accepts, what it prints, what it says about inputs that it cannot read."""
import json
import os
import pathlib
import shutil
import signal
import subprocess

from common import (CLASSES, COMMAND, HEADLESS, INTERRUPTED, LUTRA, MODEL, UNREADABLE, USAGE, CommandTest, main, png, temporary_folder)


class Classify(CommandTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = temporary_folder()
        cls.pictures = [png(cls.folder / "photos" / f"{name}.png", 40 * i) for i, name in enumerate("abc")]
        cls.empty = str(cls.folder / "empty.png")
        pathlib.Path(cls.empty).write_bytes(b"")
        cls.text = str(cls.folder / "text.jpg")
        pathlib.Path(cls.text).write_text("no picture")

    def names(self, *arguments, **options):
        return [element["file"] for element in self.lutra_json("classify", MODEL, *arguments, **options)]

    def test_json(self):
        result = self.lutra_json("classify", MODEL, *self.pictures, "--top", 3, "--threads", 1, "--mode", "f32")
        self.assertEqual([element["file"] for element in result], self.pictures)
        for element in result:
            self.assertEqual(len(element["predictions"]), 3)
            for prediction in element["predictions"]:
                self.assertEqual(prediction["name"], CLASSES[prediction["index"]])
            probabilities = [prediction["probability"] for prediction in element["predictions"]]
            self.assertEqual(probabilities, sorted(probabilities, reverse=True))
            self.assertEqual((element["threads"], element["mode"]), (1, "f32"))
            self.assertIn("isa", element)
            self.assertEqual(element["preprocessing"]["mean"], [0.41, 0.52, 0.47])
            self.assertEqual(element["preprocessing"]["crop_mode"], "squash")

    def test_probabilities_add_up(self):
        for element in self.lutra_json("classify", MODEL, self.pictures[0], "--top", 999):
            self.assertEqual(sorted(p["index"] for p in element["predictions"]), list(range(10)))
            self.assertAlmostEqual(sum(p["probability"] for p in element["predictions"]), 1, places=6)

    def test_together_or_alone(self):
        together = self.lutra_json("classify", MODEL, *self.pictures)
        alone = [self.lutra_json("classify", MODEL, picture)[0] for picture in self.pictures]
        self.assertEqual(together, alone)

    def test_text(self):
        lines = self.lutra("classify", MODEL, self.pictures[0], "--top", 2).stdout.splitlines()
        self.assertEqual(lines[0], self.pictures[0])
        self.assertRegex(lines[1], r"^ +\d+\.\d\d %  [a-z]+$")
        self.assertEqual(len(lines), 3)

    def test_standard_input(self):
        with open(self.pictures[1], "rb") as picture:
            piped = self.lutra("classify", MODEL, "-", "--json", stdin=picture).stdout
        self.assertIn('"file": "-"', piped)
        self.assertEqual(json.loads(piped)[0]["predictions"],
                         self.lutra_json("classify", MODEL, self.pictures[1])[0]["predictions"])
        with open(self.pictures[1], "rb") as picture:
            twice = self.lutra("classify", MODEL, "-", "-", status=UNREADABLE, stdin=picture)
        self.assertIn("only once", twice.stderr)

    def test_folders_and_lists(self):
        self.assertEqual(self.names(self.folder / "photos"), self.pictures)
        picture_list = self.folder / "list"
        picture_list.write_text(self.pictures[2] + "\r\n\n" + str(self.folder / "photos") + "\n" + self.pictures[0])
        self.assertEqual(self.names(f"@{picture_list}"), [self.pictures[2], *self.pictures, self.pictures[0]])
        self.assertEqual(self.names("@-", input="\n".join(self.pictures[:2])), self.pictures[:2])
        picture_list.write_text(self.pictures[1], encoding="utf-8-sig")  # with a byte order mark
        self.assertEqual(self.names(f"@{picture_list}"), self.pictures[1:2])

    def test_lists_parted_by_zeros_are_refused(self):
        """As find -print0 writes them: all behind the first would be left out."""
        picture_list = self.folder / "zeros"
        picture_list.write_bytes(b"".join(os.fsencode(picture) + b"\0" for picture in self.pictures))
        self.fails("classify", MODEL, f"@{picture_list}", says=f"zeros: byte {len(self.pictures[0])} is 0: not a text")

    def test_folders_are_searched_deeply_and_hidden_files_passed_over(self):
        deep = self.folder / "deep"
        expected = [png(deep / "a" / "b" / "1.PNG", 1), png(deep / "a" / "2.png", 2), png(deep / "z.png", 3)]
        png(deep / ".hidden.png", 4)
        (deep / "notes.txt").write_text("no picture")
        (deep / "a" / "loop").symlink_to(deep)
        self.assertEqual(self.names(deep), sorted(expected, key=lambda path: path.split("/")))

    def test_a_subfolder_that_cannot_be_read_hides_no_others(self):
        runner = self.bound_by_permissions()
        folder = self.folder / "partly"
        pictures = [png(folder / name / "1.png", 1) for name in "abc"]
        closed = (folder / "b", folder / "d")
        for path in closed:
            path.mkdir(exist_ok=True)
            path.chmod(0)
        try:
            result = self.lutra("classify", MODEL, folder, "--json", runner=runner, status=UNREADABLE)
            self.assertEqual([element["file"] for element in json.loads(result.stdout)], [pictures[0], pictures[2]])
            for path in closed:
                self.assertIn(f"{path}: cannot read the folder: Permission denied", result.stderr)
            self.fails("classify", MODEL, closed[0], runner=runner, says="cannot read the folder: Permission denied")
            self.fails("cluster", MODEL, "--calibrate", folder, "-o", self.folder / "out", runner=runner, says="Permission denied")
            self.assertFalse((self.folder / "out").exists())
        finally:
            for path in closed:
                path.chmod(0o700)

    def test_unreadable_among_others(self):
        result = self.lutra("classify", MODEL, self.pictures[0], self.empty, self.text, self.folder / "none.png",
                            self.pictures[1], status=UNREADABLE)
        self.assertEqual([line for line in result.stdout.splitlines() if line.endswith(".png")], self.pictures[:2])
        for name in ("empty.png", "text.jpg", "none.png"):
            self.assertIn(name, result.stderr)
        elements = self.lutra_json("classify", MODEL, self.empty, self.pictures[0], status=UNREADABLE)
        self.assertEqual([len(element["predictions"]) for element in elements], [0, 5])
        self.assertIn("empty.png", elements[0]["error"])
        self.assertNotIn("error", elements[1])

    def test_as_many_are_named_as_help_says(self):
        missing = [self.folder / f"none{i:02}.png" for i in range(25)]
        result = self.lutra("classify", MODEL, *missing, self.pictures[0], status=UNREADABLE)
        self.assertEqual([f"none{i:02}.png" in result.stderr for i in range(25)], 20 * [True] + 5 * [False])
        self.assertIn("only counted", result.stderr)
        self.assertIn("the first 20 of them are named", self.lutra("--help").stdout)

    def test_nothing_readable_is_a_failure(self):
        self.fails("classify", MODEL, self.empty, says="empty.png")
        self.fails("classify", MODEL, self.folder / "none.png", says="No such file")

    def test_folder_without_pictures(self):
        empty = self.folder / "no-pictures"
        empty.mkdir()
        self.fails("classify", MODEL, empty, says=[str(empty), "no pictures"])
        result = self.lutra("classify", MODEL, empty, self.pictures[0], status=UNREADABLE)
        self.assertIn("no pictures", result.stderr)

    def test_labels(self):
        labels = self.folder / "labels.tsv"
        labels.write_text("".join(f"{i}\tx\tname {i}\n" for i in range(10)))
        predictions = self.lutra_json("classify", MODEL, self.pictures[0], "--labels", labels)[0]["predictions"]
        self.assertTrue(all(p["name"] == f"name {p['index']}" for p in predictions))
        labels.write_text("only\nthree\nnames\n")
        self.fails("classify", MODEL, self.pictures[0], "--labels", labels, says="labels.tsv")

    def test_preprocessing_options(self):
        element = self.lutra_json("classify", MODEL, self.pictures[0], "--crop-pct", 0.5, "--image-size", 32,
                                  "--no-exif")[0]["preprocessing"]
        self.assertEqual((element["crop_pct"], element["height"], element["width"], element["exif"]),
                         (0.5, 32, 32, False))

    def test_model_without_a_head(self):
        self.fails("classify", HEADLESS, self.pictures[0], says="embed")

    def test_names_with_control_characters_do_not_reach_the_terminal(self):
        strange = png(self.folder / "a\033[31mb.png", 5)
        result = self.lutra("classify", MODEL, strange)
        self.assertNotIn("\033", result.stdout)
        self.assertEqual(self.names(strange), [strange])

    def test_names_that_are_not_utf8(self):
        strange = os.fsencode(self.folder) + b"/\xff.png"
        shutil.copy(self.pictures[0], strange)
        result = self.lutra_json("classify", MODEL, self.folder / os.fsdecode(b"\xff.png"))
        self.assertTrue(result[0]["file"].endswith("/\ufffd.png"))

    def test_cpus(self):
        cpus = sorted(os.sched_getaffinity(0))
        both = f"{cpus[0]},{cpus[-1]}"
        for options, threads in ((["--cpus", cpus[-1]], 1), (["--cpus", both], len({cpus[0], cpus[-1]})),
                                 (["--cpus", both, "--threads", 3], 3)):
            self.assertEqual(self.lutra_json("classify", MODEL, self.pictures[0], *map(str, options))[0]["threads"], threads)
        self.fails("classify", MODEL, self.pictures[0], "--cpus", "1023", status=USAGE, says=["--cpus", "CPU 1023"])

    def test_unknown_level(self):
        self.fails("classify", MODEL, self.pictures[0], says="reference",
                   env={**os.environ, "LUTRA_ISA": "mmx"})
        element = self.lutra_json("classify", MODEL, self.pictures[0], env={**os.environ, "LUTRA_ISA": "reference"})
        self.assertEqual(element[0]["isa"], "reference")


class Interrupted(CommandTest):
    """Ctrl-C while a list, or a picture, is read that does not end, by every command that takes one."""

    def setUp(self):
        self.folder = temporary_folder()

    def start(self, *arguments):
        process = subprocess.Popen([*COMMAND, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        return process

    def ends(self, process):
        stdout, stderr = process.communicate(timeout=60)
        self.assertEqual((process.returncode, stdout), (INTERRUPTED, ""), stderr)
        self.assertEqual([line for line in stderr.splitlines() if "(auto)" not in line], ["lutra: interrupted"])

    def test_fifo(self):
        for name, arguments in (("classify", [MODEL]), ("embed", [MODEL, "-o", self.folder / "out"]),
                                ("compare", [MODEL, MODEL, "--images"]), ("cluster", [MODEL, "-o", self.folder / "out", "--calibrate"])):
            with self.subTest(name):
                fifo = self.folder / name
                os.mkfifo(fifo)
                process = self.start(name, *arguments, f"@{fifo}")
                # Opened when the command opens it too, which minds Ctrl-C by then. It may come before the first read: the list
                # ends then, and is not gone on with either.
                with open(fifo, "w", encoding="utf-8"):
                    process.send_signal(signal.SIGINT)
                self.ends(process)

    def test_fifo_that_nobody_writes_to(self):
        os.mkfifo(self.folder / "fifo")
        # What is wrong with the first list is said before the second one is opened.
        process = self.start("classify", MODEL, f"@{self.folder / 'none'}", f"@{self.folder / 'fifo'}")
        self.assertIn("none", process.stderr.readline())
        process.send_signal(signal.SIGINT)
        self.ends(process)

    def test_standard_input(self):
        for name, options in (("classify", []), ("embed", ["-o", self.folder / "out"])):
            for signal_number in (signal.SIGINT, signal.SIGTERM):
                with self.subTest(name, signal=signal_number):
                    process = self.start(name, MODEL, "-", "--threads", "2", *options)
                    self.assertIn("(auto)", process.stderr.readline())  # the model is open
                    process.send_signal(signal_number)
                    self.assertEqual(process.wait(timeout=60), INTERRUPTED)  # its input stays open
                    self.ends(process)


class WithoutModel(CommandTest):
    """The embedded model is looked for where the documentation says."""

    def setUp(self):
        self.folder = temporary_folder()
        self.picture = png(self.folder / "a.png", 9)

    def environment(self, data):
        return {**os.environ, "LUTRA_DATA_DIR": str(data)}

    def test_embedded_model(self):
        shutil.copytree(MODEL, self.folder / "data" / "embedded")
        result = self.lutra("classify", self.picture, env=self.environment(self.folder / "data"))
        self.assertIn("embedded", result.stderr)
        self.assertIn(str(self.folder / "data" / "embedded"), result.stderr)
        self.assertEqual(result.stdout, self.lutra("classify", MODEL, self.picture).stdout)

    def test_missing_data(self):
        self.fails("classify", self.picture, says=["embedded", str(self.folder / "nowhere"), "LUTRA_DATA_DIR"],
                   env=self.environment(self.folder / "nowhere"))

    def test_a_build_folder_in_the_source_tree(self):
        """A copy of the program as it lies in SOURCE/build/tools finds SOURCE/data."""
        tools = self.folder / "source" / "build" / "tools"
        tools.mkdir(parents=True)
        (tools.parent / "build.ninja").touch()
        shutil.copytree(MODEL, self.folder / "source" / "data" / "embedded")
        program = tools / "lutra"
        shutil.copy(LUTRA, program)
        environment = {key: value for key, value in os.environ.items() if key != "LUTRA_DATA_DIR"}
        environment["LD_LIBRARY_PATH"] = os.environ["LUTRA_BUILD_ROOT"]
        result = subprocess.run([program, "classify", self.picture], capture_output=True, text=True, env=environment)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("data/embedded", result.stderr)


def without_description(path):
    """Takes the metadata out of a safetensors file, as if timm had written it."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    del header["__metadata__"]
    path.write_bytes(data[:8] + json.dumps(header, separators=(",", ":")).encode().ljust(size) + data[8 + size:])


class ImageNet(CommandTest):
    def test_names_of_imagenet(self):
        folder = temporary_folder()
        model = folder / "vit_tiny_patch16_224-random.safetensors"
        self.lutra("random", "--arch", "vit_tiny_patch16_224", "-o", model)
        without_description(model)
        picture = png(folder / "a.png", 77)
        result = self.lutra("classify", model, picture, "--json")
        self.assertIn("ImageNet", result.stderr)
        self.assertIn("by its file name", result.stderr)
        table = dict(line.split("\t")[::2] for line in
                     (pathlib.Path(os.environ["LUTRA_DATA_DIR"]) / "labels/imagenet1k.tsv").read_text().splitlines())
        self.assertEqual(len(table), 1001)  # with its heading
        for prediction in json.loads(result.stdout)[0]["predictions"]:
            self.assertEqual(prediction["name"], table[str(prediction["index"])])


if __name__ == "__main__":
    main()
