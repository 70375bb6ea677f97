#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The inner loops of the kernels for 64-bit Arm, counted in what the compiler made of them. No clock is involved: QEMU's
is no processor's.

    tests/kernels/arm_loops.py BUILD            instructions of each loop, and what decoding costs in a product of 197 rows
    tests/kernels/arm_loops.py BUILD --mca      cycles beside: Cortex-A55 by llvm-mca, Cortex-A76 by its ports
    tests/kernels/arm_loops.py BUILD --check    TAP: what must hold (./check runs this)
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
from collections import Counter, namedtuple

Instruction = namedtuple("Instruction", "address name operands")
# kernel: as kernels.inc has it; mac: its multiply-accumulate; macs: of one; sums_per_row: registers of a row's 16 outputs;
# rows: of a tile; chunk: rows that the driver hands over at once; decodes: loops that bring 6-bit indices to its panel.
Product = namedtuple("Product", "level kernel source mac macs sums_per_row rows chunk decodes")

PRODUCTS = [
    Product("neon", "multiply_f32", "gemm_neon.c", "fmla", 4, 4, 6, 6, ["unpack_panel_f32"]),
    Product("neondot", "multiply_i8", "gemm_neondot.c", "sdot", 16, 4, 6, 14, ["unpack_panel_i8"]),
    Product("i8mm", "multiply_pairs_i8", "gemm_i8mm.c", "usmmla", 32, 4, 6, 12, ["unpack_panel_i8", "pair_panel_i8"]),
]
DECODERS = {"unpack_panel_f32": "gemm_unpack_neon.c", "unpack_panel_i8": "gemm_unpack_i8_neon.c",
            "pair_panel_i8": "gemm_pair_i8_neon.c"}
# Loops that only the table shows: level, kernel, source, and what names the one meant among its function's loops.
OTHERS = [
    ("neon", "multiply_i8", "gemm_multiply_i8_neon.c", "2 rows"),
    ("neon", "multiply_few_rows_f32", "gemm_few_rows_neon.c", "1 row, 6 bits"),
    ("neon", "multiply_few_rows_i8", "gemm_few_rows_neon.c", "1 row, 6 bits"),
    ("neondot", "multiply_few_rows_i8", "gemm_few_rows_neondot.c", "1 row, 6 bits"),
]
WEIGHTS = 64  # all counts are for one tile of weights
GROUP_TILES = 4  # of 6-bit indices (docs/format.md)
PICTURE_ROWS = 197
LEAST_MACS = 0.75
MOST_DECODING = 0.15


# ---- disassembly ---------------------------------------------------------------------------------------------------

def functions(build, source):
    """The instructions of each function of an object."""
    objdump = shutil.which("aarch64-linux-gnu-objdump") or "objdump"
    files = sorted(pathlib.Path(build).glob(f"src/kernels/liblutra-*.a.p/{source}.o"))
    if len(files) != 1:
        sys.exit(f"arm_loops.py: {build} has {len(files)} objects of {source}, should be one")
    text = subprocess.run([objdump, "-d", "--no-show-raw-insn", files[0]], check=True, capture_output=True, text=True).stdout
    result = {}
    for line in text.splitlines():
        if head := re.match(r"[0-9a-f]+ <(.*)>:", line):
            body = result.setdefault(head[1], [])
        elif found := re.match(r"\s*([0-9a-f]+):\s+(\S+)\s*([^/]*)", line):
            body.append(Instruction(int(found[1], 16), found[2], found[3].strip()))
    return result


def loops(body):
    """[first, last] of what a conditional branch repeats, and does not return from."""
    index = {instruction.address: i for i, instruction in enumerate(body)}
    for last, branch in enumerate(body):
        target = re.search(r"\b([0-9a-f]+) <", branch.operands)
        if not target or not re.match(r"b\.|cbz|cbnz|tbz|tbnz", branch.name):
            continue
        first = index.get(int(target[1], 16), last + 1)
        if first <= last and not any(i.name == "ret" for i in body[first:last + 1]):
            yield first, last


def innermost(body):
    found = list(loops(body))
    return [body[first:last + 1] for first, last in found
            if not any((first, last) != (f, l) and first <= f and l <= last for f, l in found)]


def registers(operands):
    return re.findall(r"\b[vq](\d+)\b", operands)


# ---- the loops of the products -------------------------------------------------------------------------------------

def product_loops(build, product):
    """The loop over k for each number of rows: {rows: (instructions, weights of a turn)}. Sums that do not stay in their
    registers make a number that is not whole."""
    result = {}
    for name, body in functions(build, product.source).items():
        for loop in innermost(body) if "multiply" in name else []:
            macs = [i for i in loop if i.name == product.mac]
            if not macs:
                continue
            rows = len({registers(i.operands)[0] for i in macs}) / product.sums_per_row
            weights = len(macs) * product.macs / rows
            if weights > result.get(rows, (None, 0))[1]:  # what remains of k has a loop with fewer
                result[rows] = (loop, weights)
    return result


