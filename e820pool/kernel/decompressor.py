"""Where the decompressor may put the kernel: the slots of physical KASLR.

It reads the zero page's RAM entries as they are: unsanitised, without
SETUP_E820_EXT, and without subtracting what lies over them.
Linux 6.1 arch/x86/boot/compressed/kaslr.c choose_random_location().
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from e820pool.abi.e820 import E820_TYPE_RAM
from e820pool.abi.efi_map import EFI_CONVENTIONAL, EFI_MEMORY_SP, EFI_UNACCEPTED
from e820pool.extents import PAGE_SHIFT, Span, round_up
from e820pool.kernel.cmdline import (
    NumberRules,
    memparse,
    number_rules,
    options,
    parse_number,
)
from e820pool.kernel.setup_data_nodes import kho_scratch, node_ranges
from e820pool.kernel.view import KaslrSlots

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from e820pool.kernel.boot_input import BootInput
    from e820pool.kernel.profiles import Profile
    from e820pool.range_lists import StartCount, StartEnd

__all__ = (
    "MAXMEM",
    "MAX_MEMMAP_REGIONS",
    "MemOptions",
    "Request",
    "SlotList",
    "has_word",
    "kaslr_slots",
    "read_mem_options",
)

# The decompressor's list of places where the kernel fits.

# MAX_SLOT_AREA of kaslr.c (4.9 to 7.3): further regions are ignored. 4.4 keeps slots,
# not regions, and has room for all below RANDOMIZE_BASE_MAX_OFFSET.
_MAX_SLOT_AREAS = 100

_GIB = 1 << 30
_U64_MAX = (1 << 64) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What KASLR looks for.

    Attributes:
        image_size: bytes that must fit.
        minimum: no slot lies below this address.
        limit: no slot's image reaches beyond this address.
        step: alignment of slots in bytes.
        avoided: bytes ``[start, end)`` that no slot's image may overlap, sorted.
        exact_fits: whether a gap of exactly the image's size before an avoided range
            is used.
        wraps: whether a region that wraps is looked at.
        last_gigantic: whether a 1 GiB page that ends where the region ends counts.
        max_areas: regions that are kept, None for all.
    """

    image_size: int
    minimum: int
    limit: int
    step: int
    avoided: tuple[Span, ...] = ()
    exact_fits: bool = True
    wraps: bool = True
    last_gigantic: bool = True
    max_areas: int | None = _MAX_SLOT_AREAS


