#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the single tests behind Meson's and our own logs.

    scripts/count_tests.py FILE...          prints "PASSED FAILED SKIPPED"

A FILE ending in .json is Meson's testlog.json: a program of it that speaks TAP (cmocka, our scripts) or Python's
unittest counts by its own tests, any other as one. Any other FILE is read as TAP. A program that failed without
saying which test did (a crash, a sanitizer's report, a time-out) adds one failure.
"""
import json
import re
import sys

TAP = re.compile(r"^\s*(not ok|ok)\b([^\n]*)$", re.MULTILINE)
UNITTEST = re.compile(r"^Ran (\d+) tests? in ", re.MULTILINE)
UNITTEST_PART = re.compile(r"(failures|errors|skipped)=(\d+)")


def count_text(text):
    """(passed, failed, skipped) of TAP lines or of unittest's summary; None where the text has neither."""
    lines = TAP.findall(text)
    if lines:
        # cmocka calls a skipped test "not ok # SKIP".
        skipped = sum("# skip" in rest.lower() for _, rest in lines)
        failed = sum(state == "not ok" and "# skip" not in rest.lower() for state, rest in lines)
        return [len(lines) - failed - skipped, failed, skipped]
    ran = UNITTEST.findall(text)
    if ran:
        parts = {"failures": 0, "errors": 0, "skipped": 0}
        for name, number in UNITTEST_PART.findall(text):
            parts[name] += int(number)
        failed = parts["failures"] + parts["errors"]
        return [max(sum(map(int, ran)) - failed - parts["skipped"], 0), failed, parts["skipped"]]
    return None


def count_program(test):
    result = test["result"]
    if result == "SKIP":
        return [0, 0, 1]
    counts = count_text(test.get("stdout", "") + "\n" + test.get("stderr", ""))
    if result in ("OK", "EXPECTEDFAIL"):
        return counts or [1, 0, 0]
    counts = counts or [0, 0, 0]
    return [counts[0], max(counts[1], 1), counts[2]]


def main():
    total = [0, 0, 0]
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
        if path.endswith(".json"):
            counts = [count_program(json.loads(line)) for line in text.splitlines() if line.strip()]
        else:
            counts = [count_text(text) or [0, 0, 0]]
        for one in counts:
            total = [a + b for a, b in zip(total, one)]
    print(*total)


if __name__ == "__main__":
    main()
