"""The memory of setup_data nodes is marked in the tables."""

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
from e820pool.extents import Span
from e820pool.kernel.zero_page import chain_is_ignored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.kernel.boot_input import SetupDataSpan
    from e820pool.kernel.state import EarlyBoot
    from e820pool.kernel.table import Table

__all__ = ("mark_setup_data", "node_ranges")


def mark_setup_data(boot: EarlyBoot) -> None:
    """Turn RAM under each node into type 128, where this kernel does that.

    Linux 6.1 arch/x86/kernel/e820.c e820__reserve_setup_data(); before 4.12
    e820_reserve_setup_data().
    """
    profile, spans = boot.profile, boot.inp.setup_data or ()
    if chain_is_ignored(boot):
        spans = ()
    if not profile.has("setup-data-marked") or not (spans or boot.extended):
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


def node_ranges(span: SetupDataSpan, *, follow_indirect: bool) -> Iterator[Span]:
    """Yield the bytes of a node, and of what an indirect one points to."""
    yield span.span
    # An indirect node that points to another one is left alone.
    if follow_indirect and span.indirect and span.indirect[2] != SETUP_INDIRECT:
        yield Span.at(*span.indirect[:2])


def _mark(table: Table, span: SetupDataSpan, boot: EarlyBoot) -> None:
    follow = boot.profile.has("setup-indirect-reserved")
    if span.type == SETUP_RNG_SEED and boot.profile.has("rng-seed-wiped"):
        # The length was zeroed when the seed was used: the header is left.
        span = replace(span, size=min(span.size, NODE_HEADER_BYTES))
    for named in node_ranges(span, follow_indirect=follow):
        table.retype(named.start, named.size, E820_TYPE_RAM, E820_TYPE_RESERVED_KERN)


# kexec passes some nodes anew, so that their old place is free for it.
def _mark_for_kexec(boot: EarlyBoot, spans: tuple[SetupDataSpan, ...]) -> None:
    skipped = set()
    if boot.profile.has("kexec-mark-skips-efi"):
        skipped.add(SETUP_EFI)
    if boot.profile.has("kexec-mark-skips-ima"):
        skipped.add(SETUP_IMA)
    if boot.profile.has("kexec-mark-skips-seed"):
        skipped.add(SETUP_RNG_SEED)
    for span in spans:
        if span.type not in skipped:
            _mark(boot.kexec, span, boot)
    boot.kexec.sanitize()
