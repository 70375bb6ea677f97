# SPDX-License-Identifier: Apache-2.0
"""Standard streams that are closed or full, and signals that the caller has ignored."""
import os
import signal
import subprocess
import time

from common import COMMAND, FAILED, INTERRUPTED, MODEL, CommandTest, main, png, temporary_folder
from stream import FRAMES


def start(*arguments, closed=(), ignored=(), **options):
    """The command, with the standard streams of the numbers `closed` closed and the signals `ignored` ignored."""
    def prepare():
        for stream in closed:
            os.close(stream)
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
    return subprocess.Popen([*COMMAND, *map(str, arguments)], preexec_fn=prepare, **options)


class StandardStreams(CommandTest):
    def test_files_do_not_take_the_numbers_of_closed_streams(self):
        process = start("classify", MODEL, "--stream", closed=(1, 2), stdin=subprocess.PIPE)
        streams, deadline = None, time.monotonic() + 60
        while streams != ["/dev/null"] * 2 and time.monotonic() < deadline:
            try:
                streams = [os.readlink(f"/proc/{process.pid}/fd/{stream}") for stream in (1, 2)]
            except FileNotFoundError:
                pass
            time.sleep(0.01)
        process.kill()
        process.communicate()
        self.assertEqual(streams, ["/dev/null"] * 2)

    def test_what_cannot_be_printed_fails(self):
        process = start("inspect", MODEL, closed=(1,), stderr=subprocess.PIPE, text=True)
        self.assertIn("standard output", process.communicate(timeout=60)[1])
        self.assertEqual(process.returncode, FAILED)

    def test_a_lost_answer_counts_more_than_an_unreadable_picture(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        folder = temporary_folder()
        picture = png(folder / "picture.png", 1)
        with open("/dev/full", "w") as full:
            process = start("classify", MODEL, picture, folder / "none.png", stdout=full, stderr=subprocess.PIPE, text=True)
            self.assertIn("standard output", process.communicate(timeout=60)[1])
        self.assertEqual(process.returncode, FAILED)

    def test_an_ignored_signal_stays_ignored(self):
        """As a shell's script has Ctrl-C ignored by what it starts in the background."""
        process = start("classify", MODEL, "--stream", ignored=(signal.SIGINT,), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            for frame in FRAMES[:3]:
                process.stdin.write(frame)
                process.stdin.flush()
                self.assertTrue(process.stdout.readline())
                process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(timeout=60), INTERRUPTED)
        finally:
            process.kill()
            process.communicate()


if __name__ == "__main__":
    main()
