# SPDX-License-Identifier: Apache-2.0
"""Help, man page and completions name every command and option; mistakes on the command line are explained."""
import os
import pty
import re
import shutil
import subprocess
import unittest

from common import LUTRA, SOURCE, USAGE, CommandTest, main, temporary_folder

COMMANDS = re.findall(r"^COMMAND\((\w+)\)", (SOURCE / "tools/commands.inc").read_text(), re.MULTILINE)
OPTIONS = set(re.findall(r'^OPTION\(\w+, "([\w-]+)"', (SOURCE / "tools/options.inc").read_text(), re.MULTILINE))


def on_terminal(arguments, **environment):
    """What the command prints on a terminal."""
    main_end, other_end = pty.openpty()
    process = subprocess.Popen([LUTRA, *arguments], stdout=other_end, stdin=subprocess.DEVNULL,
                               env={**os.environ, "TERM": "xterm", **environment})
    os.close(other_end)
    text = b""
    while True:
        try:
            part = os.read(main_end, 65536)
        except OSError:  # the terminal is gone: the process has ended
            break
        if not part:
            break
        text += part
    os.close(main_end)
    assert process.wait(timeout=60) == 0
    return text.decode()


class Help(CommandTest):
    def test_lists(self):
        self.assertEqual(set(COMMANDS),
                         {"cluster", "classify", "eval", "compare", "bench", "profile", "device", "study", "inspect", "export", "embed",
                          "random",
                          "help"})

    def test_help_names_every_command_and_exit_status(self):
        text = self.lutra("--help").stdout
        for command in COMMANDS:
            self.assertRegex(text, rf"(?m)^  {command} ")
        for status in ("0", "1", "2", "3", "130"):
            self.assertRegex(text, rf"(?m)^  {status} ")
        self.assertEqual(text, self.lutra("help").stdout)
        self.assertEqual(text, self.lutra("-h").stdout)

    def test_help_of_each_command_teaches(self):
        seen = set()
        for command in COMMANDS:
            text = self.lutra("help", command).stdout
            self.assertEqual(text, self.lutra(command, "--help").stdout)
            self.assertIn(f"lutra {command}", text)
            self.assertIn("Examples", text)
            self.assertLessEqual(max(map(len, text.splitlines())), 110)
            seen.update(re.findall(r"--([\w-]+)", text.split("\nOptions\n")[1].split("\nExamples\n")[0]))
        self.assertLessEqual(OPTIONS, seen)

    def test_version(self):
        self.assertRegex(self.lutra("--version").stdout, r"^lutra \d+\.\d+\.\d+\n$")

    def test_architectures(self):
        names = self.lutra("help", "architectures").stdout.split()
        for name in ("deit_tiny_patch16_224", "vit_large_patch16_384", "vit_small_patch14_reg4_dinov2"):
            self.assertIn(name, names)

    def test_man_page(self):
        text = self.lutra("__man").stdout
        for command in COMMANDS:
            self.assertIn(f'.SS "lutra {command}', text)
        for option in OPTIONS:
            self.assertIn("\\-\\-" + option.replace("-", "\\-"), text)
        self.assertIn(".SH EXIT STATUS", text)
        self.assertIn("interrupted", text)
        if shutil.which("groff"):
            checked = subprocess.run(["groff", "-man", "-Tascii", "-ww"], input=text, text=True, capture_output=True)
            self.assertEqual((checked.returncode, checked.stderr), (0, ""))

    def options_of(self, command):
        """As its help lists them."""
        listed = self.lutra("help", command).stdout.split("\nOptions\n")[1].split("\nExamples\n")[0]
        return set(re.findall(r"(?m)^  (?:-\w,|   ) --([\w-]+)", listed))

    @staticmethod
    def completed(shell, text, command):
        """The options that the completions offer for a command."""
        if shell == "bash":
            return set(re.search(rf'(?m)^    {command}\)\n        options="([^"]*)"', text)[1].replace("--", "").split())
        if shell == "zsh":
            part = re.search(rf"(?ms)^    {command}\)\n(.*?) ;;$", text)[1]
            return set(re.findall(r"(?m)^            (?:\{-\w,|')--([\w-]+)[\[}]", part))
        return set(re.findall(rf"(?m)^complete -c lutra -n '__fish_seen_subcommand_from {command}' -l ([\w-]+) ", text))

    def test_completions(self):
        for shell in ("bash", "zsh", "fish"):
            text = self.lutra("__complete", shell).stdout
            for name in COMMANDS + ["deit_tiny_patch16_224"]:
                self.assertRegex(text, rf"\b{name}\b")
            for command in COMMANDS:
                self.assertEqual(self.completed(shell, text, command), self.options_of(command), (shell, command))
            if shutil.which(shell):
                subprocess.run([shell, "-n"], input=text, text=True, check=True)

    @unittest.skipUnless(shutil.which("bash"), "no bash")
    def test_bash_completes(self):
        folder = temporary_folder()
        (folder / "my photos").mkdir()
        (folder / "my photo.jpg").write_text("")

        def complete(*words):
            script = (self.lutra("__complete", "bash").stdout + "compopt() { :; }\nCOMP_WORDS=(lutra " +
                      " ".join(f"'{word}'" for word in words) + f")\nCOMP_CWORD={len(words)}\n_lutra\n" +
                      'printf "%s\\n" "${COMPREPLY[@]}"\n')
            return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, cwd=folder).stdout.splitlines()

        self.assertEqual(complete("cl"), ["cluster", "classify"])
        self.assertEqual(complete("cluster", "--scope", ""), ["row", "tensor", "model"])
        self.assertEqual(complete("cluster", "--clus"), ["--clusters"])
        self.assertIn("deit_tiny_patch16_224", complete("random", "--arch", "deit_t"))
        self.assertEqual(complete("help", "arch"), ["architectures"])
        self.assertEqual(sorted(complete("classify", "my")), ["my photo.jpg", "my photos"])
        self.assertEqual(complete("classify", "--labels", "my photo."), ["my photo.jpg"])
        self.assertEqual(complete("eval", "--images", "my"), ["my photos"])
        self.assertEqual(complete("cluster", "--clusters", ""), [""])

    def test_bold_on_a_terminal_unless_no_color(self):
        self.assertIn("\033[1m", on_terminal(["--help"]))
        self.assertNotIn("\033", on_terminal(["--help"], NO_COLOR="1"))
        self.assertNotIn("\033", on_terminal(["--help"], TERM="dumb"))
        self.assertNotIn("\033", self.lutra("--help").stdout)


