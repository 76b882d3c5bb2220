"""Hypothesis strategies for maps, tables, deposits, handoffs and damaged blobs.

What they make shrinks to small maps at low addresses, so that a failure is read at a
glance. Needs Hypothesis: the extra ``strategies`` brings it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from e820pool.abi.boot_params import (
    BOOT_PARAMS_BYTES,
    BootParams,
    SetupHeader,
    encode_boot_params,
)
from e820pool.abi.e820 import (
    E820_MAX_ENTRIES_ZEROPAGE,
    E820_TYPE_RAM,
    E820Array,
    encode_table,
    table_of,
)
from e820pool.abi.setup_data import SETUP_E820_EXT, SetupDataNode, encode_node
from e820pool.abi.setup_header import BOOT_FLAG, HDRS_MAGIC
from e820pool.deposits import Deposit, DepositLedger
from e820pool.extents import PAGE_SIZE, ExtentSet
from e820pool.handoff.build import BuildOptions, build_handoff
from e820pool.memory_map import MemoryMap

try:
    from hypothesis import strategies as st
except ModuleNotFoundError as exc:
    if exc.name != "hypothesis":
        raise
    raise ImportError(
        "e820pool.strategies needs Hypothesis, which is not installed: install the "
        "extra that brings it, in a clone: python -m pip install '.[strategies]'"
    ) from exc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e820pool.abi.bzimage import BzImage
    from e820pool.handoff.model import Handoff
    from e820pool.range_lists import Row, StartEnd

__all__ = (
    "Chain",
    "any_rows",
    "boot_params_blobs",
    "deposit_ledgers",
    "deposited_machines",
    "e820_tables",
    "e820_types",
    "extents",
    "handoffs",
    "machines",
    "memory_maps",
    "mutated",
    "noise",
    "setup_data_chains",
    "sorted_rows",
)

# What firmware says, what kernels add, and numbers nobody knows.
_TYPES = (1, 2, 3, 4, 5, 7, 12, 0xEFFF_FFFF, 13, 20, 0x504D_504F)
_U64_LIMIT = 1 << 64
_U32_MAX = (1 << 32) - 1

# A table's entries meet at few addresses, or they would hardly ever overlap.
_GRID = 16


def e820_types() -> st.SearchStrategy[int]:
    """Make e820 types, RAM first: known ones, and numbers that no kernel knows.

    >>> from hypothesis import find
    >>> find(e820_types(), lambda kind: kind != 1)
    2
    """
    return st.sampled_from(_TYPES)


@st.composite
def sorted_rows(
    draw: st.DrawFn,
    *,
    min_size: int = 1,
    max_size: int = 12,
    types: st.SearchStrategy[int] | None = None,
    unit: int = PAGE_SIZE,
) -> list[Row]:
    """Make rows that are sorted, disjoint, of whole units; with gaps or without.

    Args:
        draw: passed by Hypothesis.
        min_size: of the list.
        max_size: of the list.
        types: what each row's type is drawn from, by default ``e820_types()``.
        unit: bytes of which addresses and sizes are multiples.

    >>> from hypothesis import find
    >>> find(sorted_rows(), lambda rows: len(rows) == 2)
    [(0, 4096, 1), (4096, 4096, 1)]
    """
    kinds = e820_types() if types is None else types
    rows, reach = [], 0
    for _ in range(draw(st.integers(min_size, max_size))):
        addr = reach + draw(st.integers(0, 1 << 20)) * unit
        size = draw(st.integers(1, 1 << 24)) * unit
        rows.append((addr, size, draw(kinds)))
        reach = addr + size
    return rows


@st.composite
def any_rows(draw: st.DrawFn, *, max_size: int = 12) -> list[Row]:
    """Make rows in any order, overlapping, empty, unaligned; none passes 2^64."""
    rows = []
    for _ in range(draw(st.integers(1, max_size))):
        addr = draw(st.integers(0, (1 << 52) - 1))
        size = draw(st.sampled_from([0, 1, PAGE_SIZE, 1 << 20, 1 << 40]))
        rows.append((addr, size, draw(e820_types())))
    return rows


@st.composite
def e820_tables(
    draw: st.DrawFn,
    *,
    min_size: int = 0,
    max_size: int = 12,
    wrapping: bool = True,
) -> E820Array:
    """Make raw tables as bad firmware may write them: arrays of ``E820_DTYPE``.

    Entries come in any order, meet and overlap, are empty, end within a page, have
    types that no kernel knows, and end at or beyond 2^64.

    Args:
        draw: passed by Hypothesis.
        min_size: entries at least.
        max_size: entries at most; above 128 for what a zero page cannot hold.
        wrapping: whether an entry may end at or beyond 2^64, for which Linux
            refuses the whole table.

    >>> from hypothesis import find
    >>> table = find(e820_tables(), lambda found: 0 in found["size"])
    >>> table.tolist()
    [(0, 0, 1)]
    """
    kinds = [_meeting(), _meeting(), _unaligned(), _anywhere()]
    entry = st.one_of(*kinds, *([_wrapping()] if wrapping else []))
    return table_of(draw(st.lists(entry, min_size=min_size, max_size=max_size)))


def _meeting() -> st.SearchStrategy[Row]:
    # Whole pages between few boundaries: neighbours, overlaps, empty entries.
    point = st.integers(0, _GRID).map(lambda page: page * PAGE_SIZE)
    return st.tuples(point, point, e820_types())


def _unaligned() -> st.SearchStrategy[Row]:
    byte = st.integers(0, _GRID * PAGE_SIZE)
    return st.tuples(byte, byte, e820_types() | st.integers(0, _U32_MAX))


def _anywhere() -> st.SearchStrategy[Row]:
    addr = st.integers(0, (1 << 52) - 1)
    return st.tuples(addr, st.integers(0, 1 << 40), e820_types())


@st.composite
def _wrapping(draw: st.DrawFn) -> Row:
    addr = draw(st.integers(1, _U64_LIMIT - 1))
    past = draw(st.integers(0, addr - 1))
    return addr, _U64_LIMIT - addr + past, draw(e820_types())


_MIB = 1 << 20
# What lies below the BIOS of a PC.
_LOW = (0, 0x9_F000, E820_TYPE_RAM)


@st.composite
def memory_maps(
    draw: st.DrawFn,
    *,
    min_size: int = 1,
    max_size: int = 12,
    overlaps: bool = False,
) -> MemoryMap:
    """Make maps whose entries end below 2^64, so that they can be flattened.

    Args:
        draw: passed by Hypothesis.
        min_size: entries at least, where they do not overlap.
        max_size: entries at most.
        overlaps: also entries in any order that overlap, are empty or end within
            a page; otherwise they are sorted, disjoint and of whole pages.

    >>> from hypothesis import find
    >>> find(memory_maps(), lambda found: len(found.ram_pages()) == 2).rows()
    [(0, 4096, 1), (8192, 4096, 1)]
    """
    clean = sorted_rows(min_size=min_size, max_size=max_size)
    rows = draw(clean | any_rows(max_size=max_size) if overlaps else clean)
    return MemoryMap.of(rows)


@st.composite
def machines(draw: st.DrawFn, *, max_size: int = 6) -> MemoryMap:
    """Make the maps of PCs with RAM below 640 KiB and 64 to 256 MiB of it above 1 MiB.

    Ranges of any type may follow. A handoff for such a machine has place for its parts.

    >>> from hypothesis import find
    >>> find(machines(), lambda found: True).rows()
    [(0, 651264, 1), (1048576, 67108864, 1)]
    """
    first = [_LOW, (_MIB, draw(st.integers(64, 256)) * _MIB, E820_TYPE_RAM)]
    start = sum(first[-1][:2])
    more = draw(sorted_rows(min_size=0, max_size=max_size, unit=2 * _MIB))
    shifted = ((start + addr, size, kind) for addr, size, kind in more)
    return MemoryMap.of([*first, *shifted])


Pages: TypeAlias = list[tuple[int, int, int]]

# PFNs below 1 MiB: a kernel uses those whatever a map says, so none is deposited.
_LOW_PFNS = 0x100
_MAX_OWNERS = 3


@st.composite
def extents(
    draw: st.DrawFn,
    *,
    within: ExtentSet | None = None,
    max_size: int = 12,
) -> ExtentSet:
    """Make sets of pages: a few runs, touching or far apart.

    Args:
        draw: passed by Hypothesis.
        within: the pages of which all sets are part, by default those below 2^40
            bytes.
        max_size: runs at most.

    >>> from hypothesis import find
    >>> list(find(extents(), lambda pages: pages.nr_pages >= 2))
    [Span(0x0, 0x2)]
    """
    room = list(ExtentSet([(0, 1 << 28)]) if within is None else within)
    runs = []
    for _ in range(draw(st.integers(0, max_size)) if room else 0):
        low, high = draw(st.sampled_from(room))
        start = draw(st.integers(low, high - 1))
        runs.append((start, draw(st.integers(start + 1, high))))
    return ExtentSet(runs)


@st.composite
def deposit_ledgers(
    draw: st.DrawFn,
    memory_map: MemoryMap | None = None,
    *,
    max_size: int = 12,
    comb: bool = True,
) -> DepositLedger:
    """Make ledgers of up to three owners, all in the RAM of a map above 1 MiB.

    Args:
        draw: passed by Hypothesis.
        memory_map: where the deposits lie, by default one of ``machines()``.
        max_size: deposits of one to three pages at most, the comb not counted.
        comb: whether one ledger of three also has 60 to 200 single pages at a
            regular distance: more entries than a zero page holds.

    >>> from hypothesis import find
    >>> [str(one) for one in find(deposit_ledgers(), lambda ledger: len(ledger) == 1)]
    ['[mem 0x100000-0x100fff] of owner 0x0']
    """
    where = draw(machines()) if memory_map is None else memory_map
    room = where.ram_pages() - ExtentSet([(0, _LOW_PFNS)])
    pages = draw(_pages(room, max_size=max_size, comb=comb))
    return DepositLedger(
        Deposit(start_pfn=pfn, end_pfn=pfn + nr_pages, owner=owner)
        for pfn, nr_pages, owner in pages
    )


@st.composite
def deposited_machines(
    draw: st.DrawFn, *, max_size: int = 6, deposits: int = 12
) -> tuple[list[Row], Pages]:
    """Make ``(rows, deposits)``: a firmware map, and whole pages of its RAM.

    The plain numbers of ``machines()`` and ``deposit_ledgers()``, for code that
    builds its own values. Deposits are ``(pfn, nr_pages, owner)``, each one page.
    """
    machine = draw(machines(max_size=max_size))
    room = machine.ram_pages() - ExtentSet([(0, _LOW_PFNS)])
    pages = draw(_pages(room, max_size=deposits, comb=True))
    return machine.rows(), pages


@st.composite
def _pages(draw: st.DrawFn, room: ExtentSet, *, max_size: int, comb: bool) -> Pages:
    runs, taken = list(room), set[int]()
    for _ in range(draw(st.integers(0, max_size)) if runs else 0):
        low, high = draw(st.sampled_from(runs))
        at = draw(st.integers(low, high - 1))
        taken |= set(range(at, min(high, at + draw(st.integers(1, 3)))))
    if comb and runs and draw(st.integers(0, 2)) == 2:
        taken |= set(draw(_comb(runs[0])))
    owners = draw(st.integers(1, _MAX_OWNERS))
    return [(pfn, 1, pfn % owners) for pfn in sorted(taken)]


# Single pages in the upper part of a run, which leaves room for what is placed low.
@st.composite
def _comb(draw: st.DrawFn, run: StartEnd) -> range:
    low, high = run
    base, step = low + (high - low) // 4, draw(st.integers(2, 16))
    return range(base, min(high, base + draw(st.integers(60, 200)) * step), step)


@st.composite
def handoffs(
    draw: st.DrawFn,
    *,
    memory_map: MemoryMap | None = None,
    encodings: Sequence[str] = ("split", "hybrid"),
    kernel: BzImage | None = None,
    max_deposits: int = 12,
) -> Handoff:
    """Make handoffs with any deposits; one of three spills into a SETUP_E820_EXT node.

    Args:
        draw: passed by Hypothesis.
        memory_map: the firmware's map, by default one of ``machines()``.
        encodings: names of ``e820pool.handoff.encodings.ENCODINGS``.
        kernel: an image, to have its header and a window for it.
        max_deposits: deposits at most, but for a comb of them.

    >>> from hypothesis import find
    >>> found = find(handoffs(), lambda handoff: len(handoff.ledger) == 1)
    >>> found.boot_params.e820_map.tolist()[:2]
    [(0, 651264, 1), (1048576, 4096, 2)]
    """
    where = draw(machines()) if memory_map is None else memory_map
    ledger = draw(deposit_ledgers(where, max_size=max_deposits))
    encoding = draw(st.sampled_from(tuple(encodings)))
    return build_handoff(where, ledger, BuildOptions(encoding=encoding, kernel=kernel))


# The byte of boot_params that counts its e820 entries.
_COUNT_OFFSET = 0x1E8
_U64_MAX = (1 << 64) - 1
# Where a chain begins, the widest gap between nodes, and their types, known or not.
_CHAIN_ADDR = 0x1000
_MAX_GAP = 64
_NODE_TYPES = (0, SETUP_E820_EXT, 2, 9, 0x504D_504F, _U32_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A setup_data chain in memory, whole or damaged.

    Attributes:
        head: what hdr.setup_data says: the first node's address, 0 without nodes.
        parts: ``(addr, bytes)`` of memory, one a node.
        damage: what is wrong with it: ``none``, ``loop``, ``pointer``, ``length`` or
            ``cut``.
    """

    head: int
    parts: tuple[tuple[int, bytes], ...]
    damage: str = "none"


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """Make ``data`` with bytes changed, cut out, repeated or put in; or cut short.

    >>> from hypothesis import find
    >>> find(mutated(b"HdrS"), lambda made: len(made) == 0)
    b''
    """
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(len(changed) - 1, 0)))
        piece = draw(st.binary(max_size=8))
        match draw(st.sampled_from("rdich")):
            case "r":
                changed[at : at + len(piece)] = piece
            case "d":
                del changed[at : at + draw(st.integers(1, 80))]
            case "i":
                changed[at:at] = piece
            case "c":
                changed[at:at] = changed[at : at + 120]
            case "h":
                changed = changed[:at]
    return bytes(changed)


