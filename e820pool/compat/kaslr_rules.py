"""Where KASLR looks at something else than the kernel does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.e820 import E820_TYPE_RAM
from e820pool.abi.efi_map import EFI_CONVENTIONAL, EFI_UNACCEPTED
from e820pool.abi.setup_data import SETUP_KEXEC_KHO
from e820pool.compat.verdict import finding_about
from e820pool.extents import PAGE_SHIFT, ByteRangeSet, ExtentSet, Span
from e820pool.findings import Finding, Level
from e820pool.kernel.decompressor import (
    MAX_MEMMAP_REGIONS,
    MAXMEM,
    has_word,
    read_mem_options,
)
from e820pool.kernel.setup_data_nodes import kho_scratch
from e820pool.table import E820Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from e820pool.compat.situation import Situation
    from e820pool.kernel.boot_input import BootInput, EfiMemmap
    from e820pool.kernel.profiles import Profile

__all__ = ("findings_of_kaslr_rules",)

_EFI = "4.14 to 7.3 arch/x86/boot/compressed/kaslr.c process_efi_entries()"
_MEMMAP = "4.14 to 7.3 arch/x86/boot/compressed/kaslr.c mem_avoid_memmap()"
_NO_MEMMAP = "4.9 arch/x86/boot/compressed/kaslr.c mem_avoid_init()"
_KHO = "7.3 kernel/liveupdate/kexec_handover.c kho_populate()"


def findings_of_kaslr_rules(case: Situation) -> Iterator[Finding]:
    """Yield findings about inputs that make KASLR ignore the e820 table."""
    inp, profile = case.inp, case.profile
    if not case.deposits:
        return
    scratch = kho_scratch(inp, profile)
    yield from _scratch(case, inp, scratch)
    rules = inp.efi is not None or "mem" in inp.cmdline
    if scratch or not rules or not _randomises(inp, profile):
        return
    by_efi = profile.has("kaslr-efi-memmap-first") and profile.config["EFI"]
    if by_efi and inp.efi is not None:
        yield from _efi(case, inp.efi)
    elif "mem" in inp.cmdline:
        yield from _memmap(case, inp, profile)


def _randomises(inp: BootInput, profile: Profile) -> bool:
    if not profile.has("kaslr") or not profile.config["RANDOMIZE_BASE"]:
        return False
    if profile.has("kaslr-low-only") and profile.config["HIBERNATION"]:
        return has_word(inp.cmdline, "kaslr")
    return not has_word(inp.cmdline, "nokaslr")


def _scratch(
    case: Situation, inp: BootInput, scratch: tuple[Span, ...]
) -> Iterator[Finding]:
    hit = case.deposits & _spans(scratch) if scratch else None
    if hit:
        yield finding_about(
            "kho-scratch-overlap",
            "unsafe",
            hit,
            "a scratch area of the kexec handover makes {pages} memory, whatever the "
            "table says",
            _KHO,
        )
    named = any(node.type == SETUP_KEXEC_KHO for node in inp.setup_data or ())
    if not named or inp.kho_scratch:
        return
    if case.has("kho-scratch-is-memory") and case.profile.config["KEXEC_HANDOVER"]:
        message = (
            "the scratch areas that the kexec handover node names become memory, "
            "whatever the table says, and they are no part of the handoff"
        )
        yield Finding(
            id="kho-scratch-overlap", level="degraded", message=message, source=_KHO
        )


def _spans(spans: Iterable[Span]) -> ExtentSet:
    limit = ByteRangeSet.LIMIT
    return ByteRangeSet(span.below(limit) for span in spans).pages_touched()


def _efi(case: Situation, efi: EfiMemmap) -> Iterator[Finding]:
    if efi.rows is None:
        message = (
            "KASLR looks for its place in the EFI memory map and not in the table; "
            "that map is no part of the handoff: it must hold no conventional memory"
        )
        yield Finding(
            id="efi-memmap-overrides", level="degraded", message=message, source=_EFI
        )
        return
    kinds = {EFI_CONVENTIONAL}
    if case.has("kaslr-unaccepted-memory"):
        kinds.add(EFI_UNACCEPTED)
    spans = (
        Span.at(at, nr << PAGE_SHIFT) for at, nr, kind, _ in efi.rows if kind in kinds
    )
    hit = case.deposits & _spans(spans)
    if hit:
        text = (
            "KASLR looks for its place in the EFI memory map and not in the table: "
            "there {pages} are conventional memory"
        )
        yield finding_about("efi-memmap-overrides", "unsafe", hit, text, _EFI)


# Deposits that mem= and memmap= keep from the kernel, but not from KASLR.
def _memmap(case: Situation, inp: BootInput, profile: Profile) -> Iterator[Finding]:
    ram = E820Table(inp.table).bytes_of(E820_TYPE_RAM)
    exposed = case.deposits & ram.pages_touched()
    if not exposed:
        return
    options = read_mem_options(inp.cmdline, profile, MAXMEM)
    if options.too_many:
        message = (
            f"a memmap= list of more than {MAX_MEMMAP_REGIONS} ranges turns physical "
            "KASLR off; the same ranges as options of their own would not"
        )
        yield Finding(id="memmap-limit", level="note", message=message, source=_MEMMAP)
        return
    limit = ByteRangeSet.LIMIT
    avoided = [span.below(limit) for span in options.avoided]
    avoided.append(Span(options.limit, limit).below(limit))
    escaped = exposed - case.usable - ByteRangeSet(avoided).pages_inside()
    if escaped and case.view.user_map is not None:
        reads = case.has("kaslr-reads-cmdline") or case.has("kaslr-reads-last-memmap")
        why = f"avoids {MAX_MEMMAP_REGIONS} ranges of memmap= at most"
        text = why if reads else "does not look at mem= and memmap="
        yield finding_about(
            "memmap-limit",
            _level(case, escaped),
            escaped,
            f"the command line keeps {{pages}} from the kernel, but KASLR {text}",
            _MEMMAP if reads else _NO_MEMMAP,
        )


# Where the image is known, slots decide; else nobody can say that none fits.
def _level(case: Situation, escaped: ExtentSet) -> Level:
    slots = case.view.kaslr
    if slots is None:
        return "degraded"
    hits, _ = slots.slots_over(escaped.to_bytes())
    return "unsafe" if hits and slots.enabled else "note"
