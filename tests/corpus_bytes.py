"""The bytes of a corpus case, written with rawbytes.py and not with the package."""

import struct

import rawbytes
from corpus_format import INITRD_BYTES, PLACES

ALT_MEM_K, EXT_MEM_K, SENTINEL = 0x1E0, 0x02, 0x1EF


def zero_page_of(case, header=b"", kernel_at=PLACES["kernel"]):
    """Return the case's zero page; with an image's header, ready to boot."""
    places = PLACES | case.get("place", {})
    page = rawbytes.zero_page(case["e820"][:128], count=case.get("count"))
    nodes = case.get("nodes") or [{"addr": 0}]
    patches = {
        0x1F1: header,
        0x210: b"\xff",
        0x214: struct.pack("<I", kernel_at),
        0x218: struct.pack("<II", places["initrd"], INITRD_BYTES),
        0x228: struct.pack("<I", places["cmdline"]),
        0x250: struct.pack("<Q", nodes[0]["addr"]),
        ALT_MEM_K: struct.pack("<I", case.get("alt_mem_k", 0)),
        EXT_MEM_K: struct.pack("<H", case.get("ext_mem_k", 0)),
        SENTINEL: bytes([case.get("sentinel", 0)]),
    }
    patches |= {
        int(k, 16): bytes.fromhex(v) for k, v in case.get("patches", {}).items()
    }
    return rawbytes.patched(page, patches)


def node_data(node):
    """Return a node's payload."""
    if "rows" in node:
        return rawbytes.e820_table(node["rows"]) + bytes.fromhex(node.get("tail", ""))
    return bytes.fromhex(node["hex"]) if "hex" in node else bytes(node["bytes"])


def parts_of(case):
    """Yield ``(addr, bytes)`` of nodes and other parts; zeros need not be loaded."""
    nodes = case.get("nodes") or []
    nexts = [n["addr"] for n in nodes[1:]] + [0]
    for node, next_ in zip(nodes, nexts, strict=False):
        if "bytes" in node:
            yield node["addr"], struct.pack("<QII", next_, node["type"], node["bytes"])
        else:
            data = node_data(node)
            yield node["addr"], rawbytes.setup_data(node["type"], data, next_)
    for part in case.get("parts", ()):
        yield part["addr"], bytes.fromhex(part["hex"])
