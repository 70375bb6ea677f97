# SPDX-License-Identifier: Apache-2.0
"""Outputs that would take the place of what is read, or of what the same command writes, are refused before the work."""
import os
import pathlib
import shutil

from common import HAS_REPORT, MODEL, SOURCE, CommandTest, main, png, temporary_folder

SHARDED = SOURCE / "tests/golden/models/hf-vit-sharded"


def files_in(folder):
    return {path: path.read_bytes() for path in sorted(pathlib.Path(folder).rglob("*")) if path.is_file()}


class Outputs(CommandTest):
    def setUp(self):
        self.folder = temporary_folder()
        self.model = self.folder / "model"
        shutil.copytree(MODEL, self.model)
        self.picture = png(self.folder / "pictures/picture.png", 1)

    def refuses(self, *arguments, says, **options):
        """Must fail with what it `says` and change no file."""
        before = files_in(self.folder)
        self.fails(*arguments, says=says, **options)
        self.assertEqual(files_in(self.folder), before)

    def test_files_of_a_model_in_a_folder(self):
        shutil.copytree(SHARDED, self.folder / "shards")
        for path in (self.model / "model.safetensors", *(self.folder / "shards").glob("model-*.safetensors")):
            with self.subTest(path.name):
                self.refuses("cluster", path.parent, "-o", path, says=[str(path), "is a file of the input"])
                self.refuses("export", path.parent, "-o", path, says=[str(path), "is a file of the input"])
        for path in (self.model / "config.json", self.folder / "shards/model.safetensors.index.json"):
            with self.subTest(path.name):
                self.refuses("cluster", path.parent, "-o", path, says=[str(path), "is a file of the input"])
                self.refuses("cluster", path.parent, "-o", self.folder / "new", "--report", path, says=str(path))
        self.lutra("cluster", self.model, "-o", self.model / "small.safetensors")

    def test_the_temporary_of_a_killed_writer(self):
        """Which the next writer uses again, unless it is what is read."""
        new, left = self.model / "new", self.model / ".new.lutra-tmp"
        shutil.copy(self.model / "model.safetensors", left)
        for command in ("cluster", "export"):
            self.refuses(command, left, "-o", new, says=[str(new), "its temporary file is a file of the input"])

    def test_a_report_in_the_place_of_the_new_model(self):
        os.symlink(self.folder, self.folder / "link")
        for output, report in (("new", "new"), ("new", "./new"), ("new", "link/new"), ("new.safetensors", "new.safetensors")):
            with self.subTest(report):
                self.refuses("cluster", MODEL, "-o", output, "--report", report, says=report, cwd=self.folder)

    def test_documents_in_the_place_of_a_model(self):
        model = self.model / "model.safetensors"
        for output in (model, shutil.copy(model, self.folder / "without-ending")):
            with self.subTest(output):
                self.refuses("cluster", self.model, "-o", self.folder / "small", "--report", output, says="model")
                self.refuses("embed", self.model, self.picture, "-o", output, says="model")
                self.refuses("study", "--quick", "-o", output, says="model")
                self.refuses("profile", self.model, "--on", "pi5", "--html", output,
                             says="model" if HAS_REPORT else "built without Node.js")

    def test_a_picture_that_is_read(self):
        for pictures in (self.picture, self.folder / "pictures"):
            self.refuses("embed", MODEL, pictures, "-o", self.picture, says=["picture.png", "is an input"])

    def test_pictures_that_are_calibrated_on(self):
        pictures = [png(self.folder / f"many/{i:02}.png", 10 * i) for i in range(20)]
        arguments = ["cluster", MODEL, "--calibrate", self.folder / "many", "--calibrate-count", 16]
        for picture in pictures:  # those that are left out of the 16 too
            self.refuses(*arguments, "-o", picture, says=[picture, "is an input"])
        self.refuses(*arguments, "-o", self.folder / "new", "--report", pictures[3], says=[pictures[3], "is an input"])

    def test_descriptions_of_devices_that_are_read(self):
        cache = self.folder / "cache"
        shutil.copytree(SOURCE / "data/devices", self.folder / "data/devices")
        (cache / "lutra").mkdir(parents=True)
        own = shutil.copy(SOURCE / "data/devices/pi4.json", cache / "lutra/device.json")
        environment = {**os.environ, "LUTRA_DATA_DIR": str(self.folder / "data"), "XDG_CACHE_HOME": str(cache)}
        for path in (own, self.folder / "data/devices/pi5.json", self.folder / "data/devices/server-zen5.json"):
            for on in ([], ["--on", "this"], ["--on", "pi5"]) if HAS_REPORT else []:
                self.refuses("profile", self.model, *on, "--html", path, says=[str(path), "is an input"], env=environment)
            self.refuses("study", "--quick", "-o", path, says=[str(path), "is an input"], env=environment)

    def test_lists_and_labels_that_are_read(self):
        pictures, labels = self.folder / "list.txt", self.folder / "labels.txt"
        pictures.write_text(f"{self.picture}\n" * 20)
        labels.write_text("\n".join("abcdefghij") + "\n")
        new = self.folder / "new"
        for option, path in ((["--calibrate", f"@{pictures}"], pictures), (["--labels", labels], labels)):
            self.refuses("cluster", MODEL, *option, "-o", path, says=[str(path), "is an input"])
            self.refuses("cluster", MODEL, *option, "-o", new, "--report", path, says=[str(path), "is an input"])
        self.refuses("embed", MODEL, f"@{pictures}", "-o", pictures, says=[str(pictures), "is an input"])

    def test_places_where_nothing_can_be_written(self):
        nowhere = self.folder / "none" / "out"
        self.refuses("embed", MODEL, self.picture, "-o", nowhere, says="No such file")
        self.refuses("embed", MODEL, self.picture, "-o", "-", says="standard output")
        self.refuses("cluster", MODEL, "-o", self.folder / "small", "--report", nowhere, says="No such file")
        self.refuses("cluster", MODEL, "-o", self.folder / "small", "--report", "-", says="standard output")
        self.refuses("cluster", MODEL, "-o", "", says="folder")

    def test_an_unknown_level_of_kernels(self):
        environment = {**os.environ, "LUTRA_ISA": "mmx"}
        for command in (["cluster", MODEL], ["export", MODEL], ["random", "--arch", "deit_tiny_patch16_224"]):
            self.refuses(*command, "-o", self.folder / "new", "--json", says="mmx", env=environment)


if __name__ == "__main__":
    main()
