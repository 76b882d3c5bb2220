"""Record the consoles in tests/data/consoles: boot real kernels, keep what they said.

Run from the root of the repository, with images fetched and QEMU installed:

    python tests/data/make/console_logs.py 6.1 7.3 ... [--case NAME ...]

What each kernel gets is written with tests/rawbytes.py, not with the package, and is
kept in cases.json beside the logs, so that tests can tell what a log should show.
"""

import argparse
import json
import re
import struct
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import rawbytes  # noqa: E402  found through the line above

from e820pool.extents import ExtentSet  # noqa: E402
from e820pool.handoff.model import Segment  # noqa: E402
from e820pool.lab.guest import LAB_CMDLINE, build_initramfs  # noqa: E402
from e820pool.lab.guest_ram import GuestRam, layout_for  # noqa: E402
from e820pool.lab.images import find_image  # noqa: E402
from e820pool.lab.machine import Deadlines, LostVmError, run_vm  # noqa: E402
from e820pool.lab.qemu import VmSpec  # noqa: E402
from e820pool.loading.multiboot_stub import KernelEntry  # noqa: E402

FOLDER = ROOT / "tests" / "data" / "consoles"
M = 1 << 20
KERNEL, PARAMS, CMDLINE, STUB, NODES, INITRD = (
    *(16 * M, 2 * M, 2 * M + 0x1000, 3 * M, 4 * M, 96 * M),
)
POOL_TYPE = 0x504D_4E4F
ALT_MEM_K = 0x1E0

LOW = [[0, 0x9F000, 1], [0x9F000, 0x61000, 2]]
BASE = [*LOW, [M, 255 * M, 1], [256 * M, 16 * M, 2], [272 * M, 48 * M, 1]]


def holes(count, step):
    """Return a map with single reserved pages in its upper RAM."""
    rows, at = list(LOW), M
    for n in range(count):
        hole = 256 * M + n * step
        rows += [[at, hole - at, 1], [hole, 0x1000, 2]]
        at = hole + 0x1000
    return [*rows, [at, 320 * M - at, 1]]


def islands(low, count):
    """Return a map whose upper RAM is in pieces of 1 MiB with gaps between."""
    pieces = [[256 * M + n * 2 * M, M, 1] for n in range(count)]
    return [*low, [M, 255 * M, 1], *pieces]