class Readme(CommandTest):
    def test_names_the_packages_that_are_installed_to_build(self):
        named = re.search(r"(?m)^    apt-get install (.*)$", (SOURCE / "README.md").read_text(encoding="utf-8"))[1]
        installed = re.search(r'(?m)^build="([^"]*)"', (SOURCE / "scripts/install-packages").read_text(encoding="utf-8"))[1]
        self.assertEqual(named.split(), installed.split())


class Mistakes(CommandTest):
    def wrong(self, *arguments, says):
        self.fails(*arguments, status=USAGE, says=says)

    def test_commands(self):
        self.wrong(says="no command")
        self.wrong("clutser", says=["'clutser'", "cluster"])
        self.wrong("--jsno", says="'--jsno'")
        self.wrong("help", "classfy", says=["'classfy'", "classify"])

    def test_options(self):
        self.wrong("cluster", "a", "-o", "b", "--cluster", "4", says=["--cluster", "did you mean --clusters"])
        self.wrong("cluster", "a", "-o", "b", "--clusters", says="needs a value")
        self.wrong("eval", "a", "--stream", says="--stream")

    def test_options_behind_inputs_whatever_the_environment(self):
        for name in ("POSIXLY_CORRECT", "POSIX_ME_HARDER"):
            self.fails("cluster", "a", "-o", "b", "--clusters", "1", status=USAGE, says="2 to 256", env={**os.environ, name: "1"})

    def test_cpus_say_what_is_kept_to(self):
        """Threads of contexts have a CPU each; those that cluster share all of them."""
        for command, says in (("classify", "kept on one of them"), ("cluster", "move about among them")):
            text = " ".join(self.lutra("help", command).stdout.split())
            self.assertIn(says, text)

    def test_values(self):
        for value in ("1", "257", "0", "-1", "64x", "", "1e2", "99999999999999999999999"):
            self.wrong("cluster", "a", "-o", "b", "--clusters", value, says=["--clusters", "2 to 256", f"'{value}'"])
        self.wrong("cluster", "a", "-o", "b", "--scope", "col", says=["row|tensor|model", "'col'"])
        self.wrong("cluster", "a", "-o", "b", "--scope", "", says="row|tensor|model")
        self.wrong("cluster", "a", "-o", "b", "--scope", "ro", says="row|tensor|model")
        for value in ("0", "65", "10000", "-1", ""):
            self.wrong("classify", "a", "--threads", value, says=["--threads", "1 to 64", f"'{value}'"])
        for value in ("0", "1025", "-1"):
            self.wrong("eval", "a", "--batch", value, says=["--batch", "1 to 1024", f"'{value}'"])
        for value in ("", "a", "-1", "1-", "3-1", "0,", ",0", "0-1-2", "1024", "0-64", "0 1", "99999999999999999999999"):
            self.wrong("classify", "a", "--cpus", value, says=["--cpus", "as in 0-3,6", f"'{value}'"])
        for value in ("9223372036854775808", "18446744073709551616", "-1"):
            self.wrong("random", "-o", "b", "--seed", value, says=["--seed", "0 to 9223372036854775807", f"'{value}'"])
        self.wrong("classify", "a", "--top", "0", says="--top")
        self.wrong("classify", "a", "--mode", "f23", says=["--mode", "f32"])
        for value in ("0", "1.5", "-1", "nan", "half"):
            self.wrong("classify", "a", "--crop-pct", value, says=["--crop-pct", f"'{value}'"])
        self.wrong("export", "a", "-o", "b", "--dtype", "i8", says="f32|f16|bf16")
        for value in ("f32|bf16", "f32|", "|f32", "|", "auto|f32|bf16|int8"):
            self.wrong("classify", "a", "--mode", value, says=["--mode", f"'{value}'"])
        for part in ("0" * 63 + "4", "0" * 64 + "4"):  # the first 63 characters alone are no whole number from 1
            self.wrong("bench", "a", "--threads", f"1,{part}", says=["--threads", f"'{part}' is too long"])
        self.wrong("bench", "a", "--batch", "0" * 60 + "16" + "00", says=["--batch", "too long"])  # 160, cut after 63 characters

    def test_values_that_popt_would_expand(self):
        """With the next argument, which then would be missing."""
        for arguments in (["-o", "q!#:+.npy"], ["-oq!#:+.npy"], ["--output=q!#:+.npy"], ["--output", "!#:+"]):
            self.wrong("embed", *arguments, "zzz", "a.png", says=["!#:+", arguments[-1]])
        self.fails("inspect", "q!#:+.safetensors", says="q!#:+.safetensors: ")  # no value

    def test_unknown_architecture(self):
        self.wrong("random", "-o", "b", "--arch", "deit_tinny_patch16_224",
                   says=["'deit_tinny_patch16_224'", "did you mean deit_tiny_patch16_224", "lutra help architectures"])
        self.wrong("cluster", "a", "-o", "b", "--arch", "resnet50", says="'resnet50'")

    def test_options_that_would_be_of_no_use(self):
        self.wrong("eval", "a", "--images", "b", "--against-mode", "int8", says="--against-mode needs --against")
        self.wrong("cluster", "a", "-o", "b", "--calibrate-count", 16, says="--calibrate-count needs --calibrate")
        self.wrong("bench", "a", "--seed", 0, says="--seed is of random weights; a has its own")
        self.wrong("profile", "a", "--seed", 0, says="--seed is of random weights; a has its own")
        self.wrong("profile", "a", "--power-meter", "b", "--no-energy", says=["--power-meter", "--no-energy", "give one"])
        for action in ("measure", "show"):
            self.wrong("device", action, "--power-meter", "a", says="--power-meter goes with 'device check'")
        self.wrong("classify", "a", "--draw", "--json", says=["--draw", "--json", "give one"])
        self.wrong("classify", "--draw", "--stream", says=["--draw", "--stream", "give one"])
        self.wrong("help", "cluster", "classify", says="'classify' is one too many")

    def test_what_is_missing(self):
        self.wrong("cluster", "a", says="-o FILE")
        self.wrong("cluster", "-o", "b", says="MODEL")
        self.wrong("cluster", "a", "b", "-o", "c", says="one MODEL")
        self.wrong("export", "a", says="-o FILE")
        self.wrong("random", "-o", "b", says="--arch")
        self.wrong("classify", says="needs pictures")
        self.wrong("classify", "a.safetensors", says="needs pictures")
        self.wrong("eval", "a", says="--images")
        self.wrong("embed", "a", says="-o FILE")
        self.wrong("inspect", says="FILE")


if __name__ == "__main__":
    main()
