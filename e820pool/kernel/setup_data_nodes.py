"""What the nodes of the setup_data chain are to a kernel.

Their memory is marked in the tables; 2.6.32 reserves each by itself; a node of kexec
handover names scratch areas, which are memory, and pages that are preserved.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from e820pool.abi.e820 import E820_TYPE_RAM, E820_TYPE_RESERVED_KERN
from e820pool.abi.setup_data import (
    NODE_HEADER_BYTES,
    SETUP_EFI,
    SETUP_IMA,
    SETUP_INDIRECT,
    SETUP_RNG_SEED,
)
from e820pool.extents import PAGE_SIZE, ExtentSet, Span
from e820pool.kernel.view import BootEnd
from e820pool.kernel.zero_page import chain_is_ignored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.kernel.boot_input import BootInput, SetupDataSpan
    from e820pool.kernel.kernel_table import Table
    from e820pool.kernel.profiles import Profile
    from e820pool.kernel.state import EarlyBoot

__all__ = (
    "RESERVATIONS_FULL",
    "RESERVATIONS_OVERLAP",
    "find_early_reservations",
    "kho_preserved",
    "kho_scratch",
    "mark_setup_data",
    "node_ranges",
    "reads_kho",
)


def mark_setup_data(boot: EarlyBoot) -> None:
    """Turn RAM under each node into type 128, where this kernel does that.

    Linux 6.1 arch/x86/kernel/e820.c e820__reserve_setup_data(); before 4.12
    e820_reserve_setup_data().
    """
    profile, spans = boot.profile, boot.inp.setup_data or ()
    if chain_is_ignored(boot):
        spans = ()
    if not (spans or boot.extended) or not profile.has("setup-data-marked"):
        return
    for span in spans:
        _mark(boot.table, span, boot)
    boot.sanitize()
    if profile.has("setup-data-replaces-firmware-map"):
        boot.keep_firmware_map()
    if profile.has("setup-data-marked-for-kexec"):
        _mark_for_kexec(boot, spans)
    if spans:
        boot.setup_data_map = tuple(boot.table.rows)


def node_ranges(span: SetupDataSpan, profile: Profile) -> Iterator[Span]:
    """Yield the bytes of a node, and of what an indirect one points to."""
    yield span.span
    # An indirect node that points to another one is left alone.
    is_followed = span.indirect is not None and span.indirect[2] != SETUP_INDIRECT
    if span.indirect and is_followed and profile.has("setup-indirect-reserved"):
        yield Span.at(*span.indirect[:2])


def _mark(table: Table, span: SetupDataSpan, boot: EarlyBoot) -> None:
    if span.type == SETUP_RNG_SEED and boot.profile.has("rng-seed-wiped"):
        # The length was zeroed when the seed was used: the header is left.
        span = replace(span, size=min(span.size, NODE_HEADER_BYTES))
    for named in node_ranges(span, boot.profile):
        table.retype(named.start, named.size, E820_TYPE_RAM, E820_TYPE_RESERVED_KERN)


# kexec passes some nodes anew, so that their old place is free for it.
_SKIPPED = {
    SETUP_EFI: "kexec-mark-skips-efi",
    SETUP_IMA: "kexec-mark-skips-ima",
    SETUP_RNG_SEED: "kexec-mark-skips-seed",
}


def _mark_for_kexec(boot: EarlyBoot, spans: tuple[SetupDataSpan, ...]) -> None:
    for span in spans:
        skips = _SKIPPED.get(span.type)
        if skips is None or not boot.profile.has(skips):
            _mark(boot.kexec, span, boot)
    boot.kexec.sanitize()


# The twenty early reservations of 2.6.32.

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


# Kexec handover.

# What a node may be compatible with, and who reads it.
_ABIS = {"kho-v1": "kho-abi-v1", "kho-v4": "kho-abi-v4"}


def kho_scratch(inp: BootInput, profile: Profile) -> tuple[Span, ...]:
    """Return the scratch areas that this kernel takes over."""
    return inp.kho_scratch if inp.kho_scratch and reads_kho(inp, profile) else ()


def kho_preserved(inp: BootInput, profile: Profile) -> ExtentSet:
    """Return the pages that this kernel reserves, as the node wants it.

    They are reserved before anything else is allocated than out of scratch areas.
    Linux 6.18 kernel/kexec_handover.c kho_mem_deserialize(); 7.3
    kernel/liveupdate/kexec_handover.c kho_mem_retrieve().
    """
    pages = inp.kho_preserved
    return pages if not pages or reads_kho(inp, profile) else ExtentSet()


def reads_kho(inp: BootInput, profile: Profile) -> bool:
    """Return whether this kernel takes a SETUP_KEXEC_KHO node over.

    Not without CONFIG_KEXEC_HANDOVER, nor before it existed: the node is then skipped
    like an unknown one. One of another ABI is refused ("disabling KHO revival").
    Linux 6.18 kernel/kexec_handover.c kho_populate().
    """
    if not profile.has("kho-scratch-is-memory") or not profile.config["KEXEC_HANDOVER"]:
        return False
    return not inp.kho_compatible or profile.has(_ABIS.get(inp.kho_compatible, ""))
