"""Read the console of one boot: what that kernel made of its memory map."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from e820pool.abi.e820 import E820_TYPE_RAM, E820_TYPE_RESERVED_KERN
from e820pool.extents import Span
from e820pool.sources.console_fatal import FatalScan
from e820pool.sources.console_memory import MemoryScan
from e820pool.sources.log_blocks import boots_of
from e820pool.sources.log_text import clean_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e820pool.kernel.view import BootEnd
    from e820pool.sources.log_blocks import Boot
    from e820pool.sources.log_entry import BlockName
    from e820pool.sources.log_text import LogLine

__all__ = ("ConsoleFacts", "FirstMap", "Row", "read_console")

Row = tuple[int, int, int]
"""``(addr, size, type)``; bytes, bytes, e820 type."""

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
    memory, fatal = MemoryScan(), FatalScan()
    for line in texts:
        memory.take(line)
        fatal.take(line)
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
        fatal=fatal.reason,
        end=fatal.end,
        reached_init=any(map(_INIT.search, texts)),
    )


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


def _map_source(boot: Boot | None) -> FirstMap | None:
    if boot is None or "bios" not in boot.blocks:
        return None
    who = boot.blocks["bios"].entries[0].who
    return next((name for name in get_args(FirstMap) if name == who), None)


def _rows(boot: Boot | None, name: BlockName) -> tuple[Row, ...] | None:
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


def _warnings(texts: Sequence[str], boot: Boot | None) -> tuple[str, ...]:
    words = ["fallback-map"] if _map_source(boot) not in (None, "BIOS-e820") else []
    for word, pattern in _WARNINGS:
        if any(map(pattern.search, texts)):
            words.append(word)
    return tuple(words)
