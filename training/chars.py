# SPDX-License-Identifier: Apache-2.0
"""The characters that are drawn, by script, and how a class is named."""
from __future__ import annotations

LATIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789"
GREEK = "ΓΔΘΛΞΠΣΦΨΩαβγδεζηθλμνξπρσφψω"
CYRILLIC = "БДЖЗИКЛУЦЧШЩЪЫЬЭЮЯГПФдф"
HIRAGANA = ("あいうえおかきくけこさしすせそたちつてとなにぬねの"
            "はひふへほまみむめもやゆよらりるれろわをん")
KATAKANA = ("アイウエオカキクケコサシスセソタチツテトナニヌネノ"
            "ハヒフヘホマミムメモヤユヨラリルレロワヲン")
SCRIPTS = {"latin": LATIN, "digit": DIGITS, "greek": GREEK,
           "cyrillic": CYRILLIC, "hiragana": HIRAGANA, "katakana": KATAKANA}
CHARS = "".join(SCRIPTS.values())

# A class is a shape: a glyph is scaled to fill its box, so what differs in size
# or place alone cannot be told apart and is one class.  The rule: capital and
# small letter of one construction (c C, o O, ...), letters of two scripts with
# one outline (K К, p ρ, a α, y У, 3 З, へ ヘ, り リ), and l with I.
MERGED = ["cC", "oO0", "sS", "vVν", "wW", "xX", "zZ", "Il", "KК", "pρ", "aα", "yУ",
          "3З", "ΓГ", "ΠП", "Θθ", "ΦФφф", "Ψψ", "Дд", "へヘ", "りリ"]


def classes() -> list[str]:
    """The classes in order: each the string of characters it is made of."""
    merged = {char: group for group in MERGED for char in group}
    seen: list[str] = []
    for char in CHARS:
        group = merged.get(char, char)
        if group not in seen:
            seen.append(group)
    return seen


def script_of(char: str) -> str:
    """The script a character is listed under."""
    return next(name for name, chars in SCRIPTS.items() if char in chars)


def code(char: str) -> str:
    """A name for files: U and four hexadecimal digits."""
    return f"U{ord(char):04X}"
