"""What a capture kernel (kdump) is given, and which memory it will read as a dump."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from e820pool.abi.e820 import (
    E820_MAX_ENTRIES_ZEROPAGE,
    E820_TYPE_ACPI,
    E820_TYPE_NVS,
    E820_TYPE_PMEM,
    E820_TYPE_PRAM,
    E820_TYPE_RAM,
    E820_TYPE_RESERVED,
)
from e820pool.extents import ByteRangeSet, ExtentSet, Span
from e820pool.loading.kexec_loaders import HandedOver
from e820pool.sources.elf_core import kcore_with_text, kernel_text
from e820pool.type_words import resource_name, type_of_resource

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from e820pool.kernel.profiles import Profile
    from e820pool.range_lists import Row

__all__ = (
    "TOOLS_CRASH_ENTRIES",
    "CrashFiles",
    "capture_by_file",
    "capture_by_tools",
    "capture_window",
    "crash_files",
    "crash_ranges",
    "dumped_by_file",
    "dumped_by_tools",
    "entries_before_own_ram",
    "iomem_without",
)

TOOLS_CRASH_ENTRIES: Final = 1024
"""What kexec-tools hand over at the most: CRASH_MAX_MEMMAP_NR, 2.0.25
kexec/arch/i386/crashdump-x86.h. RAM is put in first, so that only RESERVED is lost."""

NamedRange = tuple[int, int, str]
# One line of /proc/iomem: half-open bytes, and its name.

_RAM = resource_name(E820_TYPE_RAM)
_RESERVED = resource_name(E820_TYPE_RESERVED)
_CRASH = "Crash kernel"
_CODE = "Kernel code"
_CUT_OUT = (_CRASH, "GART")
_MIB = 1 << 20
# The tools copy the first run of RAM that ends here or below (get_backup_area()).
_BACKUP_END = 0xA_0000
_ALIGN = 1024
_LARGE = 2 << 20

_FROM_IOMEM = (E820_TYPE_ACPI, E820_TYPE_NVS, E820_TYPE_RESERVED)
_TOOLS_PASS = {*_FROM_IOMEM, E820_TYPE_PMEM, E820_TYPE_PRAM}


def crash_ranges(ranges: Iterable[NamedRange]) -> tuple[Span, ...]:
    """Return what the kernel keeps for a capture kernel, sorted."""
    own = (Span(start, end) for start, end, name in ranges if name == _CRASH)
    return tuple(sorted(own))


def capture_window(own: Sequence[Span], init_size: int) -> Span | None:
    """Return bytes in which a capture kernel is unpacked: the top of its own memory.

    Loaders may place it elsewhere in there; no deposit is anywhere in it.
    """
    if not own:
        return None
    start, end = own[-1]
    return Span(max(start, (end - init_size) // _LARGE * _LARGE), end)


def capture_by_file(ranges: Sequence[NamedRange], profile: Profile) -> HandedOver:
    """Return the table that kexec_file_load(2) makes for a capture kernel.

    RAM below 1 MiB, then what is ACPI's, then all that is RESERVED, then the crash
    kernel's own RAM; 128 entries fit and what follows is left out without a word, so
    that the own RAM is what is lost (5.10, 6.1, 6.12, 7.2, 7.3 arch/x86/kernel/crash.c
    crash_setup_memmap_entries()). Of the crash kernel's RAM the part with the ELF
    headers of the dump is left in here.

    Args:
        ranges: /proc/iomem of the kernel that loads it.
        profile: of that kernel.
    """
    rows = _before_own_ram(ranges, profile)
    rows += [(start, end - start, E820_TYPE_RAM) for start, end in crash_ranges(ranges)]
    limit = E820_MAX_ENTRIES_ZEROPAGE
    return HandedOver(table=tuple(rows[:limit]), lost=tuple(rows[limit:]))


def capture_by_tools(ranges: Sequence[NamedRange]) -> HandedOver:
    """Return the table that kexec-tools make for a capture kernel, by kexec_load(2).

    It is sorted; beyond 128 entries it goes on in SETUP_E820_EXT, beyond 1024
    (:data:`TOOLS_CRASH_ENTRIES`) RESERVED ranges are left out. Of the crash kernel's
    RAM the parts with the backup of low memory and with the ELF headers of the dump are
    left in here. kexec-tools 2.0.25 kexec/arch/i386/crashdump-x86.c
    load_crashdump_segments().
    """
    rows = [(start, end - start, E820_TYPE_RAM) for start, end in crash_ranges(ranges)]
    rows = [*_backup(ranges), *rows]
    lost: list[Row] = []
    for start, end, name in ranges:
        kind = type_of_resource(name)
        if kind not in _TOOLS_PASS:
            continue
        if any(start < a + s and end > a for a, s, _ in rows):
            continue
        full = len(rows) >= TOOLS_CRASH_ENTRIES
        (lost if full else rows).append((start, end - start, kind))
    rows.sort()
    limit = E820_MAX_ENTRIES_ZEROPAGE
    return HandedOver(
        table=tuple(rows[:limit]), ext=tuple(rows[limit:]), lost=tuple(lost)
    )


def dumped_by_file(ranges: Sequence[NamedRange]) -> ByteRangeSet:
    """Return what /proc/vmcore holds after kexec_file_load(2): what is read of RAM.

    All that /proc/iomem calls System RAM, deposits of the running kernel among it, but
    the first MiB and the crash kernel's own (5.10 to 7.3 arch/x86/kernel/crash.c,
    walk_system_ram_res()).
    """
    return _system_ram(ranges) - ByteRangeSet([(0, _MIB)]) - _own(ranges)


def dumped_by_tools(ranges: Sequence[NamedRange], text_bytes: int = 0) -> ByteRangeSet:
    """Return what is read of RAM after a load by kexec-tools and kexec_load(2).

    What the file that they take for /proc/iomem calls System RAM, but the crash
    kernel's own. Their purgatory copies the lowest of it; where no RAM is below
    640 KiB, all that is there. And the kernel's own mapping, ``text_bytes`` long, from
    /proc/kcore: it has a header of its own, and pages in it that were freed after boot
    are anybody's.
    """
    text = [(start, start + text_bytes) for start in _code_starts(ranges)]
    backup = ByteRangeSet((addr, addr + size) for addr, size, _ in _backup(ranges))
    return (_system_ram(ranges) - _own(ranges)) | ByteRangeSet(text) | backup


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashFiles:
    """What kexec-tools read of a kernel to make the headers of its dump, ours.

    Attributes:
        iomem: in place of /proc/iomem.
        kcore: in place of /proc/kcore: its headers, which is all that they read.
        text_bytes: length of the kernel's own mapping there.
    """

    iomem: str
    kcore: bytes
    text_bytes: int

    @property
    def room(self) -> tuple[Row, ...]:
        """Return the table in place of /sys/firmware/memmap: the crash kernel's RAM.

        They take it for where segments may lie and for nothing else, and no more than
        2048 entries of it, or of iomem (kexec-tools 2.0.25
        kexec/arch/i386/kexec-x86-common.c get_memory_ranges()).
        """
        own = crash_ranges(_ranges_of(self.iomem))
        return tuple((start, end - start, E820_TYPE_RAM) for start, end in own)


def crash_files(iomem: str, kcore: bytes, pages: ExtentSet) -> CrashFiles:
    """Return both files without ``pages``.

    Args:
        iomem: text of /proc/iomem, read as root.
        kcore: the beginning of /proc/kcore with all its headers, and no more.
        pages: what the capture kernel must not read.

    Raises:
        BadImageError: kcore has no mapping of the kernel, or is cut.
    """
    size = kernel_text(kcore).size
    for start in _code_starts(_ranges_of(iomem)):
        hit = ByteRangeSet([(start, start + size)]) & pages.to_bytes()
        size = next((first - start for first, _ in hit), size)
    return CrashFiles(
        iomem=iomem_without(iomem, pages),
        kcore=kcore_with_text(kcore, size),
        text_bytes=size,
    )


# Deferred: a verdict asks this module, too, and has no such file to read.
def _ranges_of(iomem: str) -> list[NamedRange]:
    from e820pool.sources.iomem import named_ranges  # noqa: PLC0415

    return named_ranges(iomem)


_IOMEM_LINE = re.compile(
    r"^(?P<indent> *)(?P<first>[0-9a-f]+)-(?P<last>[0-9a-f]+) : (?P<name>.*)$"
)


def iomem_without(text: str, pages: ExtentSet) -> str:
    """Return the text of /proc/iomem with pages cut out of System RAM, as Reserved.

    Lines that are no RAM stay as they are, those nested in RAM too. What lies between
    two of the pages without anything but RAM and RESERVED is one Reserved line more, at
    the beginning: the tools hand over the first of what overlaps. So there is no
    entry for each extent, and no hole between them, into which PCI devices might go.
    """
    cut = pages.to_bytes()
    around = [_line(*span, _RESERVED) for span in _around(_ranges_of(text), cut)]
    lines = (line for old in text.splitlines() for line in _cut(old, cut))
    return "".join(f"{line}\n" for line in (*around, *lines))


# From the first to the last of the pages wherever there are several. Not across the
# crash kernel's memory or a GART: the tools cut these out, and call what lies behind
# RAM, which is dumped (2.0.25 kexec/arch/i386/crashdump-x86.c exclude_region()).
def _around(ranges: Sequence[NamedRange], cut: ByteRangeSet) -> Iterator[Span]:
    plain = ByteRangeSet(
        (start, end)
        for start, end, name in ranges
        if start >= _MIB
        and (_RAM in name or type_of_resource(name) == E820_TYPE_RESERVED)
    )
    # And what the tools hand over as something else than RESERVED.
    others = _TOOLS_PASS - {E820_TYPE_RESERVED}
    cut_out = ByteRangeSet(
        (start, end)
        for start, end, name in ranges
        if name in _CUT_OUT or type_of_resource(name) in others
    )
    for piece in plain - cut_out:
        hit = list(ByteRangeSet([piece]) & cut)
        if len(hit) > 1:
            yield Span(hit[0][0], hit[-1][1])


def _line(start: int, end: int, name: str, indent: str = "") -> str:
    return f"{indent}{start:08x}-{end - 1:08x} : {name}"


def _cut(line: str, cut: ByteRangeSet) -> Iterator[str]:
    match = _IOMEM_LINE.match(line)
    if match is None or _RAM not in match["name"]:
        yield line
        return
    whole = ByteRangeSet([(int(match["first"], 16), int(match["last"], 16) + 1)])
    hit = whole & cut
    if not hit:
        yield line
        return
    pieces = [(start, end, match["name"]) for start, end in whole - hit]
    pieces += [(start, end, _RESERVED) for start, end in hit]
    for start, end, name in sorted(pieces):
        yield _line(start, end, name, match["indent"])


def entries_before_own_ram(ranges: Sequence[NamedRange], profile: Profile) -> int:
    """Return how many entries kexec_file_load(2) writes before the crash kernel's RAM.

    With 128 of them that RAM is lost.
    """
    return len(_before_own_ram(ranges, profile))


def _before_own_ram(ranges: Sequence[NamedRange], profile: Profile) -> list[Row]:
    if profile.has("capture-table-whole-first-mib"):
        rows = _walked(ranges, E820_TYPE_RAM, _MIB)
    else:
        rows = _walked(ranges, E820_TYPE_RAM, _BACKUP_END)[:1]
    for kind in _FROM_IOMEM:
        if kind != E820_TYPE_RESERVED or profile.has("capture-table-has-reserved"):
            rows += _walked(ranges, kind)
    return rows


# As walk_iomem_res_desc() goes: what lies within a match is not looked at again.
def _walked(ranges: Sequence[NamedRange], kind: int, limit: int = 1 << 64) -> list[Row]:
    rows: list[Row] = []
    at = 0
    for start, end, name in sorted(ranges, key=lambda row: (row[0], -row[1])):
        first, after = max(start, at), min(end, limit)
        if type_of_resource(name) == kind and first < after:
            rows.append((first, after - first, kind))
            at = after
    return rows


def _backup(ranges: Sequence[NamedRange]) -> list[Row]:
    for start, end, name in ranges:
        if _RAM in name and end - 1 <= _BACKUP_END:
            first = -(-start // _ALIGN) * _ALIGN
            after = end // _ALIGN * _ALIGN
            return [(first, after - first, E820_TYPE_RAM)] if first < after else []
    return [(0, _BACKUP_END, E820_TYPE_RAM)]


# With what a driver added: "System RAM (kmem)".
def _system_ram(ranges: Iterable[NamedRange]) -> ByteRangeSet:
    return ByteRangeSet((start, end) for start, end, name in ranges if _RAM in name)


# What kexec-tools take for the physical address of the mapping (get_kernel_paddr()).
def _code_starts(ranges: Iterable[NamedRange]) -> list[int]:
    return [start for start, _, name in ranges if name == _CODE][:1]


def _own(ranges: Iterable[NamedRange]) -> ByteRangeSet:
    return ByteRangeSet(crash_ranges(ranges))
