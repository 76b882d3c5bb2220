"""Ask a real kernel again for the outcomes in tests/data/early_boot.

Run from the root of the repository, with images fetched and QEMU installed:

    python tests/data/make/early_boot.py 6.1 tests/data/early_boot/FILE.jsonl

Each line's `in` is booted as it stands, by a zero page that tests/rawbytes.py writes,
without any user space; its `out` is written anew from the console. The kernel must be
the one that `kernel_range` was found for.
"""

import json
import struct
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import rawbytes  # noqa: E402  found through the line above

from e820pool.handoff.model import Segment  # noqa: E402
from e820pool.lab.guest_ram import GuestRam, RamLayout  # noqa: E402
from e820pool.lab.images import find_image  # noqa: E402
from e820pool.lab.machine import Deadlines, LostVmError, run_vm  # noqa: E402
from e820pool.lab.qemu import VmSpec  # noqa: E402
from e820pool.loading.multiboot_stub import KernelEntry  # noqa: E402
from e820pool.sources.kernel_console import read_console  # noqa: E402

M = 1 << 20
RAM = RamLayout(low_bytes=2048 * M)
KERNEL, STUB, PARAMS, CMDLINE = 16 * M, 0x7000_0000, 0x7002_0000, 0x7002_1000
SETUP_E820_EXT = 1


def main():
    release, path = sys.argv[1], Path(sys.argv[2])
    image = find_image(release).read()
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        given = json.loads(line)["in"]
        answer = {"in": given, "out": outcome(boot(image, given))}
        lines.append(json.dumps(answer, separators=(",", ":")))
        print(given["id"], flush=True)  # noqa: T201  a script
    path.write_text("\n".join([*lines, ""]), encoding="utf-8", newline="\n")


def boot(image, given):
    spec = VmSpec(
        ram=RAM,
        parts=tuple(
            Segment(what="part", addr=addr, data=data)
            for addr, data in parts_of(image, given)
        ),
        entry=KernelEntry(kernel_addr=KERNEL, boot_params_addr=PARAMS),
        stub_addr=STUB,
    )
    with GuestRam(RAM) as ram:
        try:
            # Without user space the kernel panics in the end; some tables leave it
            # no memory for that.
            return run_vm(spec, ram, deadlines=Deadlines(kernel=30)).console
        except LostVmError as lost:
            return lost.console


def parts_of(image, given):
    chain, nodes = rawbytes.setup_data_chain(
        [
            (addr, kind, payload(given, size, kind))
            for addr, size, kind in given["setup_data"]
        ]
    )
    header = image[0x1F1 : 0x202 + image[0x201]]
    patches = {
        0x1F1: header,
        0x210: b"\xff",
        0x228: struct.pack("<I", CMDLINE),
        0x250: struct.pack("<Q", chain),
    }
    page = rawbytes.zero_page(given["e820"], patches=patches)
    code = image[((image[0x1F1] or 4) + 1) * 512 :]
    line = given["cmdline"].encode("latin-1") + b"\0"
    return [(PARAMS, page), (CMDLINE, line), (KERNEL, code), *nodes]


def payload(given, size, kind):
    if kind == SETUP_E820_EXT:
        return rawbytes.e820_table(given["ext"])
    return bytes(size - 16)


def outcome(console):
    seen = read_console(console.decode("utf-8", "replace"))
    died = "Invalid user supplied memory map"
    return {
        "map_source": seen.map_source,
        "bios_map": as_printed(seen.bios_map),
        "extended_map": as_printed(seen.extended_map),
        "user_map": as_printed(seen.user_map),
        "memory": [(span.start, span.size) for span in seen.memory],
        "fatal": died if died in console.decode("utf-8", "replace") else None,
    }


# The reader tells type 128 from RAM by other messages; the maps here are as printed.
def as_printed(rows):
    if rows is None:
        return None
    return [[addr, size, 1 if kind == 128 else kind] for addr, size, kind in rows]


if __name__ == "__main__":
    main()
