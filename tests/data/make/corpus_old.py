"""Cases of the conformance corpus: what tells old kernels from new ones.

All of them are booted on every kernel.
"""

import struct

from corpus_kaslr import efi_map
from corpus_nodes import node, with_nodes
from corpus_tables import CORE, END, LOW, NOKASLR, PLAIN, TOP, K, M, ext_node

FAMILY = "old"


def old(_seed):
    for family in (chains(), full_tables(), lines(), fallbacks()):
        yield from (
            (FAMILY, what, {"cmdline": NOKASLR} | given) for what, given in family
        )


# 2.6.32 has 20 early reservations and takes some itself; each node is one.
def chains():
    for count in (8, 14, 17, 20, 30):
        chain = [node(130 * M + n * M) for n in range(count)]
        yield f"{count} nodes, a MiB apart", with_nodes(*chain)
    early = {"patches": {"0x206": struct.pack("<H", 0x208).hex()}}
    more = ext_node([[300 * M, M, 2]])
    yield "a node of rows where hdr.version says 2.08", with_nodes(more) | early


# 128 entries that become more: what has no room is cut from the top, or is kept.
def full_tables():
    inside = [[130 * M + 2 * n * M, M, 2] for n in range(124)]
    over = [*LOW, [M, TOP - M, 1], *inside]
    yield "124 MiB laid over RAM, 128 rows in all", {"e820": [*over, [500 * M, M, 2]]}
    backwards = [[500 * M, M, 2], *reversed(over)]
    yield "the same from the top down", {"e820": backwards}
    few = [*over[:64], [448 * M, 64 * M, 1]]
    yield "61 MiB laid over RAM, RAM behind it", {"e820": few}
    line = {"cmdline": f"{NOKASLR} memmap=1M$140M memmap=1M$150M"}
    far = [[(1 << 40) + 2 * n * M, M, 2] for n in range(124)]
    yield "128 rows, and two from the line", {"e820": [*PLAIN, *far]} | line


def lines():
    for words in (
        "mem=300M memmap=16M$200M",
        "memmap=16M$200M mem=300M",
        "memmap=16M@320M mem=300M",
        "memmap=exactmap memmap=636K@0 memmap=400M@1M",
        "mem=300M memmap=exactmap memmap=636K@0 memmap=400M@1M",
        "memmap=exactmap memmap=636K@0 memmap=400M@1M mem=300M",
    ):
        yield repr(words), {"e820": PLAIN, "cmdline": f"{NOKASLR} {words}"}
    whole = efi_map(
        (M, 127 * M, 7, 0xF), *((200 * M + n * 4 * M, 2 * M, n, 0xF) for n in range(16))
    )
    words = f"{NOKASLR} noefi add_efi_memmap memmap=1M$210M"
    yield (
        "an EFI map that is added, and a line",
        whole | {"e820": CORE, "cmdline": words},
    )


def fallbacks():
    refused = [*PLAIN, [END - 1, 2, 2]]
    sizes = {"alt_mem_k": 400 * K, "ext_mem_k": 0xFFFF}
    yield "a row that wraps, and sizes", {"e820": refused} | sizes
    yield "one row, and sizes", {"e820": PLAIN[:1]} | sizes
    last = [*PLAIN, [END - M, M, 2]]
    yield "a row that ends at 2^64, and sizes", {"e820": last} | sizes
