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
    from e820pool.kernel.profiles import Profile
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
