"""What patch 6 of the persistent memory pool series finds in a device tree."""

import libfdt

from e820pool.abi.fdt import PmpoolNode
from e820pool.errors import BadImageError

__all__ = ("empty_tree", "find_pmpool_node")


def empty_tree():
    """Return a packed tree with nothing in it."""
    tree = libfdt.Fdt.create_empty_tree(4096)
    tree.pack()
    return bytes(tree.as_bytearray())


def find_pmpool_node(data):
    """Return the first node compatible with "pmpool", None without one."""
    if libfdt.fdt_check_full(bytearray(data), len(data)):
        raise BadImageError("no device tree")
    tree = libfdt.Fdt(data)
    offset, depth = 0, 0
    while offset >= 0 and depth >= 0:
        compatible = tree.getprop(offset, "compatible", (libfdt.NOTFOUND,))
        if not isinstance(compatible, int) and b"pmpool" in bytes(compatible).split(
            b"\0"
        ):
            return PmpoolNode(
                **{
                    name: int.from_bytes(bytes(tree.getprop(offset, name)), "big")
                    for name in ("base", "size", "bitmap")
                }
            )
        offset, depth = tree.next_node(offset, depth, (libfdt.NOTFOUND,))
    return None