def noise(size: int) -> st.SearchStrategy[bytes]:
    """Make bytes of one size: zero but for a few patches, or all of them random.

    >>> from hypothesis import find
    >>> len(find(noise(4), any))
    4
    """
    patches = st.lists(
        st.tuples(st.integers(0, max(size - 1, 0)), st.binary(min_size=1, max_size=8)),
        max_size=8,
    )
    sparse = patches.map(lambda changes: _patched(bytes(size), changes))
    return sparse | st.integers(0, 1 << 32).map(lambda seed: _random(seed, size))


@st.composite
def boot_params_blobs(draw: st.DrawFn, *, damaged: bool = True) -> bytes:
    """Make zero pages with any table: whole ones, or what may arrive in their place.

    Damaged ones have a count for which there are no slots, changed bytes, or another
    length.

    >>> from hypothesis import find
    >>> blob = find(boot_params_blobs(), lambda blob: blob[0x1e8:0x1e9] > bytes([128]))
    >>> len(blob), blob[0x1e8]
    (4096, 129)
    """
    header = SetupHeader(boot_flag=BOOT_FLAG, header=HDRS_MAGIC, version=0x020F)
    table = draw(e820_tables(max_size=8))
    repeated = np.tile(table, draw(st.sampled_from((1, 1, 1, 16))))
    page = BootParams(hdr=header).with_table(repeated[:E820_MAX_ENTRIES_ZEROPAGE])
    blob = encode_boot_params(page)
    if not damaged:
        return blob
    count = st.integers(0, 255).map(lambda n: (_COUNT_OFFSET, bytes([n])))
    place = st.tuples(st.integers(0, BOOT_PARAMS_BYTES - 1), st.binary(max_size=8))
    lies = st.lists(count | place, max_size=4).map(lambda lie: _patched(blob, lie))
    cut = st.integers(0, BOOT_PARAMS_BYTES + 20).map(lambda n: blob[:n].ljust(n, b"\0"))
    return draw(st.one_of(lies, cut, mutated(blob)))


