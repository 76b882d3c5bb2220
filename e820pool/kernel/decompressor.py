"""Where the decompressor may put the kernel: the slots of physical KASLR.

It reads the zero page's RAM entries as they are: unsanitised, without
SETUP_E820_EXT, and without subtracting what lies over them.
Linux 6.1 arch/x86/boot/compressed/kaslr.c choose_random_location().
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.e820 import E820_TYPE_RAM
from e820pool.extents import PAGE_SHIFT, Span, round_up
from e820pool.kernel.efi_memmap import (
    EFI_CONVENTIONAL,
    EFI_MEMORY_SP,
    EFI_UNACCEPTED,
)
from e820pool.kernel.kaslr_cmdline import has_word, read_mem_options
from e820pool.kernel.kho import kho_scratch
from e820pool.kernel.setup_data import node_ranges
from e820pool.kernel.slot_list import Request, SlotList
from e820pool.kernel.view import KaslrSlots

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.kernel.boot_input import BootInput
    from e820pool.kernel.kaslr_cmdline import MemOptions
    from e820pool.kernel.profiles import Profile

__all__ = ("MAXMEM", "kaslr_slots")

MAXMEM = 1 << 46
"""Bytes of physical address space with four-level page tables."""

_U64_MAX = (1 << 64) - 1
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
    request = _request(inp, profile, said, size)
    off = _why_nowhere(said, request)
    if off:
        return KaslrSlots(enabled=False, image_size=size, reason=off)
    areas = _areas(inp, profile, request, gigantic_pages=said.gigantic_pages)
    if profile.has("kaslr-final-check"):
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
    inp: BootInput, profile: Profile, request: Request, *, gigantic_pages: int
) -> list[tuple[int, int]]:
    slots = SlotList(request=request, gigantic_pages=gigantic_pages)
    for start, end in _candidates(inp, profile):
        if slots.is_full:
            break
        slots.offer(start, end)
    return slots.areas


# A slot below the minimum (of a region that wraps) may be drawn, and is refused then:
# the kernel stays where it is. find_random_phys_addr().
def _not_refused(
    areas: list[tuple[int, int]], request: Request, load_addr: int
) -> list[tuple[int, int]]:
    kept, refused = [], False
    for first, count in areas:
        below = max(0, -(-(request.minimum - first) // request.step))
        refused |= below > 0
        if below < count:
            kept.append((first + below * request.step, count - below))
    return [*kept, (load_addr, 1)] if refused and kept else kept


def _image_bytes(inp: BootInput, profile: Profile, window: Span) -> int:
    size = inp.image_size or window.size
    whole = profile.has("kaslr-image-in-whole-pages")
    return round_up(size, _MIN_ALIGN) if whole else size


def _why_off(inp: BootInput, profile: Profile) -> str:
    if not profile.has("kaslr") or not profile.config["RANDOMIZE_BASE"]:
        return "this kernel has no KASLR"
    if has_word(inp.cmdline, "nokaslr"):
        return "nokaslr"
    opt_in = profile.has("kaslr-low-only") and profile.config["HIBERNATION"]
    if opt_in and not has_word(inp.cmdline, "kaslr"):
        return "with hibernation this kernel wants kaslr on the command line"
    return ""


def _request(inp: BootInput, profile: Profile, said: MemOptions, size: int) -> Request:
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
        avoided=(*_avoided(inp, profile), *said.avoided),
        wraps=profile.has("kaslr-takes-wrapping-regions"),
        exact_fits=profile.has("kaslr-fits-before-avoided"),
        last_gigantic=profile.has("kaslr-skips-last-gigantic-page"),
    )


def _avoided(inp: BootInput, profile: Profile) -> Iterator[Span]:
    spans = [_running(inp), inp.initrd, inp.cmdline_range]
    if profile.has("kaslr-avoids-boot-params"):
        spans.append(inp.boot_params_range)
    yield from (span for span in spans if span is not None)
    follow = profile.has("setup-indirect-reserved")
    for node in inp.setup_data or ():
        yield from node_ranges(node, follow_indirect=follow)


# The decompressor has moved itself and its input to the end of the load window;
# mem_avoid_init(). Where the input begins is a matter of the image.
def _running(inp: BootInput) -> Span | None:
    if inp.load_window is None or inp.payload_start is None:
        return inp.load_window
    return Span(inp.payload_start, inp.load_window.end)


def _candidates(inp: BootInput, profile: Profile) -> Iterator[Span]:
    scratch = kho_scratch(inp, profile)
    if scratch:
        yield from scratch
        return
    if _reads_efi(inp, profile):
        yield from _efi_candidates(inp, profile)
        return
    for addr, size, kind in inp.table.tolist():
        if kind == E820_TYPE_RAM:
            yield Span(addr, (addr + size) & _U64_MAX)


def _reads_efi(inp: BootInput, profile: Profile) -> bool:
    by_efi = profile.has("kaslr-efi-memmap-first") and bool(profile.config["EFI"])
    return by_efi and inp.efi is not None


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
