"""The twenty early reservations of 2.6.32."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.extents import PAGE_SIZE, Span
from e820pool.kernel.view import BootEnd
from e820pool.kernel.zero_page import chain_is_ignored

if TYPE_CHECKING:
    from e820pool.kernel.state import EarlyBoot

__all__ = ("RESERVATIONS_FULL", "RESERVATIONS_OVERLAP", "find_early_reservations")

#: A chain of 15 nodes or more.
RESERVATIONS_FULL = BootEnd(
    id="reservations-full",
    words="Too many early reservations",
    source="2.6.32 arch/x86/kernel/e820.c __reserve_early()",
)
#: A node over the image, the initrd, page 0, the trampoline or another node.
RESERVATIONS_OVERLAP = BootEnd(
    id="reservations-overlap",
    words="Overlapping early reservations",
    source="2.6.32 arch/x86/kernel/e820.c __reserve_early()",
)

_SLOTS = 20
_FIRST_PAGE = Span(0, PAGE_SIZE)
_TRAMPOLINE = Span(0x6000, 0x8000)
# reserve_ebda_region(), where the BIOS says nothing else. What is reserved in it later
# takes its place.
_BIOS = Span(0x9_F000, 0x10_0000)


def find_early_reservations(boot: EarlyBoot) -> None:
    """Note a chain of nodes for which there are not enough early reservations.

    One is left for what the kernel image allocates behind itself (reserve_brk()).
    Linux 2.6.32 arch/x86/kernel/setup.c reserve_early_setup_data().
    """
    inp = boot.inp
    if not boot.profile.has("early-reservations-in-20-slots"):
        return
    fixed = [_FIRST_PAGE, _TRAMPOLINE, inp.kernel_range, inp.initrd]
    taken = [span for span in fixed if span is not None]
    loose = [_BIOS]
    nodes = () if chain_is_ignored(boot) else inp.setup_data or ()
    for node in nodes:
        if any(node.span.overlaps(span) for span in taken):
            boot.end_later(RESERVATIONS_OVERLAP)
            return
        loose = [part for span in loose for part in span.without(node.span)]
        taken.append(node.span)
        if len(taken) + len(loose) >= _SLOTS:
            boot.end_later(RESERVATIONS_FULL)
            return