def is_spill(instruction):
    """A store has no place in these loops, nor has the stack, nor a copy from register to register."""
    return instruction.name.startswith("st") or "[sp" in instruction.operands or \
        (instruction.name in ("mov", "orr") and len(registers(instruction.operands)) > 1)


def parts(n, size):
    """n in as few parts of at most `size` as there can be, as even as possible."""
    count = -(-n // size)
    return [n * (i + 1) // count - n * i // count for i in range(count)]


def instructions_of_product(product, found, rows):
    """Per 64 weights, over all tiles of a product of so many rows."""
    total = 0
    for chunk in parts(rows, product.chunk):
        for part in parts(chunk, product.rows):
            loop, weights = found[part if part in found else part + 1]  # usmmla takes rows in pairs
            total += len(loop) * WEIGHTS / weights
    return total


# ---- decoding ------------------------------------------------------------------------------------------------------

def looks_up_64(instruction):
    """A look-up in four registers, of 16 weights."""
    tables = re.search(r"\{v(\d+)\.16b-v(\d+)\.16b\}", instruction.operands)
    return instruction.name == "tbl" and tables is not None and (int(tables[2]) - int(tables[1])) % 32 == 3


def is_decoding(kernel, instructions):
    """6-bit indices of a codebook on the int8 grid: one look-up for 16 weights, and none in more than 64 entries."""
    names = Counter(i.name for i in instructions)
    if kernel == "pair_panel_i8":
        return names["zip1"] == names["zip2"] == 4 and names["ldp"] == 4
    return sum(map(looks_up_64, instructions)) == names["tbl"] == GROUP_TILES * WEIGHTS // 16 and not names["tbx"]


def decode_loop(build, kernel):
    """What is repeated for the weights of a turn, and a loop within as often as it turns: (instructions, weights)."""
    body = functions(build, DECODERS[kernel])[f"lutra_{kernel}_neon"]
    spans = list(loops(body))
    for first, last in spans:
        inner = [(f, l) for f, l in spans if first <= f and l <= last and (f, l) != (first, last)]
        own = [i for n, i in enumerate(body[first:last + 1], first) if not any(f <= n <= l for f, l in inner)]
        if is_decoding(kernel, own):
            turns = [i for f, l in inner for i in body[f:l + 1]] * GROUP_TILES
            return own + turns, (2 if kernel == "pair_panel_i8" else GROUP_TILES) * WEIGHTS
    sys.exit(f"arm_loops.py: no loop of {kernel} for 6 bits found")


def other_loop(build, level, kernel, source):
    """(instructions, weights) of a loop of OTHERS."""
    found = innermost(functions(build, source)[f"lutra_{kernel}_{level}"])
    if kernel == "multiply_i8":  # two tiles in each turn
        return max(found, key=lambda loop: sum(i.name.startswith("smlal") for i in loop)), 2 * WEIGHTS
    one_row = [loop for loop in found if any(i.name == "prfm" for i in loop) and is_decoding("unpack_panel_i8", [
        i for i in loop if i.name != "tbl" or looks_up_64(i)])]
    return min(one_row, key=len), GROUP_TILES * WEIGHTS


def instructions_of_decoding(build, product):
    return sum(len(loop) * WEIGHTS / weights for loop, weights in (decode_loop(build, kernel) for kernel in product.decodes))


# ---- cycles --------------------------------------------------------------------------------------------------------

def cycles_by_mca(loop):
    """The cycles of Cortex-A55 for one turn, in the mean of many."""
    lines = [f"{i.name} {re.sub(r'[0-9a-f]+ <.*', 'loop', i.operands)}" for i in loop]
    mca = shutil.which("llvm-mca-14") or "llvm-mca"
    turns = 100
    out = subprocess.run([mca, "-mtriple=aarch64-linux-gnu", "-mcpu=cortex-a55", f"-iterations={turns}", "-"],
                         input="\n".join(["loop:"] + lines), check=True, capture_output=True, text=True).stdout
    return int(re.search(r"Total Cycles:\s+(\d+)", out)[1]) / turns


# Micro-operations of Cortex-A76: V either vector pipe, V0 or V1 the one, L loads and stores, I integer, B branches. From Arm's
# guide for Neoverse N1, the same core made for servers.
PORTS = {"fmla": "V", "sdot": "V", "eor": "V", "and": "V", "movi": "V", "mov": "V", "zip1": "V", "zip2": "V",
         "addp": "V", "saddlp": "V", "dup": "V", "fmul": "V", "ushr": "V1", "shl": "V1", "sri": "V1", "sadalp": "V1",
         "sxtl": "V1", "sxtl2": "V1", "sshll": "V1", "sshll2": "V1", "smull": "V0", "smull2": "V0", "smlal": "V0",
         "smlal2": "V0", "scvtf": "V0 V0", "prfm": "L", "ldr": "L", "ldur": "L", "ld4": "L L L L V V V V",
         "ldp": "L L", "str": "L V", "stur": "L V", "stp": "L L V V", "add": "I", "sub": "I", "cmp": "I", "b": "B"}


def ports_of(instruction):
    if instruction.name == "tbl":
        return "V V V" if looks_up_64(instruction) else "V"
    if not registers(instruction.operands) and instruction.name in ("mov", "and", "eor"):
        return "I"
    return PORTS[instruction.name.split(".")[0]]


def cycles_by_ports(loop):
    """The cycles that the busiest ports of Cortex-A76 need for one turn; four instructions a cycle are decoded."""
    used = Counter(port for i in loop for port in ports_of(i).split())
    vectors = used["V"] + used["V0"] + used["V1"]
    return max(vectors / 2, used["V0"], used["V1"], used["L"] / 2, used["I"] / 3, used["B"], len(loop) / 4)


# ---- what is asked for ---------------------------------------------------------------------------------------------

def row_of(name, loop, weights, mac, mca):
    """One line of the table; weights of a turn."""
    per_tile = WEIGHTS / weights
    text = f"{name:42} {len(loop):6} {len(loop) * per_tile:9.1f}"
    text += f" {100 * sum(i.name == mac for i in loop) / len(loop):6.0f}" if mac else f" {'':6}"
    if mca and mac != "usmmla":  # neither core has it
        text += f" {cycles_by_mca(loop) * per_tile:10.1f} {cycles_by_ports(loop) * per_tile:10.1f}"
    return text


def show(build, mca):
    print(f"{'per 64 weights':42} {'loop':>6} {'instr.':>9} {'MACs %':>6}" + (f" {'A55 cyc.':>10} {'A76 cyc.':>10}" if mca else ""))
    for product in PRODUCTS:
        found = product_loops(build, product)
        loop, weights = found[product.rows]
        print(row_of(f"{product.level} {product.kernel}, {product.rows} rows", loop, weights, product.mac, mca))
    for kernel in DECODERS:
        print(row_of(f"neon {kernel}, 6 bits", *decode_loop(build, kernel), None, mca))
    for level, kernel, source, which in OTHERS:
        print(row_of(f"{level} {kernel}, {which}", *other_loop(build, level, kernel, source), None, mca))
    print(f"\ninstructions of a product of {PICTURE_ROWS} rows, per 64 weights")
    for product in PRODUCTS:
        multiply = instructions_of_product(product, product_loops(build, product), PICTURE_ROWS)
        decode = instructions_of_decoding(build, product)
        print(f"  {product.level:8} multiplying {multiply:6.0f}, decoding {decode:4.0f}: {100 * decode / (multiply + decode):.1f} %")


def listed(numbers):
    return ", ".join(f"{number:g}" for number in sorted(numbers))


def check(build):
    results = []
    for product in PRODUCTS:
        found = product_loops(build, product)
        name = f"{product.level} {product.kernel}"
        wanted = {rows + rows % 2 if product.mac == "usmmla" else rows for rows in range(1, product.rows + 1)}
        results.append((set(found) == wanted, f"{name}: loops for {listed(found)} rows, should be for {listed(wanted)}"))
        if product.rows not in found:
            continue
        loop = found[product.rows][0]
        share = sum(i.name == product.mac for i in loop) / len(loop)
        results.append((share >= LEAST_MACS, f"{name}: {100 * share:.0f} % of the loop are {product.mac}, at least "
                                             f"{100 * LEAST_MACS:.0f} %"))
        spills = [f"{i.name} {i.operands}" for loop, _ in found.values() for i in loop if is_spill(i)]
        results.append((not spills, f"{name}: all sums stay in registers" + "".join(f"; {spill}" for spill in spills[:3])))
        if set(found) != wanted:
            continue
        multiply = instructions_of_product(product, found, PICTURE_ROWS)
        decode = instructions_of_decoding(build, product)
        share = decode / (multiply + decode)
        results.append((share <= MOST_DECODING, f"{name}: decoding 6 bits is {100 * share:.1f} % of {PICTURE_ROWS} rows' "
                                                f"instructions, at most {100 * MOST_DECODING:.0f} %"))
    for n, (good, what) in enumerate(results, 1):
        print(f"{'ok' if good else 'not ok'} {n} - {what}")
    return 0 if all(good for good, _ in results) else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", help="a build for 64-bit Arm, as scripts/check_arm makes it in build/aarch64")
    parser.add_argument("--mca", action="store_true", help="estimate cycles (needs llvm-mca 14)")
    parser.add_argument("--check", action="store_true", help="print TAP and fail where a limit is missed")
    options = parser.parse_args()
    if options.check:
        return check(options.build)
    show(options.build, options.mca)
    return 0


if __name__ == "__main__":
    sys.exit(main())
