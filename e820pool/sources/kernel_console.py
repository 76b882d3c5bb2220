"""Read the console of one boot: what that kernel made of its memory map."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from e820pool.abi.e820 import E820_TYPE_RAM, E820_TYPE_RESERVED_KERN
from e820pool.extents import Span
from e820pool.kernel.early_memory import (
    INITRD_TOO_LARGE,
    NO_FREE_MEMORY,
    NO_PLACE_FOR_INITRD,
    NO_ROOM_FOR_SECTIONS,
    NO_TRAMPOLINE,
    RESERVED_ARRAY_STUCK,
)
from e820pool.kernel.resources import ENDS_AT_2_64
from e820pool.kernel.setup_data_nodes import RESERVATIONS_FULL, RESERVATIONS_OVERLAP
from e820pool.kernel.table_edits import (
    KERNEL_UNMAPPED,
    TYPE_INTO_ITSELF,
    USER_MAP_EMPTY,
)
from e820pool.kernel.view import BootEnd
from e820pool.kernel.zero_page import COUNT_TOO_HIGH
from e820pool.sources.log_blocks import boots_of
from e820pool.sources.log_text import clean_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e820pool.range_lists import Row
    from e820pool.sources.log_blocks import LoggedBoot
    from e820pool.sources.log_entry import BlockName
    from e820pool.sources.log_text import LogLine

__all__ = ("OUT_OF_MEMORY", "ConsoleFacts", "FirstMap", "read_console")

FirstMap = Literal["BIOS-e820", "BIOS-e801", "BIOS-88"]
"""The name before the entries of the first map."""

# What each release prints, and what it means; the words are those of the model.
# "too many entries" 2.6.26 to 6.19, "E820 table full" since 7.0 (__e820__range_add());
# the kernel range: e820_add_kernel_range(), which says E820_RAM to 4.11;
# memblock_double_array() in mm/memblock.c.
_WARNINGS = (
    ("too-many-entries", re.compile(r"[Tt]oo many entries[;!i ]|E820 table full;")),
    ("kernel-range-not-ram", re.compile(r"are not marked as E820_(?:TYPE_)?RAM!")),
    ("memblock-full", re.compile(r"Failed to double (?:memory|reserved) array")),
    ("physical-kaslr-off", re.compile(r"Physical KASLR disabled")),
    ("kaslr-off", re.compile(r"^KASLR disabled: ")),
    ("messages-lost", re.compile(r"\*\* \d{1,9} printk messages dropped \*\*")),
)
_BANNER = re.compile(r"Linux version (\S+) ")
_CMDLINE = re.compile(r"(?:^|\] )Command line: (.*)")
_LOST = re.compile(r"\*\* (\d{1,9}) printk messages dropped \*\*")
_IGNORED = re.compile(
    r"(?:too many entries|table full); ignoring "
    r"\[mem 0x([0-9a-f]{1,16})-0x([0-9a-f]{1,16})\]"
)
# __e820__range_update(): debug messages, with the type twice "usable" where a
# setup_data node is set apart from RAM.
_MARKED = re.compile(
    r"e820: update \[mem 0x([0-9a-f]{1,16})-0x([0-9a-f]{1,16})\] usable ==> usable"
)
_INIT = re.compile(r"Run /init as init process|Run /sbin/init as init process")


_HEX = "0x([0-9a-f]{1,16})"

# free_area_init() (mm/mm_init.c, before 6.2 mm/page_alloc.c) prints every region of
# memblock.memory, rounded to pages; of memory that belongs to no node as node -1.
_NODE_HEADLINE = re.compile(r"Early memory node ranges")
_NODE_RANGE = re.compile(rf"  node +-?\d{{1,4}}: \[mem {_HEX}-{_HEX}\]")

# memblock_dump() (mm/memblock.c), with memblock=debug: once at the end of
# e820__memblock_setup(), later again.
_DUMP_HEADLINE = re.compile(r"MEMBLOCK configuration:")
_DUMP_REGION = re.compile(
    rf"(memory|reserved)\[0x[0-9a-f]{{1,8}}\]\s+\[{_HEX}-{_HEX}\], "
)

# e820_add_kernel_range() (arch/x86/kernel/setup.c): a complaint, then the debug
# message of the removal, of every type, which names [_text, _end).
_NOT_RAM = re.compile(r"are not marked as E820_(?:TYPE_)?RAM!")
_REMOVED = re.compile(rf"e820: remove \[mem {_HEX}-{_HEX}\] *$")

# A line without any of these is of no interest; looking for them is cheap.
_HINTS = ("mem", "MEMBLOCK", "reserved[", "marked as E820_")

_PANIC = re.compile(r"(?<!end )Kernel panic - not syncing: (.*)")
_BUG = re.compile(r"kernel BUG at (\S+?)!")
_OOPS = re.compile(r"BUG: ((?:unable to handle|kernel NULL pointer)[^,]*)")
# early_fixup_exception() (arch/x86/mm/extable.c): the CPU is halted after it; up to
# 4.5 early_idt_handler, which names the function in a line of its own.
_EARLY = re.compile(r"PANIC: early exception (?:0x)?([0-9a-f]{1,4})")
# do_pf_error() of the decompressor (arch/x86/boot/compressed/ident_map_64.c): it tells
# the address, then more, and stops as error() does.
_PAGE_FAULT = re.compile(r"^CR2: 0x([0-9a-f]{16})$")
# error() of the decompressor (arch/x86/boot/compressed/error.c): its words, then
# this line.
_DECOMPRESSOR = re.compile(r"^ *-- System halted")
# Up to 4.10 the address stands before the name, twice.
_FUNCTION = re.compile(
    r"^(?:.*RIP: [0-9a-f]{1,4}:(?:\[<[0-9a-f]{16}>\] +){0,2}|RIP )([A-Za-z_][\w]*)"
)
_UPTIME = re.compile(r"^(?:<\d{1,2}>)?\[ *\d{1,7}\.\d{6}\] ")

# Panics that only say that an oops, which was told before, hit the wrong task.
_HOLLOW = re.compile(r"Attempted to kill|Fatal exception")

#: What a guest that fills its memory may end with, whatever it was handed.
OUT_OF_MEMORY = BootEnd(
    id="out-of-memory",
    words="System is deadlocked on memory",
    source="6.1 mm/oom_kill.c out_of_memory()",
)
# By what a reason shows an end of the model: a panic's words, or where it crashed.
_KNOWN = tuple(
    (re.compile(pattern), end)
    for pattern, end in (
        (r"^Invalid user supplied memory map", USER_MAP_EMPTY),
        (r"^Real mode trampoline was not allocated", NO_TRAMPOLINE),
        # Up to 4.8, where the place is reserved.
        (r"^Cannot allocate trampoline", NO_TRAMPOLINE),
        # Up to 4.14 it "ran out of" memory where nothing is mapped yet.
        (r"^alloc_low_pages?: (?:can not alloc|ran out of) memory", NO_FREE_MEMORY),
        # 2.6.32
        (r"^Cannot find space for the kernel page tables", NO_FREE_MEMORY),
        (r"^Cannot find place for new RAMDISK", NO_PLACE_FOR_INITRD),
        (r"^initrd too large to handle", INITRD_TOO_LARGE),
        # 2.6.32
        (r"^Out of memory$", NO_ROOM_FOR_SECTIONS),
        (r"^Too many early reservations", RESERVATIONS_FULL),
        (r"^Overlapping early reservations", RESERVATIONS_OVERLAP),
        (r"^System is deadlocked on memory", OUT_OF_MEMORY),
        (r" in extend_brk$", RESERVED_ARRAY_STUCK),
        (r" in firmware_map_add_entry$", ENDS_AT_2_64),
        (r" in __?e820_+range_update$", TYPE_INTO_ITSELF),
        (r" in sanitize_e820_map$", COUNT_TOO_HIGH),
        # Up to 3.8.
        (r"^early exception 0x0e in init_memory_mapping$", KERNEL_UNMAPPED),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleFacts:
    """What one boot printed about memory; None where it printed nothing.

    Attributes:
        kernel: release, as ``uname -r`` says it.
        cmdline: the command line as the kernel got it.
        map_source: the name before the entries of the first map.
        bios_map, extended_map, setup_data_map, user_map: the maps in the order in
            which kernels print them. A setup_data node's row has type
            128 when the debug messages that tell it from RAM are there.
        memory: memblock.memory as ``(addr, size)``, page-rounded; empty when the
            boot ended before it was printed.
        reserved: memblock.reserved at the same moment (``memblock=debug`` only).
        ignored: ``(addr, size)`` of each range that found its table full.
        lost_messages: messages that never reached the console; maps may be cut.
        warnings: stable words for what the kernel complained of, once each.
        kernel_range: bytes of the kernel image, where a message names them.
        fatal: why the boot could not go on.
        end: which of the ends that are known that is, None for others.
        reached_init: whether user space was started.
    """

    kernel: str | None
    cmdline: str | None
    map_source: FirstMap | None
    bios_map: tuple[Row, ...] | None
    extended_map: tuple[Row, ...] | None
    setup_data_map: tuple[Row, ...] | None
    user_map: tuple[Row, ...] | None
    memory: tuple[Span, ...]
    reserved: tuple[Span, ...] | None
    ignored: tuple[Span, ...]
    lost_messages: int
    warnings: tuple[str, ...]
    kernel_range: Span | None
    fatal: str | None
    end: BootEnd | None
    reached_init: bool


def read_console(text: str) -> ConsoleFacts:
    """Return what a console log says; of several boots, the last one.

    Any text can be read; a text that is no log gives facts that are all None.
    """
    lines = _last_boot(list(clean_lines(text)))
    texts = [line.text for line in lines]
    boot = next(iter(reversed(boots_of(lines))), None)
    memory, fatal = _memory_of(texts), _fatal_reason(texts)
    marked = _spans(_MARKED, texts)
    return ConsoleFacts(
        kernel=_first(_BANNER, texts),
        cmdline=_first(_CMDLINE, texts),
        map_source=_map_source(boot),
        bios_map=_rows(boot, "bios"),
        extended_map=_rows(boot, "extended"),
        setup_data_map=_with_nodes(_rows(boot, "setup_data"), marked),
        user_map=_rows(boot, "user"),
        memory=memory.memory,
        reserved=memory.reserved,
        ignored=_spans(_IGNORED, texts),
        lost_messages=sum(int(m[1]) for m in map(_LOST.search, texts) if m),
        warnings=_warnings(texts, boot),
        kernel_range=memory.kernel_range,
        fatal=fatal,
        end=next((end for form, end in _KNOWN if fatal and form.search(fatal)), None),
        reached_init=any(map(_INIT.search, texts)),
    )


class _Memory(NamedTuple):
    # memblock.memory, empty when never shown; memblock.reserved of the first dump, None
    # without one; the bytes of the image, where the kernel says.
    memory: tuple[Span, ...]
    reserved: tuple[Span, ...] | None
    kernel_range: Span | None


def _memory_of(texts: Sequence[str]) -> _Memory:
    nodes: list[Span] = []
    dump: dict[str, list[Span]] = {}
    dumps, removal_is_kernel, kernel_range = 0, False, None
    for line in texts:
        if not any(hint in line for hint in _HINTS):
            continue
        if _DUMP_HEADLINE.search(line):
            dumps += 1
        elif dumps == 1 and (region := _DUMP_REGION.search(line)):
            dump.setdefault(region[1], []).append(_span(region[2], region[3]))
        elif node := _NODE_RANGE.search(line):
            span = _span(node[1], node[2])
            # A region whose pages have a flag, as scratch areas of a handover have, is
            # one of its own, though the memory goes on.
            if nodes and nodes[-1].end == span.start:
                span = Span(nodes.pop().start, span.end)
            nodes.append(span)
        elif _NODE_HEADLINE.search(line):
            nodes.clear()
        elif _NOT_RAM.search(line):
            removal_is_kernel = True
        elif removal_is_kernel and (removed := _REMOVED.search(line)):
            kernel_range, removal_is_kernel = _span(removed[1], removed[2]), False
    # A dump is whole; the list of nodes is cut where a boot ends in it.
    reserved = tuple(dump.get("reserved", ())) if dumps else None
    return _Memory(tuple(dump.get("memory") or nodes), reserved, kernel_range)


def _span(first: str, last: str) -> Span:
    start = int(first, 16)
    return Span(start, max(int(last, 16) + 1, start))


# Why the boot ended, None when nothing says that it had to.
def _fatal_reason(texts: Sequence[str]) -> str | None:
    panic = crash = place = early = None
    for line in texts:
        if match := _PANIC.search(line):
            panic = panic or match[1].strip()
        elif match := _BUG.search(line):
            crash = crash or f"kernel BUG at {match[1]}"
        elif match := _OOPS.search(line):
            crash = crash or match[1].strip()
        elif match := _EARLY.search(line):
            early = early or f"early exception 0x{match[1]}"
        elif match := _FUNCTION.search(line):
            place = place or match[1]
    if panic and not _HOLLOW.search(panic):
        return panic
    # An oops alone may be survived; a panic or a halt after it is not.
    if crash and (panic or early):
        return f"{crash} in {place}"
    # So early a BUG may have no words of its own.
    words = f"{early} in {place}" if early and place else early
    return panic or words or _decompressor_halt(texts)


def _decompressor_halt(texts: Sequence[str]) -> str | None:
    halt, last = None, ""
    for line in texts:
        if (match := _PAGE_FAULT.search(line)) and "Error Code:" in last:
            halt = f"page fault at {int(match[1], 16):#x} in the decompressor"
        elif _DECOMPRESSOR.search(line):
            halt = halt or last or "System halted"
        last = _UPTIME.sub("", line).strip() or last
    return halt


# The lines from the last banner on, and those of its decompressor before it.
def _last_boot(lines: Sequence[LogLine]) -> Sequence[LogLine]:
    banners = [n for n, line in enumerate(lines) if _BANNER.search(line.text)]
    if len(banners) < 2:
        return lines
    start = banners[-1]
    while start > banners[-2] + 1 and not lines[start - 1].text.startswith("["):
        start -= 1
    return lines[start:]


def _first(pattern: re.Pattern[str], texts: Sequence[str]) -> str | None:
    match = next(filter(None, map(pattern.search, texts)), None)
    return match[1] if match else None


def _spans(pattern: re.Pattern[str], texts: Sequence[str]) -> tuple[Span, ...]:
    matches = filter(None, map(pattern.search, texts))
    bounds = (Span(int(m[1], 16), int(m[2], 16) + 1) for m in matches)
    return tuple(span for span in bounds if span.end > span.start)


def _map_source(boot: LoggedBoot | None) -> FirstMap | None:
    if boot is None or "bios" not in boot.blocks:
        return None
    who = boot.blocks["bios"].entries[0].who
    return next((name for name in get_args(FirstMap) if name == who), None)


def _rows(boot: LoggedBoot | None, name: BlockName) -> tuple[Row, ...] | None:
    if boot is None or name not in boot.blocks:
        return None
    return tuple(
        (entry.addr, entry.size, entry.type)
        for entry in boot.blocks[name].entries
        if entry.type is not None
    )


def _with_nodes(
    rows: tuple[Row, ...] | None, nodes: Sequence[Span]
) -> tuple[Row, ...] | None:
    if rows is None:
        return None
    spans = _joined(nodes)
    return tuple(
        (addr, size, _marked_type(addr, size, kind, spans)) for addr, size, kind in rows
    )


def _marked_type(addr: int, size: int, kind: int, spans: Sequence[Span]) -> int:
    inside = any(start <= addr and addr + size <= end for start, end in spans)
    return E820_TYPE_RESERVED_KERN if kind == E820_TYPE_RAM and inside else kind


# Nodes that touch are one row once the table is sanitised.
def _joined(nodes: Sequence[Span]) -> list[Span]:
    joined: list[Span] = []
    for node in sorted(nodes):
        if joined and node.start <= joined[-1].end:
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, node.end))
        else:
            joined.append(node)
    return joined


def _warnings(texts: Sequence[str], boot: LoggedBoot | None) -> tuple[str, ...]:
    words = ["fallback-map"] if _map_source(boot) not in (None, "BIOS-e820") else []
    for word, pattern in _WARNINGS:
        if any(map(pattern.search, texts)):
            words.append(word)
    return tuple(words)
