"""Device trees that go to the next kernel: the rival series' node, KHO's root.

The persistent memory pool series, RFC v2 of 25 September 2023: patch 3 (a new tree,
changed by callbacks and packed), patch 5 (the node). Kexec handover: Linux 6.18
kernel/kexec_handover.c.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from e820pool.errors import BadImageError, InputError, missing_package

__all__ = ("PmpoolNode", "kho_root", "pack_pmpool_tree", "parse_kho_root")

# More than the one node of a tree of ours needs.
_ROOM_BYTES = 1 << 12
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


def pack_pmpool_tree(node: PmpoolNode) -> bytes:
    """Return the tree that a kernel with the series hands on, ``/chosen`` made new.

    Raises:
        InputError: a number of the node does not fit 64 bits.
        MachineError: pylibfdt is not installed.
    """
    for name in ("base", "size", "bitmap"):
        value = getattr(node, name)
        if not 0 <= value < 1 << 64:
            raise InputError(f"pool's {name} is {value:#x}: the limit is 2^64 - 1")
    tree = _libfdt().Fdt.create_empty_tree(_ROOM_BYTES)
    offset = tree.add_subnode(tree.add_subnode(0, "chosen"), "default_pmpool")
    # In the order of the patch; it has no meaning.
    tree.setprop(offset, "compatible", b"pmpool\0")
    tree.setprop_u64(offset, "bitmap", node.bitmap)
    tree.setprop_u64(offset, "size", node.size)
    tree.setprop_u64(offset, "base", node.base)
    tree.pack()
    return bytes(tree.as_bytearray())


def kho_root(compatible: str, preserved_map_addr: int) -> bytes:
    """Return the root tree of a kexec handover.

    The address is in the machine's byte order, unlike a device tree's numbers
    (Linux 6.18 kernel/kexec_handover.c kho_mem_deserialize()).

    Raises:
        MachineError: pylibfdt is not installed.
    """
    tree = _libfdt().Fdt.create_empty_tree(_ROOM_BYTES)
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
    tree = libfdt.Fdt(data)
    try:
        compatible, address = (
            tree.getprop(0, name, (libfdt.NOTFOUND,))
            for name in ("compatible", "preserved-memory-map")
        )
    except libfdt.FdtException as exc:
        raise BadImageError(f"device tree: {exc}") from exc
    # A property that is not there is a negative number.
    if isinstance(address, int) or len(address) != _U64_BYTES:
        raise BadImageError("device tree: no preserved-memory-map of 64 bits")
    name = b"" if isinstance(compatible, int) else bytes(compatible)
    text = name.partition(b"\0")[0].decode("latin-1")
    return text, int.from_bytes(bytes(address), "little")


def _libfdt() -> Any:
    # Only who builds or reads the rival design needs it.
    try:
        return importlib.import_module("libfdt")
    except ImportError as exc:
        raise missing_package("a device tree", "pylibfdt") from exc
