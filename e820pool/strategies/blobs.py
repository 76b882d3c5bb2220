"""Strategies for bytes that a parser must refuse politely, or read as they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from e820pool.abi.boot_params import (
    BOOT_PARAMS_BYTES,
    BootParams,
    SetupHeader,
    encode_boot_params,
)
from e820pool.abi.e820 import E820_MAX_ENTRIES_ZEROPAGE, encode_table
from e820pool.abi.setup_data import SETUP_E820_EXT, SetupDataNode, encode_node
from e820pool.abi.setup_header import BOOT_FLAG, HDRS_MAGIC
from e820pool.strategies.maps import e820_tables

__all__ = ("Chain", "boot_params_blobs", "mutated", "noise", "setup_data_chains")

# The byte of boot_params that counts its e820 entries.
_COUNT_OFFSET = 0x1E8
_U32_MAX = (1 << 32) - 1
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
