"""The device tree of the persistent memory pool series, written and read as it does.

RFC v2 of 25 September 2023: patch 3 (the tree that goes to the next kernel is a copy
of the running one, or a new one, changed by callbacks and packed), patch 5 (the node),
patch 6 (what the next kernel takes from it).
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from e820pool.errors import BadImageError, CapacityError, InputError, missing_package

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = (
    "FDT_LIMIT_BYTES",
    "PMPOOL_COMPATIBLE",
    "PmpoolNode",
    "empty_tree",
    "find_pmpool_node",
    "kho_root",
    "pack_pmpool_tree",
    "parse_kho_root",
)

FDT_LIMIT_BYTES = 2 << 20
"""What the series allocates for the copy (patch 3, fdt_get_runtime(), SZ_2M)."""

PMPOOL_COMPATIBLE = "pmpool"  #: What the series' node is compatible with.
_CHOSEN = "chosen"
_NODE = "default_pmpool"

# Device trees come from outside, too: a header claims its size.
_READ_LIMIT = 16 << 20
_U64_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PmpoolNode:
    """``/chosen/default_pmpool``: physical addresses and a size, in bytes.

    Attributes:
        bitmap: where the allocator's bitmap lies; the series puts it at ``base``.
    """

    base: int
    size: int
    bitmap: int


def empty_tree() -> bytes:
    """Return a packed tree with nothing in it; MachineError without pylibfdt."""
    tree = _libfdt().Fdt.create_empty_tree(_READ_LIMIT >> 8)
    tree.pack()
    return bytes(tree.as_bytearray())


def pack_pmpool_tree(node: PmpoolNode, running: bytes | None = None) -> bytes:
    """Return the tree that a kernel with the series hands on.

    ``/chosen`` is made when it is missing. A ``default_pmpool`` that is there already
    stays as it is, whatever it says: the callback returns before it writes.

    Args:
        node: the pool of this kernel.
        running: the tree that this kernel was itself given, None for a new one.

    Raises:
        BadImageError: ``running`` is no device tree.
        InputError: a number of the node does not fit 64 bits.
        CapacityError: the tree does not fit the series' 2 MiB.
        MachineError: pylibfdt is not installed.
    """
    libfdt = _libfdt()
    _validate_numbers(node)
    if running is None:
        tree = libfdt.Fdt.create_empty_tree(FDT_LIMIT_BYTES)
    else:
        tree = _parsed(running)
        if len(running) > FDT_LIMIT_BYTES:
            raise CapacityError(
                f"device tree of {len(running):#x} bytes does not fit: the series' "
                f"limit is {FDT_LIMIT_BYTES:#x}"
            )
        tree.resize(FDT_LIMIT_BYTES)
    try:
        _add_node(tree, node)
    except libfdt.FdtException as exc:
        raise CapacityError(f"device tree: no room for the pool's node: {exc}") from exc
    tree.pack()
    return bytes(tree.as_bytearray())


def find_pmpool_node(data: bytes) -> PmpoolNode | None:
    """Return what patch 6 finds: the first node compatible with "pmpool".

    None when there is none.

    Raises:
        BadImageError: no device tree, or a property is missing or not 64 bits.
        MachineError: pylibfdt is not installed.
    """
    tree = _parsed(data)
    try:
        return _first_pool(tree)
    except _libfdt().FdtException as exc:
        raise BadImageError(f"device tree: {exc}") from exc


def kho_root(compatible: str, preserved_map_addr: int) -> bytes:
    """Return the root tree of a kexec handover.

    The address is in the machine's byte order, unlike a device tree's numbers
    (Linux 6.18 kernel/kexec_handover.c kho_mem_deserialize()).

    Raises:
        MachineError: pylibfdt is not installed.
    """
    tree = _libfdt().Fdt.create_empty_tree(1 << 12)
    tree.setprop(0, "compatible", compatible.encode() + b"\0")
    tree.setprop(
        0, "preserved-memory-map", preserved_map_addr.to_bytes(_U64_BYTES, "little")
    )
    tree.pack()
    return bytes(tree.as_bytearray())


def parse_kho_root(data: bytes) -> tuple[str, int]:
    """Return what :func:`kho_root` wrote: what it is compatible with, and the address.

    Raises:
        BadImageError: no device tree, or a property is missing or not 64 bits.
        MachineError: pylibfdt is not installed.
    """
    tree = _parsed(data)
    compatible = _property(tree, 0, "compatible") or b""
    address = _property(tree, 0, "preserved-memory-map")
    if address is None or len(address) != _U64_BYTES:
        raise BadImageError("device tree: no preserved-memory-map of 64 bits")
    text = compatible.partition(b"\0")[0].decode("latin-1")
    return text, int.from_bytes(address, "little")


def _libfdt() -> Any:
    # Only who builds or reads the rival design needs it.
    try:
        return importlib.import_module("libfdt")
    except ImportError as exc:
        raise missing_package("a device tree", "pylibfdt") from exc


def _add_node(tree: Any, node: PmpoolNode) -> None:
    libfdt = _libfdt()
    chosen = tree.subnode_offset(0, _CHOSEN, (libfdt.NOTFOUND,))
    if chosen < 0:
        chosen = tree.add_subnode(0, _CHOSEN)
    offset = tree.add_subnode(chosen, _NODE, (libfdt.EXISTS,))
    if offset < 0:
        return
    # In the order of the patch; it has no meaning.
    tree.setprop(offset, "compatible", PMPOOL_COMPATIBLE.encode() + b"\0")
    tree.setprop_u64(offset, "bitmap", node.bitmap)
    tree.setprop_u64(offset, "size", node.size)
    tree.setprop_u64(offset, "base", node.base)


def _parsed(data: bytes) -> Any:
    libfdt = _libfdt()
    if len(data) > _READ_LIMIT:
        raise BadImageError(
            f"device tree of {len(data):#x} bytes: the limit is {_READ_LIMIT:#x}"
        )
    status = libfdt.fdt_check_full(bytearray(data), len(data)) if data else -1
    if status:
        raise BadImageError(
            f"{len(data):#x} bytes are no device tree: libfdt says {status}"
        )
    return libfdt.Fdt(data)


def _first_pool(tree: Any) -> PmpoolNode | None:
    for offset in _nodes(tree):
        compatible = _property(tree, offset, "compatible") or b""
        if PMPOOL_COMPATIBLE.encode() in compatible.split(b"\0"):
            return PmpoolNode(
                base=_number(tree, offset, "base"),
                size=_number(tree, offset, "size"),
                bitmap=_number(tree, offset, "bitmap"),
            )
    return None


def _nodes(tree: Any) -> Iterator[int]:
    libfdt = _libfdt()
    offset, depth = 0, 0
    while offset >= 0 and depth >= 0:
        yield offset
        offset, depth = tree.next_node(offset, depth, (libfdt.NOTFOUND,))


def _property(tree: Any, offset: int, name: str) -> bytes | None:
    value = tree.getprop(offset, name, (_libfdt().NOTFOUND,))
    return None if isinstance(value, int) else bytes(value)


def _number(tree: Any, offset: int, name: str) -> int:
    value = _property(tree, offset, name)
    if value is None or len(value) != _U64_BYTES:
        length = "none" if value is None else f"{len(value)} bytes"
        raise BadImageError(
            f"device tree: {name!r} of the pool's node has {length}: want a u64"
        )
    return int.from_bytes(value, "big")


def _validate_numbers(node: PmpoolNode) -> None:
    for name in ("base", "size", "bitmap"):
        value = getattr(node, name)
        if not 0 <= value < 1 << 64:
            raise InputError(f"pool's {name} is {value:#x}: the limit is 2^64 - 1")
