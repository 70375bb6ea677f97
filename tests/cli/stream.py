# SPDX-License-Identifier: Apache-2.0
"""classify --stream: frames from standard input, the newest first, and none lost without being counted."""
import fcntl
import json
import os
import signal
import struct
import subprocess
import time

from common import FAILED, INTERRUPTED, LUTRA, MODEL, UNREADABLE, CommandTest, main, temporary_folder

# A baseline JPEG writer for grey pictures of flat blocks (ITU-T T.81): only DC coefficients, the typical luminance
# table of annex K.3 for them, and one AC code, "end of block".
DC_COUNTS = bytes([0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0])
DC_SYMBOLS = bytes(range(12))


def huffman_codes(counts, symbols):
    codes, code, symbol = {}, 0, iter(symbols)
    for length, count in enumerate(counts, 1):
        for _ in range(count):
            codes[next(symbol)] = format(code, f"0{length}b")
            code += 1
        code <<= 1
    return codes


def jpeg(shades):
    """A grey picture 8 pixels high, one block of 8x8 per shade."""
    codes, bits, before = huffman_codes(DC_COUNTS, DC_SYMBOLS), "", 0
    for shade in shades:
        dc = shade - 128  # with quantiser 8, a DC coefficient of 1 lightens the block by 1
        difference, before = dc - before, dc
        size = abs(difference).bit_length()
        value = difference if difference >= 0 else difference + (1 << size) - 1
        bits += codes[size] + (format(value, f"0{size}b") if size else "") + "0"
    bits += "1" * (-len(bits) % 8)
    data = bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8)).replace(b"\xff", b"\xff\0")

    def segment(marker, content):
        return bytes([0xff, marker]) + struct.pack(">H", len(content) + 2) + content

    return (b"\xff\xd8" + segment(0xdb, b"\0" + bytes([8] * 64)) +
            segment(0xc0, struct.pack(">BHHB", 8, 8, 8 * len(shades), 1) + b"\1\x11\0") +
            segment(0xc4, b"\0" + DC_COUNTS + DC_SYMBOLS) + segment(0xc4, b"\x10" + bytes([1] + [0] * 15) + b"\0") +
            segment(0xda, b"\1\1\0\0\x3f\0") + data + b"\xff\xd9")


FRAMES = [jpeg([20 * i, 255 - 30 * i, 128, 5 * i]) for i in range(8)]


