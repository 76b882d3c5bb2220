"""What kexec_file_load(2) would do with deposits, where it is all that is allowed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from e820pool.abi.e820 import (
    E820_MAX_ENTRIES_ZEROPAGE,
    E820_TYPE_RAM,
    E820_TYPE_RESERVED_KERN,
)
from e820pool.compat.verdict import finding_about
from e820pool.findings import counted
from e820pool.table import E820Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from e820pool.extents import ExtentSet
    from e820pool.findings import Finding
    from e820pool.range_lists import Row

__all__ = ("FileLoad", "FileLoadRow", "file_load_of", "findings_of_segments")

FileLoadRow = Literal["kept", "cut", "made-since"]
"""The rows of specs/kexec.md, "Where kexec_load(2) is refused"."""

_LIMIT = E820_MAX_ENTRIES_ZEROPAGE
_HOLES = "kernel/kexec_file.c locate_mem_hole_callback()"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLoad:
    """What becomes of deposits that the next kernel is not told of.

    Attributes:
        deposits: the pages.
        exposed: those of them that are RAM in the running kernel's own table.
        nr_entries: entries of that table, of which 128 are passed on.
        lost_bytes: RAM in what is not passed on.
    """

    deposits: ExtentSet
    exposed: ExtentSet
    nr_entries: int
    lost_bytes: int

    @property
    def row(self) -> FileLoadRow:
        """Return which row applies; where pages are exposed nothing else counts."""
        if self.exposed:
            return "made-since"
        return "cut" if self.nr_entries > _LIMIT else "kept"

    @property
    def meaning(self) -> str:
        """Return what that row says, with this machine's numbers."""
        pages = counted(self.deposits.nr_pages, "deposited page")
        if self.row == "made-since":
            return (
                f"{self.exposed.nr_pages} of {pages} are RAM in the running kernel's "
                "own table: the next kernel uses them"
            )
        if self.row == "cut":
            return (
                f"{_LIMIT} of {self.nr_entries} entries are passed on: no deposit is "
                "touched, and no pool inferred"
            )
        table = counted(self.nr_entries, "entry")
        return f"{pages}, none of them RAM in the running kernel's table of {table}"

    @property
    def cost(self) -> str:
        """Return what has to be given for it."""
        if self.row == "made-since":
            return (
                f"withdraw {counted(self.exposed.nr_pages, 'page')} first: the guests "
                "that they serve end"
            )
        if self.row == "cut":
            return f"{self.lost_bytes:#x} bytes of RAM; owners are lost"
        return "nothing may be deposited while this kernel runs; owners are lost"


def file_load_of(deposits: ExtentSet, rows: Sequence[Row]) -> FileLoad:
    """Return what kexec_file_load(2) does with deposits.

    Args:
        deposits: all pages that the next kernel must leave alone.
        rows: the running kernel's ``e820_table_kexec``, in its order.

    Raises:
        InputError: an entry reaches 2^64.
    """
    passed, lost = rows[:_LIMIT], rows[_LIMIT:]
    ram = E820_TYPE_RAM, E820_TYPE_RESERVED_KERN
    usable = E820Table.of(passed).resolved().bytes_of(*ram)
    return FileLoad(
        deposits=deposits,
        exposed=deposits & usable.pages_touched(),
        nr_entries=len(rows),
        lost_bytes=sum(size for _, size, kind in lost if kind in ram),
    )


def findings_of_segments(load: FileLoad) -> Iterator[Finding]:
    """Yield that a segment may be put on a deposit, whatever the command line says."""
    if load.exposed:
        text = (
            "kexec_file_load puts its segments into any RAM of the running kernel, "
            "and so perhaps on {pages}"
        )
        yield finding_about("part-in-deposit", "unsafe", load.exposed, text, _HOLES)
