"""The setup_data chain: nodes, and the list that their pointers form."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING

from construct import Int32ul, Int64ul

from e820pool.abi.binding import at, encode_value, parse_value, struct_of
from e820pool.errors import BadImageError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = (
    "NODE_HEADER",
    "NODE_HEADER_BYTES",
    "SETUP_DTB",
    "SETUP_E820_EXT",
    "SETUP_EFI",
    "SETUP_IMA",
    "SETUP_INDIRECT",
    "SETUP_KEXEC_KHO",
    "SETUP_NONE",
    "SETUP_RNG_SEED",
    "KhoData",
    "SetupDataNode",
    "SetupIndirect",
    "encode_node",
    "node_size",
    "parse_chain",
    "parse_indirect",
    "parse_node",
)

# Node types: uapi asm/bootparam.h up to 6.6, asm/setup_data.h since. Kernels number
# on from here; a type they do not know is skipped and its memory stays reserved, see
# parse_setup_data() in arch/x86/kernel/setup.c.
SETUP_NONE = 0  #: No type; kernels number their node types on from here.
SETUP_E820_EXT = 1  #: e820 entries beyond 128.
SETUP_DTB = 2  #: A device tree.
SETUP_EFI = 4  #: EFI tables for kexec.
SETUP_IMA = 8  #: A measurement list.
SETUP_RNG_SEED = 9  #: A seed of random bytes.
SETUP_KEXEC_KHO = 10  #: A kexec handover.
#: A flag in a struct setup_indirect's own type, and the type of the node around it.
SETUP_INDIRECT = 1 << 31


# struct setup_data before its flexible array.
@dataclass(frozen=True, slots=True, kw_only=True)
class _NodeHeader:
    next: int = at(0x00, Int64ul)
    type: int = at(0x08, Int32ul)
    len: int = at(0x0C, Int32ul)


NODE_HEADER = struct_of(_NodeHeader)  #: struct setup_data before its array.
NODE_HEADER_BYTES: int = NODE_HEADER.sizeof()  #: Its bytes, 16.


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupIndirect:
    """struct setup_indirect: a payload that lies elsewhere.

    Kernels since 5.10 reserve its target and show it, but parse none: an E820_EXT
    given this way is not read (parse_setup_data() in arch/x86/kernel/setup.c).
    """

    type: int = at(0x00, Int32ul)
    reserved: int = at(0x04, Int32ul)
    len: int = at(0x08, Int64ul)
    addr: int = at(0x10, Int64ul)


@dataclass(frozen=True, slots=True, kw_only=True)
class KhoData:
    """struct kho_data (asm/setup_data.h, 6.18): addresses and sizes in bytes."""

    fdt_addr: int = at(0x00, Int64ul)
    fdt_size: int = at(0x08, Int64ul)
    scratch_addr: int = at(0x10, Int64ul)
    scratch_size: int = at(0x18, Int64ul)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupDataNode:
    """One element of the chain.

    Attributes:
        type: one of ``SETUP_*``, or any other number, kept as it is.
        data: the payload, verbatim.
        next: physical address of the next node's header, 0 at the end.
    """

    type: int
    data: bytes
    next: int = 0

    @property
    def len(self) -> int:
        """Return the payload's length in bytes, as the header states it."""
        return len(self.data)


def node_size(node: SetupDataNode) -> int:
    """Return the bytes that a node takes in memory, its header included."""
    return NODE_HEADER_BYTES + node.len


def parse_node(data: bytes) -> SetupDataNode:
    """Return the node that ``data`` holds from its header to its last byte.

    Raises:
        BadImageError: fewer or more bytes than the header announces.
    """
    header = _parse_header(data, "setup_data node")
    payload = len(data) - NODE_HEADER_BYTES
    if header.len != payload:
        raise BadImageError(
            f"setup_data node of type {header.type:#x}: len is {header.len:#x}"
            f" ({header.len}), but {payload} bytes of data are there",
        )
    return SetupDataNode(
        type=header.type,
        data=bytes(data[NODE_HEADER_BYTES:]),
        next=header.next,
    )