@dataclass(slots=True, kw_only=True)
class SlotList:
    """The slot areas found so far.

    Attributes:
        areas: ``(first_addr, nr_slots)``.
        gigantic_pages: 1 GiB pages still to be left alone.
    """

    request: Request
    areas: list[StartCount] = field(default_factory=list)
    gigantic_pages: int = 0

    @property
    def is_full(self) -> bool:
        """Return whether no further area is taken."""
        limit = self.request.max_areas
        return limit is not None and len(self.areas) >= limit

    def offer(self, start: int, end: int) -> None:
        """Add the slots of one region of RAM.

        Linux 6.1 arch/x86/boot/compressed/kaslr.c __process_mem_region().
        """
        wanted = self.request
        if not wanted.wraps and start >= end:
            return
        start, end = max(start, wanted.minimum), min(end, wanted.limit)
        if 0 <= end - start < wanted.image_size and start <= _U64_MAX - wanted.step:
            return  # as below, without rounding: most regions are too small
        while not self.is_full:
            # Rounding up wraps: a region just below 2^64 then begins at 0.
            start = round_up(start, wanted.step) & _U64_MAX
            if start > end or end - start < wanted.image_size:
                return
            hit = self._first_overlap(start, end)
            if hit is None:
                self._store_around_gigantic_pages(start, end)
                return
            if hit.start >= start + wanted.image_size + (not wanted.exact_fits):
                self._store_around_gigantic_pages(start, hit.start)
            start = hit.end

    # mem_overlaps().
    def _first_overlap(self, start: int, end: int) -> Span | None:
        for span in self.request.avoided:
            if span.start < end and span.end > start:
                return span
        return None

    # process_gb_huge_pages(): whole 1 GiB pages that hugepages= asks for stay free.
    def _store_around_gigantic_pages(self, start: int, end: int) -> None:
        first = round_up(start, _GIB)
        last = (end - (not self.request.last_gigantic)) // _GIB * _GIB
        if not self.gigantic_pages or first >= last:
            self._store(start, end)
            return
        size = self.request.image_size
        if first >= start + size:
            self._store(start, first)
        taken = min(self.gigantic_pages, (last - first) // _GIB)
        self.gigantic_pages -= taken
        kept = first + taken * _GIB
        if end >= kept + size:
            self._store(kept, end)

    def _store(self, start: int, end: int) -> None:
        if not self.is_full:
            slack = end - start - self.request.image_size
            self.areas.append((start, 1 + slack // self.request.step))


# How the decompressor reads mem=, memmap= and hugepages= of the command line.
#
# It has its own reading of them, other than the kernel's: four regions at most.
# Linux 6.1 arch/x86/boot/compressed/kaslr.c handle_mem_options().

MAX_MEMMAP_REGIONS = 4
"""Regions of memmap= that are avoided (4.11 to 7.3)."""


@dataclass(slots=True, kw_only=True)
class MemOptions:
    """What the memory options of a command line say.

    Attributes:
        limit: memory beyond this address is not used.
        avoided: bytes ``[start, end)``, at most four.
        too_many: a list went on after the fourth region: physical KASLR is off.
        gigantic_pages: 1 GiB pages that hugepages= asks for.
        rules: how numbers are read.
        last_counts: whether of several limits the last one counts, not the smallest.
        has_limits: whether a size alone is a limit, not the end of the list.
    """

    limit: int
    rules: NumberRules = field(default_factory=NumberRules)
    avoided: list[Span] = field(default_factory=list)
    too_many: bool = False
    gigantic_pages: int = 0
    last_counts: bool = False
    has_limits: bool = True

    def take_limit(self, size: int) -> None:
        """Take a further limit of memory."""
        self.limit = size if self.last_counts else min(self.limit, size)


def has_word(cmdline: str, word: str) -> bool:
    """Return whether a word of its own stands in the command line.

    Words end at any character up to the space; cmdline_find_option_bool().
    """
    plain = "".join(max(" ", char) for char in cmdline)
    return word in plain.split(" ")


def read_mem_options(cmdline: str, profile: Profile, limit: int) -> MemOptions:
    """Return what this kernel's decompressor takes from the command line.

    Args:
        cmdline: the whole line.
        profile: decides which options are read at all.
        limit: the address space's end, MAXMEM.
    """
    last = not profile.has("kaslr-limit-is-smallest")
    mem_options = MemOptions(limit=_U64_MAX if last else limit, last_counts=last)
    if "mem" not in cmdline and "hugepages" not in cmdline:
        return mem_options
    mem_options.rules = number_rules(profile, decompressor=True)
    if profile.has("kaslr-reads-last-memmap"):
        _read_last_memmap(mem_options, cmdline)
    elif profile.has("kaslr-reads-cmdline"):
        _read_all(mem_options, cmdline, profile)
    return mem_options


# Linux 4.12 arch/x86/boot/compressed/kaslr.c parse_memmap().
def _read_last_memmap(mem_options: MemOptions, cmdline: str) -> None:
    mem_options.has_limits = False
    values = [o.value for o in options(cmdline) if o.name == "memmap" and o.value]
    if values:
        _avoid(mem_options, values[-1])


def _read_all(mem_options: MemOptions, cmdline: str, profile: Profile) -> None:
    is_gigantic = False
    for name, value in options(cmdline):
        if name == "memmap":
            _avoid(mem_options, value)
        elif "hugepages" in name and profile.has("kaslr-skips-gigantic-pages"):
            is_gigantic = _hugepages(mem_options, name, value or "", is_gigantic)
        elif name == "mem":
            if value == "nopentium":
                continue
            # Without a value what lies at address 0 is read: hardly ever a number.
            size, _ = memparse(value or "", mem_options.rules)
            if not size:
                # mem=0 ends the reading of all options.
                return
            mem_options.take_limit(size)
        elif name == "efi_fake_mem" and profile.has("kaslr-reads-efi-fake-mem"):
            _avoid(mem_options, value, efi=True)


# With four regions stored, a further option is not even looked at; a list that is
# not at its end by then turns physical KASLR off.
def _avoid(mem_options: MemOptions, value: str | None, *, efi: bool = False) -> None:
    items = value.split(",") if value is not None else []
    if len(mem_options.avoided) >= MAX_MEMMAP_REGIONS:
        return
    for at, item in enumerate(items):
        region = _region(item, mem_options.rules, efi=efi)
        if region is None:
            return
        addr, size = region
        if not addr and size and not mem_options.has_limits:
            return
        if not addr:
            if size:
                mem_options.take_limit(size)
            continue
        mem_options.avoided.append(Span.at(addr, size))
        if len(mem_options.avoided) >= MAX_MEMMAP_REGIONS:
            mem_options.too_many = at + 1 < len(items)
            return


# (start, size); start 0 is a limit; None ends the list. parse_memmap().
def _region(item: str, rules: NumberRules, *, efi: bool) -> StartCount | None:
    if item.startswith("exactmap"):
        return None
    size, rest = memparse(item, rules)
    if rest == item:
        return None
    sign = rest[:1]
    if sign and sign in "#$!":
        return memparse(rest[1:], rules)[0], size
    if sign == "@":
        return _fake_memory(size, rest[1:], rules) if efi else (0, 0)
    return 0, size


# efi_fake_mem=nn@ss:attribute counts when it makes memory special-purpose.
def _fake_memory(size: int, rest: str, rules: NumberRules) -> StartCount:
    addr, rest = memparse(rest, rules)
    attribute, behind = 0, ""
    if rest.startswith(":"):
        attribute, behind = parse_number(rest[1:], rules)
    if not behind and attribute & EFI_MEMORY_SP:
        return addr, size
    return 0, 0


def _hugepages(
    mem_options: MemOptions, name: str, value: str, is_gigantic: bool
) -> bool:
    if name == "hugepagesz":
        return memparse(value, mem_options.rules)[0] == _GIB
    if name == "hugepages" and is_gigantic:
        mem_options.gigantic_pages = parse_number(value, mem_options.rules)[0]
    return is_gigantic


MAXMEM = 1 << 46
"""Bytes of physical address space with four-level page tables."""

# MIN_KERNEL_ALIGN: the image's size is rounded up to whole 2 MiB pages.
_MIN_ALIGN = 2 << 20
_LOWEST_START = 512 << 20
_EFI_MEMORY_MORE_RELIABLE = 0x1_0000


def kaslr_slots(inp: BootInput, profile: Profile) -> KaslrSlots:
    """Return the load addresses that physical KASLR may choose.

    Needs ``inp.load_window``. The size of the unpacked image is taken from
    ``inp.image_size``; where that is not known, from the window, which is never
    smaller.
    """
    window = inp.load_window
    if window is None:
        return KaslrSlots(enabled=False, reason="no load window is known")
    size = _image_bytes(inp, profile, window)
    off = _why_off(inp, profile)
    if not off and _decides_unseen(inp, profile):
        return KaslrSlots(
            enabled=False,
            image_size=size,
            reason="the EFI memory map decides, and is not part of the handoff",
            known=False,
        )
    if off:
        return KaslrSlots(enabled=False, image_size=size, reason=off)
    said = read_mem_options(inp.cmdline, profile, MAXMEM)
    regions = list(_candidates(inp, profile))
    wraps = any(start >= end for start, end in regions)
    request = _request(inp, profile, said, size, wraps=wraps)
    off = _why_nowhere(said, request)
    if off:
        return KaslrSlots(enabled=False, image_size=size, reason=off)
    areas = _areas(regions, request, gigantic_pages=said.gigantic_pages)
    is_low = any(first < request.minimum for first, _ in areas)
    if is_low and profile.has("kaslr-final-check"):
        areas = _not_refused(areas, request, window.start)
    return KaslrSlots(
        enabled=bool(areas),
        areas=tuple(areas),
        step=request.step,
        image_size=size,
        reason="" if areas else "no suitable memory region",
    )


def _why_nowhere(said: MemOptions, request: Request) -> str:
    if said.too_many:
        return "a memmap= list has more than 4 regions"
    if request.minimum + request.image_size > request.limit:
        return "the image does not fit below the memory limit"
    return ""


def _areas(
    regions: list[StartEnd], request: Request, *, gigantic_pages: int
) -> list[StartCount]:
    slots = SlotList(request=request, gigantic_pages=gigantic_pages)
    for start, end in regions:
        if slots.is_full:
            break
        slots.offer(start, end)
    return slots.areas


# A slot below the minimum (of a region that wraps) may be drawn, and is refused then:
# the kernel stays where it is. find_random_phys_addr().
def _not_refused(
    areas: list[StartCount], request: Request, load_addr: int
) -> list[StartCount]:
    kept, refused = [], False
    for first, count in areas:
        below = max(0, -(-(request.minimum - first) // request.step))
        refused |= below > 0
        if below < count:
            kept.append((first + below * request.step, count - below))
    return [*kept, (load_addr, 1)] if refused and kept else kept


def _image_bytes(inp: BootInput, profile: Profile, window: Span) -> int:
    size = inp.image_size or window.size
    in_whole_pages = round_up(size, _MIN_ALIGN)
    if size != in_whole_pages and profile.has("kaslr-image-in-whole-pages"):
        return in_whole_pages
    return size


def _why_off(inp: BootInput, profile: Profile) -> str:
    if not profile.has("kaslr") or not profile.config["RANDOMIZE_BASE"]:
        return "this kernel has no KASLR"
    # With hibernation 4.4 asks for the one word only, whatever nokaslr says.
    if profile.has("kaslr-low-only") and profile.config["HIBERNATION"]:
        if not has_word(inp.cmdline, "kaslr"):
            return "with hibernation this kernel wants kaslr on the command line"
    elif has_word(inp.cmdline, "nokaslr"):
        return "nokaslr"
    return ""


def _request(
    inp: BootInput, profile: Profile, said: MemOptions, size: int, *, wraps: bool
) -> Request:
    step = int(profile.config["PHYSICAL_ALIGN"])
    start = inp.load_window[0] if inp.load_window else 0
    low_only = profile.has("kaslr-low-only")
    lowest = start if low_only else min(start, _LOWEST_START)
    limit = said.limit
    if low_only:
        limit = min(limit, int(profile.config["RANDOMIZE_BASE_MAX_OFFSET"]))
    return Request(
        image_size=size,
        minimum=round_up(lowest, step),
        limit=limit,
        step=step,
        avoided=_in_order((*_avoided(inp, profile), *said.avoided)),
        wraps=wraps
        and (
            profile.has("kaslr-takes-wrapping-regions")
            or profile.has("kaslr-took-wrapping-regions")
        ),
        # Where each slot is tried by itself room to the byte is room.
        exact_fits=low_only or profile.has("kaslr-fits-before-avoided"),
        max_areas=None if low_only else _MAX_SLOT_AREAS,
        last_gigantic=said.gigantic_pages > 0
        and profile.has("kaslr-skips-last-gigantic-page"),
    )


# The end of a range wraps: one of 2^64 - 1 bytes ends below its start, and is gone once
# a region begins behind that end.
def _in_order(spans: Iterable[Span]) -> tuple[Span, ...]:
    wrapped = (Span(span.start, span.end & _U64_MAX) for span in spans)
    return tuple(sorted(wrapped, key=lambda span: span.start))


def _avoided(inp: BootInput, profile: Profile) -> Iterator[Span]:
    spans = [_running(inp), inp.initrd, inp.cmdline_range]
    if profile.has("kaslr-avoids-boot-params"):
        spans.append(inp.boot_params_range)
    yield from (span for span in spans if span is not None)
    for node in inp.setup_data or ():
        yield from node_ranges(node, profile)


# The decompressor has moved itself and its input to the end of the load window;
# mem_avoid_init(). Where the input begins is a matter of the image.
def _running(inp: BootInput) -> Span | None:
    if inp.load_window is None or inp.payload_start is None:
        return inp.load_window
    return Span(inp.payload_start, inp.load_window.end)


def _candidates(inp: BootInput, profile: Profile) -> Iterator[StartEnd]:
    scratch = kho_scratch(inp, profile)
    if scratch:
        yield from scratch
        return
    if _reads_efi(inp, profile):
        yield from _efi_candidates(inp, profile)
        return
    for addr, size, kind in inp.rows():
        if kind == E820_TYPE_RAM:
            yield addr, (addr + size) & _U64_MAX


def _reads_efi(inp: BootInput, profile: Profile) -> bool:
    by_efi = inp.efi is not None and profile.has("kaslr-efi-memmap-first")
    return by_efi and bool(profile.config["EFI"])


def _decides_unseen(inp: BootInput, profile: Profile) -> bool:
    if kho_scratch(inp, profile):
        return False
    return _reads_efi(inp, profile) and _efi_rows(inp) is None


def _efi_rows(inp: BootInput) -> tuple[tuple[int, int, int, int], ...] | None:
    return inp.efi.rows if inp.efi is not None else None


# Mirrored memory only, where there is any.
def _efi_candidates(inp: BootInput, profile: Profile) -> Iterator[Span]:
    rows = _efi_rows(inp) or ()
    usable = {EFI_CONVENTIONAL}
    if profile.has("kaslr-unaccepted-memory"):
        usable.add(EFI_UNACCEPTED)
    skips_special = profile.has("kaslr-efi-skips-soft-reserved")
    mirrored = any(r[3] & _EFI_MEMORY_MORE_RELIABLE for r in rows)
    for addr, nr_pages, kind, attribute in rows:
        if kind not in usable or (skips_special and attribute & EFI_MEMORY_SP):
            continue
        if mirrored and not attribute & _EFI_MEMORY_MORE_RELIABLE:
            continue
        yield Span.at(addr, nr_pages << PAGE_SHIFT)
