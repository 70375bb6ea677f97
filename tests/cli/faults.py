# SPDX-License-Identifier: Apache-2.0
"""Each call of the operating system that a subcommand makes fails in turn (tests/faults): it ends with a documented status and
a message, or gets along without and prints the very same; its output file is the old one or the new one, with nothing beside it.

Of the allocations, which are thousands, some are tried, evenly; LUTRA_FAULT_STRIDE=1 tries all."""
import errno
import json
import os
import pathlib
import re
import resource
import subprocess
import unittest

from common import (CLASSES, COMMAND, DONE, FAILED, INTERRUPTED, LUTRA, MODEL, SANITIZED, SOURCE, UNREADABLE, CommandTest, file_limit, main, png,
                    temporary_folder)

PRELOAD = pathlib.Path(os.environ["LUTRA_BUILD_ROOT"]) / "tests/faults/liblutra-faults.so"
STRIDE = int(os.environ.get("LUTRA_FAULT_STRIDE", "0"))
N_ALLOCATIONS = 24  # tried per command, alone and with all that follow
ALL = 2**63
# Kind, error (0: a part is done), and whether memory is what is short.
CALLS = [("open", errno.EMFILE), ("open", errno.EACCES), ("read", errno.EIO), ("read", 0), ("write", errno.ENOSPC), ("write", 0),
         ("sync", errno.EIO), ("rename", errno.EACCES), ("map", errno.ENOMEM), ("thread", errno.EAGAIN), ("lock", errno.ENOLCK),
         ("examine", errno.EIO)]