def encode_node(node: SetupDataNode) -> bytes:
    """Return header and payload.

    Raises:
        InputError: type, next or the payload's length do not fit their fields.
    """
    header = _NodeHeader(next=node.next, type=node.type, len=node.len)
    return encode_value(header, "setup_data node") + node.data


def parse_indirect(data: bytes) -> SetupIndirect:
    """Return what the data of a SETUP_INDIRECT node begins with.

    Raises:
        BadImageError: the data is shorter than struct setup_indirect.
    """
    size = struct_of(SetupIndirect).sizeof()
    return parse_value(SetupIndirect, data[:size], "SETUP_INDIRECT")


def parse_chain(
    head_addr: int,
    parts: Sequence[tuple[int, bytes]],
) -> list[tuple[int, SetupDataNode]]:
    """Follow the chain from ``hdr.setup_data`` through the memory that is given.

    Time is linear in the bytes given: each byte belongs to one node only.

    Args:
        head_addr: physical address of the first node, 0 for an empty chain.
        parts: ``(addr, bytes)`` of memory in any order; a node may cross from one
            part into the next where they touch.

    Returns:
        ``(addr, node)`` in chain order.

    Raises:
        BadImageError: a pointer outside the parts, a length beyond them, a loop,
            nodes or parts that overlap.
    """
    memory = _Memory(parts)
    nodes: list[tuple[int, SetupDataNode]] = []
    seen: set[int] = set()
    unread, addr = memory.total_bytes, head_addr
    while addr:
        if addr in seen:
            raise BadImageError(
                f"setup_data chain loops: node {len(nodes) - 1} at"
                f" {nodes[-1][0]:#x} points back to {addr:#x}",
            )
        seen.add(addr)
        node = _node_at(memory, addr, len(nodes))
        unread -= node_size(node)
        if unread < 0:
            raise BadImageError(
                f"setup_data node {len(nodes)} at {addr:#x}: the chain holds more"
                f" than the 0x{memory.total_bytes:x} bytes given, so nodes overlap",
            )
        nodes.append((addr, node))
        addr = node.next
    return nodes


def _parse_header(data: bytes | memoryview, label: str) -> _NodeHeader:
    return parse_value(_NodeHeader, bytes(data[:NODE_HEADER_BYTES]), label)


def _node_at(memory: _Memory, addr: int, index: int) -> SetupDataNode:
    label = f"setup_data node {index} at {addr:#x}"
    tail = memory.from_addr(addr)
    if tail is None:
        raise BadImageError(f"{label} is outside the memory given ({memory})")
    header = _parse_header(tail, label)
    limit = len(tail) - NODE_HEADER_BYTES
    if header.len > limit:
        raise BadImageError(
            f"{label}: len is {header.len:#x} ({header.len}), but only {limit:#x}"
            " bytes are given behind it",
        )
    data = bytes(tail[NODE_HEADER_BYTES : NODE_HEADER_BYTES + header.len])
    return SetupDataNode(type=header.type, data=data, next=header.next)


# The parts in order of address, touching ones joined, for look-ups by address.
class _Memory:
    def __init__(self, parts: Sequence[tuple[int, bytes]]) -> None:
        self._addrs: list[int] = []
        chunks: list[list[bytes]] = []
        end = -1
        for addr, data in sorted(filter(itemgetter(1), parts), key=itemgetter(0)):
            if addr < end:
                raise BadImageError(
                    f"the part of {len(data)} bytes at {addr:#x} overlaps the one"
                    f" that ends at {end:#x}",
                )
            if addr != end:
                self._addrs.append(addr)
                chunks.append([])
            chunks[-1].append(data)
            end = addr + len(data)
        self._views = [memoryview(b"".join(chunk)) for chunk in chunks]
        self.total_bytes = sum(map(len, self._views))

    def from_addr(self, addr: int) -> memoryview | None:
        index = bisect_right(self._addrs, addr) - 1
        if index < 0 or addr >= self._addrs[index] + len(self._views[index]):
            return None
        return self._views[index][addr - self._addrs[index] :]

    def __str__(self) -> str:
        if not self._addrs:
            return "none"
        last = self._addrs[-1] + len(self._views[-1]) - 1
        many = f", {len(self._addrs)} pieces" if len(self._addrs) > 1 else ""
        return f"{self._addrs[0]:#x}-{last:#x}{many}"
