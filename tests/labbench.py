"""A small machine and handoffs to boot in it; what the tests of the lab share."""

from e820pool.deposits import DepositLedger
from e820pool.handoff.build import BuildOptions, build_handoff
from e820pool.lab.boot import BootOptions, boot
from e820pool.lab.machine import Deadlines
from e820pool.memory_map import MemoryMap

MIB = 1 << 20

# A small PC: conventional memory, and RAM up to 256 MiB.
LOW = ((0, 0x9_F000, 1), (0x9_F000, 0x6_1000, 2))
ROWS = (*LOW, (MIB, 255 * MIB, 1))

# Emulated machines, side by side with other tests, on a small host.
PATIENT = Deadlines(firmware=60, kernel=240, report=120, pressure=300, end=60)


def deposits(count):
    """Return byte ranges of a page and more, scattered over the upper RAM."""
    step = (128 * MIB // count) // 4096 * 4096
    return [
        (120 * MIB + n * step, 120 * MIB + n * step + 4096 * (n % 7 + 1))
        for n in range(count)
    ]


def handoff_of(ranges=(), rows=ROWS, **options):
    ledger = DepositLedger.of_ranges(ranges)
    return build_handoff(MemoryMap.of(rows), ledger, BuildOptions(**options))


def boot_patiently(handoff, image, **options):
    options = {"accelerator": "tcg", "deadlines": PATIENT} | options
    return boot(handoff, image, BootOptions(**options))
