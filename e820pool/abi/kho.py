"""A kexec handover node that preserves pages, in the two ABIs that kernels wrote.

    kho_data | root device tree | scratch areas | map of preserved pages

"kho-v1" (Linux 6.16 to 7.0): the map is a list of chunks of bitmaps; "kho-v4" (7.2,
7.3): a radix tree, whose leaves are bitmaps. All of it lies in one SETUP_KEXEC_KHO
node, so that every kernel reserves it. Linux 6.18 kernel/kexec_handover.c
kho_mem_serialize(), kho_populate(); 7.3 include/linux/kho/abi/kexec_handover.h,
kernel/liveupdate/kexec_handover.c kho_radix_walk_tree().
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from e820pool.abi.fdt import kho_root, parse_kho_root
from e820pool.errors import BadImageError, CapacityError
from e820pool.extents import PAGE_SHIFT, ExtentSet, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from e820pool.range_lists import StartCount, StartEnd

    _Node = tuple[int, int]  # its level above the leaves, its key

__all__ = ("KHO_V1", "KHO_V4", "KhoNode", "encode_kho_payload", "parse_kho_payload")

KHO_V1 = "kho-v1"  #: What 6.16 to 7.0 ask for.
KHO_V4 = "kho-v4"  #: What 7.2 and 7.3 ask for: KHO_FDT_COMPATIBLE.

# PRESERVE_BITS: one bitmap of 512 bytes, a bit a page, covers 16 MiB.
_BITMAP_BYTES = 512
_BITMAP_PAGES = _BITMAP_BYTES * 8

# struct khoser_mem_chunk fills a page: next, order, count, then (start, bitmap).
_CHUNK_BYTES = 4096
_CHUNK_HEADER_BYTES = 16
_ELEMENT_BYTES = 16
_ELEMENTS = (_CHUNK_BYTES - _CHUNK_HEADER_BYTES) // _ELEMENT_BYTES

# MAX_PAGE_ORDER is 10; larger blocks are kept as several.
_ORDERS = 32

_KHO_DATA_BYTES = 32

# A guard: of what is read at once the largest is the tree, a page or a few.
_READ_LIMIT = 1 << 24
_NODE_HEADER_BYTES = 16

# A guard: 64 GiB of scattered pages.
_BITMAPS_LIMIT = 1 << 12

# enum kho_radix_consts: a key is the frame number shifted by its order, with a bit
# before it that says the order. Five levels of tables of 512 addresses, then a bitmap.
_KEY_ORDER_0 = 52
_LEAF_LOG2 = 15
_TABLE_LOG2 = 9
_TABLES = 5
_NODE_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class KhoNode:
    """What a SETUP_KEXEC_KHO node says, as far as it holds it itself.

    Attributes:
        compatible: the ABI, ``kho-v1`` for example.
        scratch: bytes that may be used at once.
        preserved: pages to keep; empty for an ABI that is not read here.
    """

    compatible: str
    scratch: tuple[Span, ...]
    preserved: ExtentSet


def parse_kho_payload(
    addr: int, data: bytes, memory: Callable[[int, int], bytes] | None = None
) -> KhoNode:
    """Return what the payload of a node whose header lies at ``addr`` says.

    Args:
        addr: physical address of the node's header.
        data: the payload.
        memory: ``(addr, size)`` to the bytes there, for what lies outside of the node,
            as with the nodes that kernels write; None where that is not known.

    Raises:
        BadImageError: it is damaged, or what it names is not known.
        MachineError: pylibfdt is not installed.
    """
    inside = _Inside(addr + _NODE_HEADER_BYTES, data, memory)
    tree, tree_size, areas, areas_size = inside.numbers(inside.addr, 4)
    compatible, at_map = parse_kho_root(inside.bytes_at(tree, tree_size))
    flat = inside.numbers(areas, areas_size // 8)
    preserved = ExtentSet()
    if compatible in _READERS and at_map:
        preserved = ExtentSet(_READERS[compatible](inside, at_map))
    return KhoNode(
        compatible=compatible,
        scratch=tuple(map(Span.at, flat[::2], flat[1::2])),
        preserved=preserved,
    )


# Bytes by physical address.
@dataclass(frozen=True, slots=True)
class _Inside:
    addr: int
    data: bytes
    memory: Callable[[int, int], bytes] | None

    def bytes_at(self, addr: int, size: int) -> bytes:
        at = addr - self.addr
        if not 0 <= at <= at + size <= len(self.data):
            if self.memory is not None and size <= _READ_LIMIT:
                return self.memory(addr, size)
            raise BadImageError(
                f"kexec handover: {size:#x} bytes at {addr:#x} lie outside of the node"
            )
        return self.data[at : at + size]

    def numbers(self, addr: int, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}Q", self.bytes_at(addr, 8 * count))


# 6.18 kernel/kexec_handover.c kho_mem_deserialize(), deserialize_bitmap().
def _preserved(inside: _Inside, chunk: int) -> Iterator[StartEnd]:
    seen = set()
    while chunk and chunk not in seen:
        seen.add(chunk)
        following, sizes = inside.numbers(chunk, 2)
        order, count = sizes & 0xFFFF_FFFF, sizes >> 32
        if order >= _ORDERS or count > _ELEMENTS:
            raise BadImageError(
                f"kexec handover: chunk at {chunk:#x} of order {order}, {count} bitmaps"
            )
        pairs = inside.numbers(chunk + _CHUNK_HEADER_BYTES, 2 * count)
        for start, bitmap in zip(pairs[::2], pairs[1::2], strict=True):
            bits = np.frombuffer(inside.bytes_at(bitmap, _BITMAP_BYTES), np.uint8)
            for at in np.flatnonzero(np.unpackbits(bits, bitorder="little")).tolist():
                first = (start >> PAGE_SHIFT) + (at << order)
                yield first, first + (1 << order)
        chunk = following


# 7.3 __kho_radix_walk_tree(), kho_decode_radix_key(); a key is unique, so that a node
# that is reached twice is damage.
def _in_tree(inside: _Inside, root: int) -> Iterator[StartEnd]:
    seen: set[int] = set()
    at_level = [(root, 0)]
    for level in range(_TABLES, -1, -1):
        following = []
        for node, key in at_level:
            if node in seen:
                raise BadImageError(f"kexec handover: node at {node:#x} is there twice")
            seen.add(node)
            if level == 0:
                yield from _in_leaf(inside.bytes_at(node, _NODE_BYTES), key)
                continue
            shift = (level - 1) * _TABLE_LOG2 + _LEAF_LOG2
            table = inside.numbers(node, 1 << _TABLE_LOG2)
            following += [(to, key | at << shift) for at, to in enumerate(table) if to]
        at_level = following


def _in_leaf(data: bytes, start: int) -> Iterator[StartEnd]:
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    for at in np.flatnonzero(bits).tolist():
        key = start | at
        order = _KEY_ORDER_0 - (key.bit_length() - 1)
        if not 0 <= order < _ORDERS:
            raise BadImageError(f"kexec handover: key {key:#x} has no order")
        first = (key ^ 1 << (_KEY_ORDER_0 - order)) << order
        yield first, first + (1 << order)


_READERS = {KHO_V1: _preserved, KHO_V4: _in_tree}


def encode_kho_payload(
    addr: int,
    preserved: ExtentSet,
    scratch: Sequence[StartCount],
    compatible: str = KHO_V1,
) -> bytes:
    """Return the payload of a SETUP_KEXEC_KHO node whose header lies at ``addr``.

    Its length does not depend on ``addr``.

    Args:
        addr: physical address of the node's header.
        preserved: pages to keep, as single pages (order 0).
        scratch: ``(addr, size)`` of memory that the next kernel may use before it has
            read what is preserved.
        compatible: the ABI, :data:`KHO_V1` or :data:`KHO_V4`.

    Raises:
        CapacityError: the pages lie in too many places.
        MachineError: pylibfdt is not installed.
    """
    root_bytes = len(kho_root(compatible, 0))
    at_root = addr + _NODE_HEADER_BYTES + _KHO_DATA_BYTES
    at_scratch = at_root + root_bytes
    at_map = at_scratch + 16 * len(scratch)
    areas = b"".join(_u64(start) + _u64(size) for start, size in scratch)
    if compatible == KHO_V1:
        bitmaps = _bitmaps(preserved, _BITMAP_PAGES)
        data = _chunks(at_map, bitmaps) + b"".join(bitmap for _, bitmap in bitmaps)
    else:
        data = _tree(at_map, _bitmaps(preserved, 1 << _LEAF_LOG2))
    kho_data = b"".join(map(_u64, (at_root, root_bytes, at_scratch, len(areas))))
    return kho_data + kho_root(compatible, at_map if data else 0) + areas + data


# (number of the window of so many pages, its bitmap), ascending.
def _bitmaps(pages: ExtentSet, size: int) -> list[tuple[int, bytes]]:
    bitmaps: dict[int, np.ndarray[tuple[int], np.dtype[np.bool_]]] = {}
    for start, end in pages:
        for window in range(start // size, (end - 1) // size + 1):
            if window not in bitmaps and len(bitmaps) == _BITMAPS_LIMIT:
                raise CapacityError(
                    f"preserved pages lie in more than {_BITMAPS_LIMIT:#x} windows of "
                    f"{size:#x} pages"
                )
            bits = bitmaps.setdefault(window, np.zeros(size, np.bool_))
            first = window * size
            bits[max(start - first, 0) : end - first] = True
    return [
        (window, np.packbits(bitmaps[window], bitorder="little").tobytes())
        for window in sorted(bitmaps)
    ]


def _chunks(addr: int, bitmaps: list[tuple[int, bytes]]) -> bytes:
    groups = [bitmaps[at : at + _ELEMENTS] for at in range(0, len(bitmaps), _ELEMENTS)]
    at_map = addr + len(groups) * _CHUNK_BYTES
    out = bytearray()
    for number, group in enumerate(groups, start=1):
        following = addr + number * _CHUNK_BYTES if number < len(groups) else 0
        chunk = _u64(following) + _u32(0) + _u32(len(group))
        for window, _ in group:
            chunk += _u64(window * _BITMAP_PAGES << PAGE_SHIFT) + _u64(at_map)
            at_map += _BITMAP_BYTES
        out += chunk.ljust(_CHUNK_BYTES, b"\0")
    return bytes(out)


# The leaves' keys, then the tables above them, level by level; the root comes first.
def _tree(addr: int, leaves: list[tuple[int, bytes]]) -> bytes:
    first = 1 << (_KEY_ORDER_0 - _LEAF_LOG2)
    levels = [[first | window for window, _ in leaves]]
    for _ in range(_TABLES):
        levels.append(sorted({key >> _TABLE_LOG2 for key in levels[-1]}))
    if not leaves:
        levels = [[], [0]]
    order = [(up, key) for up in range(len(levels) - 1, -1, -1) for key in levels[up]]
    place = {node: addr + at * _NODE_BYTES for at, node in enumerate(order)}
    below: dict[_Node, list[_Node]] = {}
    for up, key in order:
        below.setdefault((up + 1, key >> _TABLE_LOG2), []).append((up, key))
    contents = dict(zip(levels[0], (bitmap for _, bitmap in leaves), strict=True))
    out = bytearray()
    for up, key in order:
        if up == 0:
            out += contents[key]
            continue
        table = np.zeros(1 << _TABLE_LOG2, "<u8")
        for child in below.get((up, key), ()):
            table[child[1] % (1 << _TABLE_LOG2)] = place[child]
        out += table.tobytes()
    return bytes(out)


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "little")


def _u32(number: int) -> bytes:
    return number.to_bytes(4, "little")
