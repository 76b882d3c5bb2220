"""Find memblock's regions and the kernel's place in the lines of a console."""

from __future__ import annotations

import re

from e820pool.extents import Span

__all__ = ("MemoryScan",)

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


class MemoryScan:
    """Memory regions, gathered while the lines of one boot go by."""

    __slots__ = ("_dump", "_dumps", "_kernel_range", "_nodes", "_removal_is_kernel")

    def __init__(self) -> None:
        self._nodes: list[Span] = []
        self._dump: dict[str, list[Span]] = {}
        self._dumps = 0
        self._removal_is_kernel = False
        self._kernel_range: Span | None = None

    def take(self, line: str) -> None:
        """Look at the next line."""
        if not any(hint in line for hint in _HINTS):
            return
        if _DUMP_HEADLINE.search(line):
            self._dumps += 1
        elif self._dumps == 1 and (region := _DUMP_REGION.search(line)):
            self._dump.setdefault(region[1], []).append(_span(region[2], region[3]))
        elif node := _NODE_RANGE.search(line):
            self._take_node(_span(node[1], node[2]))
        elif _NODE_HEADLINE.search(line):
            self._nodes.clear()
        elif _NOT_RAM.search(line):
            self._removal_is_kernel = True
        elif self._removal_is_kernel and (removed := _REMOVED.search(line)):
            self._kernel_range = _span(removed[1], removed[2])
            self._removal_is_kernel = False

    # A region whose pages have a flag, as scratch areas of a handover have, is one of
    # its own, though the memory goes on.
    def _take_node(self, span: Span) -> None:
        if self._nodes and self._nodes[-1].end == span.start:
            span = Span(self._nodes.pop().start, span.end)
        self._nodes.append(span)

    @property
    def memory(self) -> tuple[Span, ...]:
        """Return memblock.memory, empty when never shown.

        A dump is whole; the list of nodes is cut where a boot ends in it.
        """
        return tuple(self._dump.get("memory") or self._nodes)

    @property
    def reserved(self) -> tuple[Span, ...] | None:
        """Return memblock.reserved of the first dump, None without one."""
        return tuple(self._dump.get("reserved", ())) if self._dumps else None

    @property
    def kernel_range(self) -> Span | None:
        """Return the bytes of the image, where the kernel says."""
        return self._kernel_range


def _span(first: str, last: str) -> Span:
    start = int(first, 16)
    return Span(start, max(int(last, 16) + 1, start))