@st.composite
def setup_data_chains(
    draw: st.DrawFn, *, max_size: int = 4, damaged: bool = True
) -> Chain:
    """Make chains of setup_data nodes: whole ones, or with one thing wrong.

    A damaged chain loops, points where no node is, has a node whose length is a lie,
    or lacks a node's last bytes.

    >>> from hypothesis import find
    >>> found = find(setup_data_chains(), lambda chain: chain.damage == "loop")
    >>> [(addr, int.from_bytes(data[:8], "little")) for addr, data in found.parts]
    [(4096, 4096)]
    """
    nodes = draw(st.lists(_nodes(), max_size=max_size))
    gaps = [draw(st.integers(0, _MAX_GAP)) for _ in nodes]
    addrs, reach = [], _CHAIN_ADDR
    for node, gap in zip(nodes, gaps, strict=True):
        addrs.append(reach + gap)
        reach = addrs[-1] + len(encode_node(node))
    nexts = [*addrs[1:], 0]
    parts = [
        (addr, encode_node(SetupDataNode(type=node.type, data=node.data, next=next_)))
        for node, addr, next_ in zip(nodes, addrs, nexts, strict=False)
    ]
    damage = draw(st.sampled_from(("none", "loop", "pointer", "length", "cut")))
    if not (damaged and parts):
        damage = "none"
    at = draw(st.integers(0, len(parts) - 1)) if damage != "none" else 0
    if damage != "none":
        parts[at] = (addrs[at], draw(_damaged(parts[at][1], damage, addrs[: at + 1])))
    return Chain(head=addrs[0] if addrs else 0, parts=tuple(parts), damage=damage)


