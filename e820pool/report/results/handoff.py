"""Tell of a handoff as a chapter of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.e820 import E820_ENTRY_BYTES
from e820pool.abi.setup_data import SETUP_E820_EXT
from e820pool.memory_map import MemoryMap
from e820pool.report.handoff_text import parts_of
from e820pool.report.results.model import HandoffChapter, Judged
from e820pool.sources.json_text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from e820pool.compat import Verdict
    from e820pool.handoff.model import Handoff

__all__ = ("handoff_chapter",)


def handoff_chapter(
    handoff: Handoff, verdicts: Iterable[Verdict], origin: str
) -> HandoffChapter:
    """Return the chapter of a handoff and what kernels make of it."""
    line = handoff.cmdline.decode("ascii", "backslashreplace")
    return HandoffChapter(
        origin=one_line(origin),
        before=handoff.firmware_map,
        after=MemoryMap(entries=handoff.table.entries, origin=origin),
        sources=tuple(_sources(handoff)),
        ledger=handoff.ledger,
        encoding=one_line(handoff.encoding),
        cmdline=one_line(line, len(line)),
        parts=tuple(parts_of(handoff)),
        judged=tuple(Judged(verdict=one) for one in verdicts),
    )


# In the order of .table.entries.
def _sources(handoff: Handoff) -> Iterator[str]:
    for at in range(len(handoff.boot_params.e820_map)):
        yield f"zero page entry {at}"
    at = 0
    for one in handoff.nodes:
        if one.node.type == SETUP_E820_EXT:
            for _ in range(len(one.node.data) // E820_ENTRY_BYTES):
                yield f"SETUP_E820_EXT entry {at}"
                at += 1
