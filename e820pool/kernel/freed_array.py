"""memblock's grown array, which is read once more after it was freed.

    e820 table      numa_init()        buddy allocator   driver_init()
    array grows --> grows once more --> array is freed --> a walk over the array

What is cleared by then is a region of no bytes at 0, and the walk over its memory
blocks goes from 0 to the last address: hours, one for each region.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.kernel.boot_end import BootEnd
from e820pool.kernel.cmdline import options
from e820pool.kernel.memblock import array_bytes, reserved_while_mapping

if TYPE_CHECKING:
    from e820pool.kernel.state import EarlyBoot

__all__ = ("FREED_ARRAY", "SHORT_RUN", "clears_freed_pages", "find_freed_array")

#: From 6.17 on.
FREED_ARRAY = BootEnd(
    id="freed-array",
    words="hang in register_memory_blocks_under_nodes: memblock's freed array",
    source="7.3 drivers/base/node.c register_memory_blocks_under_nodes(), "
    "mm/memblock.c memblock_discard()",
)

SHORT_RUN = 2 << 20
"""Bytes: an array in a run of RAM shorter than that was seen to be taken at once."""

_PAGE_MASK = 4095
# lib/kstrtox.c kstrtobool(): one letter counts, or two after an "o".
_YES = frozenset("yYtT1")
_NO = frozenset("nNfF0")
_ON_OFF = {"n": True, "N": True, "f": False, "F": False}


def find_freed_array(boot: EarlyBoot) -> None:
    """Note a boot that walks over regions of which nothing is left.

    Linux 7.3 drivers/base/node.c register_memory_blocks_under_nodes(),
    mm/memblock.c memblock_discard(), memblock_isolate_range(); 6.17 to 7.3 alike.
    """
    profile = boot.profile
    config = profile.config
    walks = config["NUMA"] and config["MEMORY_HOTPLUG"]
    if not profile.has("regions-read-after-free") or not walks:
        return
    if config["ARCH_KEEP_MEMBLOCK"]:
        return
    run = _run_of_late_array(boot)
    if run is None and boot.array_room is None:
        return
    default = bool(config["INIT_ON_FREE_DEFAULT_ON"])
    taken = run is not None and run < SHORT_RUN
    if clears_freed_pages(boot.inp.cmdline, default=default) or (
        taken and profile.has("freed-pages-taken-first")
    ):
        boot.end_later(FREED_ARRAY)


def clears_freed_pages(cmdline: str, *, default: bool) -> bool:
    """Return whether pages are cleared when they are freed: the last init_on_free=.

    Linux 7.3 mm/mm_init.c early_init_on_free().
    """
    if "init_on_free" not in cmdline:
        return default
    found = default
    for name, value in options(cmdline):
        if name == "init_on_free":
            said = _bool_of(value or "")
            found = found if said is None else said
    return found


def _bool_of(text: str) -> bool | None:
    first, second = text[:1], text[1:2]
    if first in ("o", "O"):
        return _ON_OFF.get(second)
    if first in _YES:
        return True
    return False if first in _NO else None


# Each node's range is isolated, for which two slots must be free; the array grows then
# in the highest place of all memory. The first MiB is all reserved.
def _run_of_late_array(boot: EarlyBoot) -> int | None:
    slots = boot.array_slots
    if slots is None or len(boot.memory) + 2 <= slots:
        return None
    size = array_bytes(2 * slots)
    free = boot.memory_bytes() - reserved_while_mapping(boot)
    for start, end in reversed(list(free)):
        if (end & ~_PAGE_MASK) - size >= start:
            return end - start
    return None
