"""The real-mode trampoline: low RAM without which no kernel gets far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.extents import PAGE_SIZE, ByteRangeSet
from e820pool.kernel.boot_end import BootEnd
from e820pool.kernel.memblock import early_reservations

if TYPE_CHECKING:
    from e820pool.kernel.state import EarlyBoot

__all__ = ("NO_TRAMPOLINE", "find_no_trampoline")

#: No low RAM.
NO_TRAMPOLINE = BootEnd(
    id="no-trampoline",
    words="Real mode trampoline was not allocated",
    source="6.1, 7.3 arch/x86/realmode/init.c reserve_real_mode(), init_real_mode()",
)

# Whole pages of the real-mode code: Debian's 5.10 has 0x6000, 6.1 to 7.3 have 0x7000.
_TRAMPOLINE_BYTES = 0x7000
_SMALLER_BYTES = 0x6000
_LOWEST = PAGE_SIZE
_LIMIT = 1 << 20


def find_no_trampoline(boot: EarlyBoot) -> None:
    """Note a boot that ends for want of a place for the trampoline below 1 MiB.

    Linux 6.1 arch/x86/realmode/init.c reserve_real_mode(), init_real_mode();
    5.10 to 7.3 alike.
    """
    if not boot.profile.has("no-trampoline-kills"):
        return
    size = _TRAMPOLINE_BYTES
    if not boot.profile.has("first-mib-reserved"):
        size = _SMALLER_BYTES
    low = ByteRangeSet([(_LOWEST, _LIMIT)])
    taken = early_reservations(boot)
    if boot.array_room is not None:
        # memblock's array has grown into low memory before the trampoline is placed.
        taken.append(boot.array_room)
    free = (boot.memory_bytes() & low) - ByteRangeSet(taken)
    if not any(end - start >= size for start, end in free):
        boot.end_later(NO_TRAMPOLINE)