class Stream(CommandTest):
    def stream(self, data, *arguments, status=0):
        result = self.lutra("classify", MODEL, "--stream", *arguments, input=data, text=False, status=status)
        return [json.loads(line) for line in result.stdout.splitlines()], result.stderr.decode()

    def predictions(self, frame):
        path = temporary_folder() / "frame.jpg"
        path.write_bytes(frame)
        return self.lutra_json("classify", MODEL, path)[0]["predictions"]

    def test_every_frame_is_classified_or_counted(self):
        lines, notes = self.stream(b"".join(FRAMES))
        self.assertEqual(len(lines) + sum(line["dropped"] for line in lines), len(FRAMES))
        self.assertEqual(lines[-1]["frame"], len(FRAMES))
        self.assertEqual(lines[-1]["predictions"], self.predictions(FRAMES[-1]))
        for line in lines:
            self.assertEqual(line["predictions"], self.predictions(FRAMES[line["frame"] - 1]))
            self.assertGreater(line["ms"], 0)
            self.assertIn("threads", line)
            self.assertIn("isa", line)
        self.assertIn("frames classified", notes)

    def test_one_by_one_nothing_is_dropped(self):
        """A camera slower than the model: each line comes before the next frame is sent."""
        process = subprocess.Popen([LUTRA, "classify", MODEL, "--stream", "--quiet"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
        for i, frame in enumerate(FRAMES, 1):
            process.stdin.write(frame)
            process.stdin.flush()
            line = json.loads(process.stdout.readline())
            self.assertEqual((line["frame"], line["dropped"]), (i, 0))
        process.stdin.close()
        self.assertEqual(process.stdout.read(), b"")
        process.stdout.close()
        self.assertEqual(process.wait(timeout=60), 0)

    def test_bytes_between_frames(self):
        lines, _ = self.stream(b"\r\n--frame\r\n\xff\0" + FRAMES[3] + b"\0\0--end--")
        self.assertEqual([line["predictions"] for line in lines], [self.predictions(FRAMES[3])])

    def test_broken_frame(self):
        broken = b"\xff\xd8\xff\xda\x00\x02\x55\xff\xd9"  # a scan without a picture
        process = subprocess.Popen([LUTRA, "classify", MODEL, "--stream"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        lines = []
        for frame in (FRAMES[1], broken, FRAMES[2]):
            process.stdin.write(frame)
            process.stdin.flush()
            lines.append(json.loads(process.stdout.readline()))
        _, stderr = process.communicate(timeout=60)
        self.assertEqual(process.returncode, UNREADABLE)
        self.assertIn("error", lines[1])
        self.assertEqual(lines[1]["predictions"], [])
        self.assertEqual(lines[2]["predictions"], self.predictions(FRAMES[2]))
        self.assertIn(b"frame 2", stderr)

    def test_frames_after_one_that_breaks_off(self):
        frames = [FRAMES[0][:-20], *FRAMES[1:] * 3]
        lines, notes = self.stream(b"".join(frames), status=UNREADABLE)
        self.assertEqual(len(lines) + sum(line["dropped"] for line in lines) + 1, len(frames))
        self.assertEqual(lines[-1]["frame"], len(frames))
        for line in lines:
            self.assertEqual(line["predictions"], self.predictions(frames[line["frame"] - 1]))
        self.assertIn("break off before the next one begins: 1", notes)
        self.assertIn("1 unreadable", notes)

    def test_bytes_between_segments(self):
        """Read as the library reads them from a file."""
        frame = FRAMES[3][:71] + b"\0" + FRAMES[3][71:]  # behind SOI and DQT
        lines, _ = self.stream(frame)
        self.assertEqual([line["predictions"] for line in lines], [self.predictions(frame)])

    def test_stream_cut_off(self):
        lines, notes = self.stream(FRAMES[0] + FRAMES[1][:-30], status=UNREADABLE)
        self.assertEqual([line["frame"] for line in lines], [1])
        self.assertIn("within a frame", notes)

    def test_no_frames(self):
        for data in (b"", b"no picture at all", b"\xff\xd8"):
            lines, notes = self.stream(data, status=FAILED)
            self.assertEqual(lines, [])
            self.assertIn("no JPEG", notes)

    def test_interrupted_while_it_waits_for_the_camera(self):
        process = subprocess.Popen([LUTRA, "classify", MODEL, "--stream"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdin.write(FRAMES[0])
        process.stdin.flush()
        self.assertTrue(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        try:
            self.assertEqual(process.wait(timeout=60), INTERRUPTED)  # its input stays open
        finally:
            process.kill()
            process.communicate()

    def test_interrupted_while_nobody_reads_the_answers(self):
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            read_end, write_end = os.pipe()
            os.write(write_end, b"x" * fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096))  # full
            process = subprocess.Popen([LUTRA, "classify", MODEL, "--stream"], stdin=subprocess.PIPE, stdout=write_end,
                                       stderr=subprocess.PIPE)
            try:
                process.stdin.write(FRAMES[0])
                process.stdin.flush()
                time.sleep(1)  # enough to reach the answer that cannot be written; the end is the same without
                process.send_signal(signal_number)
                self.assertEqual(process.wait(timeout=60), INTERRUPTED)
            finally:
                process.kill()
                process.communicate()
                os.close(read_end)
                os.close(write_end)

    def test_a_frame_beyond_the_limit_is_counted(self):
        huge = FRAMES[0][:-2] + b"\x55" * (65 << 20) + FRAMES[0][-2:]
        for rest in ([], FRAMES[1:2]):
            lines, notes = self.stream(huge + b"".join(rest), status=UNREADABLE if rest else FAILED)
            self.assertEqual([line["frame"] for line in lines], [2] * len(rest))
            self.assertIn("64 MiB", notes)
            self.assertIn(f"{len(rest)} frames classified, 0 dropped, 1 unreadable", notes)

    def test_pictures_beside_the_stream_are_refused(self):
        self.fails("classify", MODEL, "--stream", "photo.jpg", status=2, says="name no pictures")


if __name__ == "__main__":
    main()