def shape(value):
    """What stays the same of JSON with times in it: the names, and which of them have a value."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return None


def same(text):
    return text


def same_names(text):
    return shape(json.loads(text))


def same_bytes(file):
    return file


def same_names_of(file):
    return shape(json.loads(file)) if file.startswith(b"{") else file


@unittest.skipIf(SANITIZED or len(COMMAND) > 1 or not PRELOAD.exists(), "faults are loaded before other libraries, natively")
class Faults(CommandTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = temporary_folder()
        cls.small = str(cls.folder / "small.safetensors")
        subprocess.run([LUTRA, "cluster", MODEL, "-o", cls.small, "-k", "5", "--quiet"], check=True, stdout=subprocess.DEVNULL)
        images = cls.folder / "images"
        for i in range(3):
            png(images / f"{i}.png", 40 * i)
        (images / "photo.jpg").write_bytes((SOURCE / "tests/golden/images/exif_6.jpg").read_bytes())
        (images / "drawing.webp").write_bytes((SOURCE / "tests/golden/images/lossy.webp").read_bytes())
        labels = cls.folder / "labels.tsv"
        labels.write_text("file\tclass_index\n" + "".join(f"{path.name}\t{i}\n" for i, path in enumerate(sorted(images.iterdir()))))
        names = cls.folder / "names.txt"
        names.write_text("".join(f"{name}\n" for name in CLASSES))
        cls.images, cls.labels, cls.names = str(images), str(labels), str(names)
        cls.n_faults = 0

    @classmethod
    def tearDownClass(cls):
        print(f"# {cls.n_faults} faults")

    def setUp(self):
        self.outputs = temporary_folder()
        self.output = self.outputs / "out"
        self.comparable_file = same_bytes

    def run_once(self, arguments, fault=None):
        """Whether the fault was hit, and the completed process."""
        self.output.write_bytes(b"old")
        environment = dict(os.environ, XDG_CACHE_HOME=str(self.outputs / "none"))
        come, go = os.pipe()
        if fault:
            environment.update(LD_PRELOAD=str(PRELOAD), LUTRA_FAULT=fault, LUTRA_FAULT_REPORT=str(go))
        result = subprocess.run([LUTRA, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                                env=environment, pass_fds=[go])
        os.close(go)
        hit = os.read(come, 1) != b""
        os.close(come)
        return hit, result

    def check(self, arguments, fault, result, expected, comparable):
        what = f"{fault}: lutra {' '.join(map(str, arguments))}\n{result.stdout[:200]}\n{result.stderr}"
        self.assertIn(result.returncode, (DONE, FAILED, UNREADABLE), what)
        if result.returncode == DONE:
            self.assertTrue(comparable(result.stdout) == comparable(expected.stdout), what)
        else:
            self.assertTrue(result.stderr.strip(), what)
            self.assertRegex(result.stderr.splitlines()[-1], r"^(lutra: .|virtual memory exhausted)", what)
        new = self.output.read_bytes()
        if result.returncode == UNREADABLE:  # as good as can be without them: embed has rows of NaN
            self.assertEqual(new[:6], self.made[:6], what)
            return
        allowed = [self.made] if result.returncode == DONE else [b"old"]
        # The folder is synced, and a line about the file printed, when it is in place.
        if result.returncode != DONE and fault.split()[0] in ("sync", "allocate"):
            allowed.append(self.made)
        self.assertIn(self.comparable_file(new), list(map(self.comparable_file, allowed)), what)
        left = set(os.listdir(self.outputs)) - {"out"}
        if fault.split()[0] in ("lock", "examine"):  # it may be another writer's
            left -= {".out.lutra-tmp"}
        self.assertEqual(left, set(), what)
        for name in os.listdir(self.outputs):
            if name != "out":
                (self.outputs / name).unlink()

    def try_fault(self, arguments, fault, expected, comparable):
        hit, result = self.run_once(arguments, fault)
        if hit:
            type(self).n_faults += 1
        self.check(arguments, fault, result, expected, comparable)
        return hit

    def count_allocations(self, arguments):
        """By halving: how many there are until the fault is not hit any more."""
        low, high = 0, 64
        while self.run_once(arguments, f"allocate {high} 1 {errno.ENOMEM}")[0]:
            low, high = high, 4 * high
        while high - low > max(1, low // 16):
            middle = (low + high) // 2
            if self.run_once(arguments, f"allocate {middle} 1 {errno.ENOMEM}")[0]:
                low = middle
            else:
                high = middle
        return high

    def try_all(self, *arguments, comparable=same):
        arguments = [str(argument).replace("OUT", str(self.output)) for argument in arguments]
        _, expected = self.run_once(arguments)
        self.assertEqual(expected.returncode, DONE, expected.stderr)
        self.made = self.output.read_bytes()
        n = self.count_allocations(arguments)
        stride = STRIDE or max(1, n // N_ALLOCATIONS)
        for first in range(0, n, stride):
            self.try_fault(arguments, f"allocate {first} 1 {errno.ENOMEM}", expected, comparable)
        for first in range(stride // 2, n, 2 * stride):
            self.try_fault(arguments, f"allocate {first} {ALL} {errno.ENOMEM}", expected, comparable)
        for kind, number in CALLS:
            # Beyond a hundred, a write is like those before it.
            for first in range(10000 if STRIDE else 100):
                if not self.try_fault(arguments, f"{kind} {first} {1 + first % 2 * ALL} {number}", expected, comparable):
                    break

    def test_cluster(self):
        self.try_all("cluster", MODEL, "-o", "OUT", "-k", 5, "--labels", self.names, "--quiet", "--json", "--threads", 2,
                     comparable=same_names)

    @unittest.skipUnless(STRIDE, "takes minutes: LUTRA_FAULT_STRIDE asks for it")
    def test_cluster_report(self):
        other = self.folder / "clustered"
        self.comparable_file = same_names_of  # it says how long it took
        pictures = self.folder / "pictures"
        for i in range(16):
            png(pictures / f"{i}.png", 10 * i)
        self.try_all("cluster", MODEL, "-o", other, "--report", "OUT", "-k", 3, "--calibrate", pictures, "--calibrate-count", 16,
                     "--quiet", "--threads", 1, "--errors", comparable=lambda text: None)

    def test_export(self):
        self.try_all("export", self.small, "-o", "OUT", "--quiet", "--json", comparable=same_names)

    def test_embed(self):
        self.try_all("embed", MODEL, self.images, "-o", "OUT", "--quiet", "--json", "--threads", 1, comparable=same_names)

    @unittest.skipUnless(STRIDE, "takes minutes: LUTRA_FAULT_STRIDE asks for it")
    def test_random(self):
        self.try_all("random", "--arch", "vit_tiny_patch16_224", "-o", "OUT", "--quiet", "--json", comparable=same_names)

    def test_classify(self):
        self.try_all("classify", self.small, self.images, "--json", "--quiet", "--threads", 2)

    def test_classify_text(self):
        self.try_all("classify", self.small, f"{self.images}/0.png", f"{self.images}/photo.jpg", "--labels", self.names, "--quiet")

    def test_eval(self):
        self.try_all("eval", self.small, "--images", self.images, "--labels", self.labels, "--against", MODEL, "--json", "--quiet",
                     "--threads", 1, comparable=same_names)

    def test_compare(self):
        self.try_all("compare", self.small, MODEL, "--images", self.images, "--json", "--quiet", "--threads", 1)

    def test_inspect(self):
        # How many threads are useful is guessed where the system does not say.
        self.try_all("inspect", self.small, "--json", "--plan", "--verify",
                     comparable=lambda text: re.sub(r'"threads": \d+', "", text))

    def test_inspect_folder(self):
        self.try_all("inspect", SOURCE / "tests/golden/models/hf-vit-sharded")

    def test_bench(self):
        self.try_all("bench", self.small, "--repeat", 1, "--threads", 1, "--json", "--quiet", comparable=same_names)

    def test_profile(self):
        self.try_all("profile", self.small, "--on", "pi5", "--json", "--quiet")

    def test_help(self):
        self.try_all("help", "cluster")


class Limits(CommandTest):
    """Without a library in between: what the system itself refuses."""

    def setUp(self):
        self.folder = temporary_folder()
        self.out = self.folder / "out.safetensors"
        self.out.write_bytes(b"old")

    def test_out_of_descriptors(self):
        """From 3, where even the program's libraries cannot be opened, up to enough."""
        statuses = set()
        for n in range(3, 12):
            result = subprocess.run([*COMMAND, "cluster", MODEL, "-o", self.out, "-k", "3", "--quiet"], stdin=subprocess.DEVNULL,
                                    capture_output=True, text=True,
                                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (n, n)))
            statuses.add(result.returncode)
            if result.returncode == DONE:
                break
            self.assertIn(result.returncode, (FAILED, 127), result.stderr)  # 127: of the dynamic linker
            self.assertEqual(self.out.read_bytes(), b"old")
            self.assertEqual(os.listdir(self.folder), ["out.safetensors"])
        self.assertIn(DONE, statuses)
        self.assertIn(FAILED, statuses)

    def test_read_only_folder(self):
        runner = self.bound_by_permissions()
        self.folder.chmod(0o500)
        try:
            for command in ("cluster", "export"):
                self.fails(command, MODEL, "-o", self.out, "--quiet", runner=runner, says=["out.safetensors", "Permission denied"])
            self.assertEqual(self.out.read_bytes(), b"old")
            self.assertEqual(os.listdir(self.folder), ["out.safetensors"])
        finally:
            self.folder.chmod(0o700)

    def test_standard_output_on_a_full_disk(self):
        """However much found room before."""
        for arguments in (["inspect", MODEL, "--json"], ["help", "cluster"], ["classify", "--help"], ["inspect", MODEL, "--plan"]):
            whole = self.lutra(*arguments).stdout.encode()
            for size in (0, 1, len(whole) // 2, len(whole) - 1):
                with self.subTest(arguments=arguments, size=size), open(self.folder / "text", "wb") as output:
                    result = subprocess.run([*COMMAND, *arguments], stdout=output, stderr=subprocess.PIPE, text=True,
                                            preexec_fn=file_limit(size))
                    self.assertEqual(result.returncode, FAILED, result.stderr)
                    self.assertIn("standard output", result.stderr)


if __name__ == "__main__":
    main()