NO_LOW = [[0, 0x1000, 2], [0x9F000, 0x61000, 2]]
ALL_TYPES = (3, 4, 5, 7, 12, 13, 0xEFFF_FFFF)
CASES = {
    "plain": {"e820": BASE},
    "types": {
        "e820": [
            *BASE[:3],
            *([(256 + n) * M, M, kind] for n, kind in enumerate(ALL_TYPES)),
            [264 * M, 56 * M, 1],
        ]
    },
    "node": {"e820": BASE, "nodes": [[POOL_TYPE, 5000], [POOL_TYPE, 100]]},
    "spill": {"e820": holes(100, 0x20000)},
    "overlap": {
        "e820": [*LOW, [M, 319 * M, 1], [256 * M, 16 * M, 2], [260 * M, M, 4]],
        "cmdline": "nokaslr",
    },
    "user-map": {"e820": BASE, "cmdline": "memmap=1M$300M,1M#302M mem=310M nokaslr"},
    "user-map-refused": {"e820": BASE, "cmdline": "memmap=exactmap memmap=64M@0"},
    "type-128": {"e820": [*BASE[:3], [256 * M, 16 * M, 128], BASE[4]]},
    "one-entry": {"e820": [[M, 319 * M, 1]]},
    "no-entry": {"e820": [], "alt_mem_k": 300 * 1024},
    "wraps": {"e820": [*LOW[:1], [M, 319 * M, 1], [0xFFFFFFFF << 32, 0x100000002, 2]]},
    "ends-at-2-64": {
        "e820": [*LOW, [M, 319 * M, 1], [(1 << 64) - 0x10000, 0x10000, 2]]
    },
    "memblock-full": {"e820": islands(NO_LOW, 140)},
    "islands": {"e820": islands(LOW, 250)},
    "memblock-debug": {"e820": BASE, "cmdline": "memblock=debug"},
    "table-full": {
        "e820": BASE,
        "ext": [[1 << 40 | n * 0x2000, 0x1000, 2] for n in range(3400)],
    },
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("releases", nargs="+")
    parser.add_argument("--case", nargs="*", default=list(CASES))
    wanted = parser.parse_args()
    for release in wanted.releases:
        for name in wanted.case:
            record(release, name)
    write_cases()


def record(release, name):
    image = find_image(release)
    spec = machine(image.read(), CASES[name])
    console, ended = boot(spec)
    path = FOLDER / release / f"{name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(shortened(console), encoding="utf-8", newline="\n")
    print(f"{image.version:32} {name:20} {ended}", flush=True)  # noqa: T201  a script


def boot(spec):
    with GuestRam(spec.ram) as ram:
        try:
            run = run_vm(spec, ram, deadlines=Deadlines(kernel=90))
        except LostVmError as lost:
            return lost.console, str(lost)
        return run.console, f"{run.ended} in phase {run.phase}"


def machine(image, case):
    rows, ext = case["e820"], case.get("ext", [])
    first, spill = rows[:128], [*rows[128:], *ext]
    nodes = [(1, rawbytes.e820_table(spill))] if spill else []
    nodes += [(kind, bytes(size)) for kind, size in case.get("nodes", ())]
    chain, parts = place_nodes(nodes)
    sectors = image[0x1F1] or 4
    initrd = build_initramfs(pressure=False)
    line = f"{case.get('cmdline', '')} {LAB_CMDLINE}".strip().encode() + b"\0"
    page = rawbytes.zero_page(first, patches=pointers(image, chain, len(initrd)))
    alt = struct.pack("<I", case.get("alt_mem_k", 0))
    page = rawbytes.patched(page, {ALT_MEM_K: alt})
    fixed = ((PARAMS, page), (CMDLINE, line), (INITRD, initrd))
    code = (KERNEL, image[(sectors + 1) * 512 :])
    return VmSpec(
        ram=layout_for(ExtentSet([(0, 320 * M >> 12), *ram_pages(rows)])),
        parts=tuple(
            Segment(what="part", addr=addr, data=data)
            for addr, data in (*fixed, code, *parts)
        ),
        entry=KernelEntry(kernel_addr=KERNEL, boot_params_addr=PARAMS),
        stub_addr=STUB,
    )


def ram_pages(rows):
    return [(addr >> 12, (addr + size) >> 12) for addr, size, kind in rows if kind == 1]


def place_nodes(nodes):
    placed, at = [], NODES
    for kind, data in nodes:
        placed.append((at, kind, data))
        at += (len(data) + 16 + 0xFFF) & ~0xFFF
    return rawbytes.setup_data_chain(placed)


def pointers(image, chain, initrd_size):
    """Return patches: the image's own header, and a loader's fields in it."""
    header = image[0x1F1 : 0x202 + image[0x201]]
    return {
        0x1F1: header,
        0x210: b"\xff",
        0x214: struct.pack("<I", KERNEL),
        0x218: struct.pack("<II", INITRD, initrd_size),
        0x228: struct.pack("<I", CMDLINE),
        0x250: struct.pack("<Q", chain),
    }


# What the kernel says after memory is set up is left out, but not how a boot ended;
# of a map of thousands of rows so is the middle.
SET_UP = re.compile(r"\] Memory: \d+K/\d+K available")
ENDING = re.compile(
    r"Kernel panic|kernel BUG|BUG:|PANIC:|RIP:|Run /init|Call Trace|reboot:|trampoline"
)
LONG_BLOCK = 1000


def shortened(console):
    lines = console.decode("utf-8", "replace").replace("\r", "").split("\n")
    ready = next((n for n, line in enumerate(lines) if SET_UP.search(line)), len(lines))
    lines = lines[: ready + 1] + [x for x in lines[ready + 1 :] if ENDING.search(x)]
    for who in ("extended: ", "reserve setup_data: ", "nosave memory"):
        lines = without_middle(lines, who)
    return "\n".join(lines).rstrip("\n") + "\n"


def without_middle(lines, who):
    at = [n for n, line in enumerate(lines) if who in line]
    if len(at) <= LONG_BLOCK:
        return lines
    gone = set(at[20:-20])
    return [line for n, line in enumerate(lines) if n not in gone]


def write_cases():
    text = json.dumps(CASES, separators=(",", ":")).replace('},"', '},\n"')
    (FOLDER / "cases.json").write_text(text + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