@st.composite
def _nodes(draw: st.DrawFn) -> SetupDataNode:
    kind = draw(st.sampled_from(_NODE_TYPES))
    if kind == SETUP_E820_EXT:
        data = encode_table(draw(e820_tables(max_size=4)))
    else:
        data = draw(st.binary(max_size=40))
    return SetupDataNode(type=kind, data=data)


@st.composite
def _damaged(draw: st.DrawFn, node: bytes, damage: str, before: list[int]) -> bytes:
    match damage:
        case "loop":
            return draw(st.sampled_from(before)).to_bytes(8, "little") + node[8:]
        case "pointer":
            return draw(st.integers(1, _U64_MAX)).to_bytes(8, "little") + node[8:]
        case "length":
            longer = st.integers(len(node) - 16 + 1, _U32_MAX)
            return node[:12] + draw(longer).to_bytes(4, "little") + node[16:]
        case _:
            return node[: draw(st.integers(1, len(node) - 1))]


def _patched(data: bytes, patches: list[tuple[int, bytes]]) -> bytes:
    changed = bytearray(data)
    for offset, new in patches:
        changed[offset : offset + len(new)] = new[: len(data) - offset]
    return bytes(changed)


# Drawing each byte from Hypothesis would use up its budget on one page.
def _random(seed: int, size: int) -> bytes:
    return np.random.default_rng(seed).bytes(size)
