"""Read what is free, by order, from /proc/buddyinfo and /proc/pagetypeinfo."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

from e820pool.errors import BadImageError
from e820pool.sources.files import read_file

__all__ = ("ZoneFree", "parse_free_blocks", "read_free_blocks")

# "Node 0, zone   Normal   4054   1940 ...", one number an order
# (mm/vmstat.c frag_show_print(), 2.6.32 to 7.3).
_ZONE = re.compile(
    r"^Node\s+(?P<node>\d{1,5}), zone\s+(?P<zone>\w{1,16})\s+(?P<counts>[\d ]+)$",
    re.MULTILINE,
)
# "Node    0, zone   Normal, type    Unmovable      1 ..."; counts above 100000 are
# written ">100000" (pagetypeinfo_showfree_print(), 5.6 to 7.3).
_TYPE = re.compile(
    r"^Node\s+(?P<node>\d{1,5}), zone\s+(?P<zone>\w{1,16}), "
    r"type\s+(?P<type>\w{1,16})\s+(?P<counts>[\d> ]+)$",
    re.MULTILINE,
)
# Tables of whole pageblocks at the end of pagetypeinfo, whose lines look like
# buddyinfo's.
_PAGEBLOCKS = re.compile(r"^Number of .*\n(?:Node .*(?:\n|\Z))*", re.MULTILINE)
_OWN = "Unmovable"
# MAX_ORDER is configurable on some architectures; on x86 there are 11 orders.
_ORDERS_LIMIT = 32
_COUNT_LIMIT = 1 << 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneFree:
    """Hold the free blocks of one zone, one count an order.

    Attributes:
        node: the NUMA node.
        zone: ``DMA``, ``DMA32``, ``Normal`` ...
        own: blocks of the kind that a kernel allocates for itself (Unmovable);
            None where the source does not tell kinds apart.
        total: blocks of all kinds.
    """

    node: int
    zone: str
    total: tuple[int, ...]
    own: tuple[int, ...] | None = None

    @property
    def nr_pages(self) -> int:
        """Return how many pages the blocks are."""
        return sum(count << order for order, count in enumerate(self.total))


def parse_free_blocks(text: str, name: str = "") -> tuple[ZoneFree, ...]:
    """Return the zones in the text of either file, or of both together.

    Args:
        text: what the files hold. Where both are there, counts per zone are
            buddyinfo's, as pagetypeinfo cuts large ones, and kinds pagetypeinfo's.
        name: of the source, for messages.

    Raises:
        BadImageError: there is no line of either form, zones are told twice, or a
            line has absurdly many or large numbers.
    """
    zones: dict[tuple[int, str], tuple[int, ...]] = {}
    kinds: dict[tuple[int, str], dict[str, tuple[int, ...]]] = {}
    text = _PAGEBLOCKS.sub("", text)
    for match in _ZONE.finditer(text):
        key = (int(match["node"]), match["zone"])
        if key in zones:
            raise BadImageError(f"{name!r} tells of node {key[0]} zone {key[1]} twice")
        zones[key] = _counts(match["counts"], name)
    for match in _TYPE.finditer(text):
        key = (int(match["node"]), match["zone"])
        kinds.setdefault(key, {})[match["type"]] = _counts(match["counts"], name)
    found = tuple(
        ZoneFree(
            node=node,
            zone=zone,
            total=zones.get((node, zone)) or _added(kinds[node, zone]),
            own=kinds.get((node, zone), {}).get(_OWN),
        )
        for node, zone in sorted(zones | kinds)
    )
    if not found:
        raise BadImageError(f"{name!r} has no line of /proc/buddyinfo")
    return found


def read_free_blocks(path: str | Path) -> tuple[ZoneFree, ...]:
    """Return the zones of a file, or of this machine's two files for ``live``.

    Raises:
        InputError: a file cannot be read.
        BadImageError: see :func:`parse_free_blocks`.
    """
    if str(path) != "live":
        text = read_file(Path(path)).decode("utf-8", "replace")
        return parse_free_blocks(text, str(path))
    text = read_file(Path("/proc/buddyinfo")).decode("utf-8", "replace")
    # Only root may read the other; without it the kinds are not known.
    with contextlib.suppress(OSError):
        text += Path("/proc/pagetypeinfo").read_text(encoding="utf-8")
    return parse_free_blocks(text, "live")


def _counts(text: str, name: str) -> tuple[int, ...]:
    words = text.replace(">", " ").split()
    if len(words) > _ORDERS_LIMIT:
        raise BadImageError(
            f"{name!r} has a zone of {len(words)} orders: the limit is {_ORDERS_LIMIT}"
        )
    counts = tuple(int(word) if len(word) < 20 else _COUNT_LIMIT for word in words)
    for count in counts:
        if count >= _COUNT_LIMIT:
            raise BadImageError(
                f"{name!r} has {count:#x} free blocks in a zone: the limit is "
                f"{_COUNT_LIMIT:#x}"
            )
    return counts


def _added(kinds: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    longest = max(map(len, kinds.values()))
    return tuple(
        sum(counts[order] for counts in kinds.values() if order < len(counts))
        for order in range(longest)
    )
