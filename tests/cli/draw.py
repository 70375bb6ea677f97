# SPDX-License-Identifier: Apache-2.0
"""lutra classify --draw: the picture in half-block characters, on terminals with colour only."""
import os
import pathlib
import pty
import re
import struct
import subprocess
import tempfile
import zlib

LUTRA = pathlib.Path(os.environ["LUTRA_BUILD_ROOT"], "tools", "lutra")
CELL = re.compile(r"\x1b\[38;2;(\d+);(\d+);(\d+)m\x1b\[48;2;(\d+);(\d+);(\d+)m\u2580")


def write_png(path, rows):
    """rows [height][width] of (r, g, b)."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    data = zlib.compress(b"".join(b"\0" + bytes(value for pixel in row for value in pixel) for row in rows))
    head = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def on_terminal(command, **variables):
    """What the command prints when its standard output is a terminal of 80 columns."""
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLORTERM")}
    environment.update(TERM="xterm", **variables)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, stdout=theirs, stdin=subprocess.DEVNULL, env=environment)
    os.close(theirs)
    output = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        output += data
    os.close(ours)
    assert process.wait() == 0, output
    return output.decode()


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        model, picture = folder / "vit_tiny_patch16_224.safetensors", folder / "picture.png"
        subprocess.run([LUTRA, "random", "--arch", "vit_tiny_patch16_224", "-o", model, "--quiet"], check=True)
        red, blue, green = (255, 0, 0), (0, 0, 255), (0, 255, 0)
        write_png(picture, [[red] * 112 + [blue] * 112] * 112 + [[green] * 224] * 112)
        plain = [LUTRA, "classify", model, picture, "--top", "1"]
        drawn = plain + ["--draw"]

        output = on_terminal(drawn, COLORTERM="truecolor")
        lines = [line for line in output.splitlines() if "\u2580" in line]
        cells = [[tuple(map(int, cell)) for cell in CELL.findall(line)] for line in lines]
        assert len(lines) == 16 and all(len(row) == 32 for row in cells), output
        assert all(line.rstrip("\r").endswith("\x1b[0m") for line in lines), "colours must end with the line"
        # The model's preprocessing enlarges the picture and cuts the centre: corners keep their colour.
        assert cells[0][0] == red * 2 and cells[0][31] == blue * 2, cells[0]
        assert cells[15][0] == green * 2 and cells[15][31] == green * 2, cells[15]
        print("ok 1 - a picture is drawn in true colours")

        output = on_terminal(drawn)
        assert "\x1b[38;5;196m\x1b[48;5;196m\u2580" in output and "38;2" not in output, output
        print("ok 2 - and in 256 colours where the terminal does not claim more")

        assert "\u2580" not in on_terminal(drawn, NO_COLOR="1")
        assert "\u2580" not in on_terminal(plain)
        print("ok 3 - not with NO_COLOR, nor without --draw")

        result = subprocess.run(drawn, check=True, stdout=subprocess.PIPE, text=True)
        assert "\u2580" not in result.stdout and "\x1b" not in result.stdout, result.stdout
        print("ok 4 - not where standard output is no terminal")
        print("1..4")


if __name__ == "__main__":
    main()
