"""Read what is free, by order, from /proc/buddyinfo, pagetypeinfo and zoneinfo."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.documents import printable
from e820pool.errors import BadImageError
from e820pool.sources.files import read_file

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("ZoneFree", "parse_free_blocks", "read_free_blocks")

# "Number of blocks type Unmovable ..." heads a table of whole pageblocks at the end of
# pagetypeinfo, whose lines look like buddyinfo's; Unmovable is the first of each (enum
# migratetype, include/linux/mmzone.h, 2.6.32 to 7.3). With CONFIG_PAGE_OWNER one of
# "Number of mixed blocks" follows.
_PAGEBLOCKS, _TABLE = "Number of blocks", "Number of "
_OWN = "Unmovable"
# What follows the name of a zone in zoneinfo.
_OF_ZONEINFO = (["pages", "free"], ["per-node", "stats"])
# MAX_ORDER is configurable on some architectures; on x86 there are 11 orders.
_ORDERS_LIMIT = 32
_COUNT_LIMIT = 1 << 40
_NODE_DIGITS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneFree:
    """The free blocks of one zone, one count an order.

    Attributes:
        node: the NUMA node.
        zone: ``DMA``, ``DMA32``, ``Normal`` ...
        own: blocks of the kind that a kernel allocates for itself (Unmovable);
            None where the source does not tell kinds apart.
        total: blocks of all kinds.
        listed: pages on the lists of processors, which no file counts as blocks; None
            where /proc/zoneinfo is not there.
        low: free pages below which allocations go to other zones first; 0 without it.
        own_blocks: pageblocks (of 2 MiB) that are the kernel's own kind, in use or
            free; None where pagetypeinfo is not there.
    """

    node: int
    zone: str
    total: tuple[int, ...]
    own: tuple[int, ...] | None = None
    listed: int | None = None
    low: int = 0
    own_blocks: int | None = None

    @property
    def nr_pages(self) -> int:
        """Return how many pages the blocks are."""
        return sum(count << order for order, count in enumerate(self.total))


def parse_free_blocks(text: str, name: str = "") -> tuple[ZoneFree, ...]:
    """Return the zones in the text of one file, or of several together.

    Args:
        text: what the files hold. Where both are there, counts per zone are
            buddyinfo's, as pagetypeinfo cuts large ones, and kinds pagetypeinfo's;
            of zoneinfo what is on lists and the low watermark.
        name: of the source, for messages.

    Raises:
        BadImageError: there is no line of either form, a zone is there twice, or a
            line has no, absurdly many or absurdly large counts.
    """
    zones: dict[_Zone, _Counts] = {}
    kinds: dict[_Zone, dict[str, _Counts]] = {}
    listed: dict[_Zone, int] = {}
    low: dict[_Zone, int] = {}
    own_blocks: dict[_Zone, int] = {}
    for zone, kind, counts in _rows(text, name, listed, low):
        if kind == _PAGEBLOCKS:
            own_blocks[zone] = counts[0]
        elif kind:
            kinds.setdefault(zone, {})[kind] = counts
        elif zone in zones:
            raise BadImageError(
                f"{name!r} tells of node {zone[0]} zone {printable(zone[1][:40])} twice"
            )
        else:
            zones[zone] = counts
    zones_free = tuple(
        ZoneFree(
            node=zone[0],
            zone=zone[1],
            total=zones.get(zone) or _added(kinds[zone]),
            own=kinds.get(zone, {}).get(_OWN),
            listed=listed.get(zone),
            low=low.get(zone, 0),
            own_blocks=own_blocks.get(zone),
        )
        for zone in sorted(zones | kinds)
    )
    if not zones_free:
        raise BadImageError(f"{name!r} has no line of /proc/buddyinfo")
    return zones_free


def read_free_blocks(path: str | Path) -> tuple[ZoneFree, ...]:
    """Return the zones of a file, or of this machine's three files for ``live``.

    Raises:
        InputError: a file cannot be read.
        BadImageError: see :func:`parse_free_blocks`.
    """
    if str(path) != "live":
        text = read_file(Path(path)).decode("utf-8", "replace")
        return parse_free_blocks(text, str(path))
    text = read_file(Path("/proc/buddyinfo")).decode("utf-8", "replace")
    # Only root may read the first; without it the kinds are not known.
    for other in ("/proc/pagetypeinfo", "/proc/zoneinfo"):
        with contextlib.suppress(OSError):
            text += "\n" + Path(other).read_text(encoding="utf-8")
    return parse_free_blocks(text, "live")


# Node and name; blocks by order.
_Zone = tuple[int, str]
_Counts = tuple[int, ...]


# Each zone, kind ("" where all are counted together) and counts; what zoneinfo says of
# one is added to the two dictionaries.
def _rows(
    text: str, name: str, listed: dict[_Zone, int], low: dict[_Zone, int]
) -> Iterator[tuple[_Zone, str, _Counts]]:
    # "Node 0, zone   Normal   4054   1940 ...", one number an order
    # (mm/vmstat.c frag_show_print(), 2.6.32 to 7.3), and
    # "Node    0, zone   Normal, type    Unmovable      1 ..."; counts above 100000
    # are written ">100000" (pagetypeinfo_showfree_print(), 5.6 to 7.3). zoneinfo has
    # "Node 0, zone   Normal" alone on a line, below it the watermark "low", and for
    # each processor "count:" (zoneinfo_show_print()).
    table, zone = "", None
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        words = line.replace(",", " ").split()
        if line.startswith(_TABLE):
            table = _PAGEBLOCKS if line.startswith(_PAGEBLOCKS) else _TABLE
        elif words[:1] == ["Node"] and words[2:3] == ["zone"]:
            zone = None
            if "".join(lines[number : number + 1]).split()[:2] in _OF_ZONEINFO:
                zone, _, _ = _row([*words, "0"], f"{name!r} line {number}")
            elif table != _TABLE:
                of_zone, kind, counts = _row(words, f"{name!r} line {number}")
                yield of_zone, table or kind, counts
        else:
            table = ""
            if zone and words[:1] in (["count:"], ["low"]):
                pages = _count("".join(words[1:2]), f"{name!r} line {number}")
                listed.setdefault(zone, 0)
                if words[0] == "low":
                    low[zone] = pages
                else:
                    listed[zone] += pages


def _row(words: list[str], where: str) -> tuple[_Zone, str, _Counts]:
    node, zone, kind, counts = words[1], "".join(words[3:4]), "", words[4:]
    if counts[:1] == ["type"]:
        kind, counts = "".join(counts[1:2]), counts[2:]
    if not (node.isascii() and node.isdigit() and len(node) <= _NODE_DIGITS):
        raise BadImageError(f"{where}: node {node[:20]!r} is no number of a node")
    if not counts:
        raise BadImageError(f"{where}: zone {zone[:20]!r} has no counts")
    if len(counts) > _ORDERS_LIMIT:
        raise BadImageError(
            f"{where}: a zone of {len(counts)} orders: the limit is {_ORDERS_LIMIT}"
        )
    return (int(node), zone), kind, tuple(_count(word, where) for word in counts)


def _count(word: str, where: str) -> int:
    digits = word.removeprefix(">")
    if not (digits.isascii() and digits.isdigit()):
        raise BadImageError(f"{where}: {word[:20]!r} is no count of free blocks")
    count = int(digits) if len(digits) < 20 else _COUNT_LIMIT
    if count >= _COUNT_LIMIT:
        raise BadImageError(
            f"{where}: {digits[:40]} free blocks: the limit is {_COUNT_LIMIT:#x}"
        )
    return count


def _added(kinds: dict[str, _Counts]) -> _Counts:
    return tuple(
        sum(counts[order] for counts in kinds.values() if order < len(counts))
        for order in range(max(map(len, kinds.values())))
    )
