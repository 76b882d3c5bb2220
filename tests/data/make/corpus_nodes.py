"""Cases of the conformance corpus: setup_data, deposits by the hundred, fallbacks."""

import struct

from corpus_tables import (
    CORE,
    END,
    LOW,
    NOKASLR,
    ODD_TYPES,
    PLAIN,
    TOP,
    G,
    K,
    M,
    ext_node,
    line_of,
    random_rows,
    rng_of,
)

UNKNOWN = 0x504D_4E4F
INDIRECT = 1 << 31


def nodes(seed):
    yield from ext(seed)
    yield from capacity()
    yield from deposits(seed)
    yield from fragments()
    yield from places()
    yield from old_version()
    yield from kinds()
    yield from with_lines()
    yield from fallbacks()


def with_nodes(*placed, e820=PLAIN, **more):
    return {"e820": e820, "nodes": list(placed), **more}


def node(addr, size=0x100, kind=UNKNOWN):
    return {"addr": addr, "type": kind, "bytes": size}


def indirect(addr, target, size, kind=UNKNOWN):
    data = struct.pack("<IIQQ", kind, 0, size, target)
    return {"addr": addr, "type": INDIRECT, "hex": data.hex()}


def ext(seed, count=14):
    extra = [[300 * M, M, 2], [4 * G, M, 2]]
    yield "ext", "rows over RAM", with_nodes(ext_node(extra))
    bad = [[300 * M, M, 2], [END - M, 2 * M, 2], [310 * M, M, 2]]
    yield "ext", "a wrapping row in the middle", with_nodes(ext_node(bad))
    two = (ext_node(bad), ext_node([[320 * M, M, 5]], 5 * M))
    yield "ext", "a good node after a bad one", with_nodes(*two)
    first = ext_node(bad[1:])
    yield "ext", "a wrapping row first", with_nodes(first, cmdline=NOKASLR)
    rest = ext_node(extra, tail="ff" * 19)
    yield "ext", "19 bytes behind the last row", with_nodes(rest)
    yield "ext", "no row, 19 bytes", with_nodes(ext_node([], tail="aa" * 19))
    yield "ext", "no byte", with_nodes(ext_node([]))
    odd = ext_node(extra, 4 * M + 0xFF3)
    yield "ext", "a node at an odd address over two pages", with_nodes(odd)
    ram = [ext_node([[128 * M, 320 * M, 1]])]
    yield "ext", "RAM in a node only", {"e820": CORE, "nodes": ram}
    far = [ext_node([[128 * M, 320 * M, 1]], 400 * M)]
    yield "ext", "a node in RAM that it tells of itself", {"e820": CORE, "nodes": far}
    mixed = (node(4 * M), ext_node(extra, 5 * M), node(6 * M), ext_node(bad, 7 * M))
    yield "ext", "nodes of other types between", with_nodes(*mixed)
    merging = ext_node([[126 * M, 4 * M, 1], [0x9E000, 0x1000, 2]])
    yield "ext", "rows that continue the table's", with_nodes(merging)
    for n in range(count):
        rng = rng_of(seed, "ext", n)
        rows = random_rows(rng, rng.randint(2, 12))
        placed = [
            ext_node(random_rows(rng, rng.randint(0, 12)), 4 * M + k * 0x10000)
            for k in range(rng.randint(1, 3))
        ]
        given = {"e820": [*CORE, *rows], "nodes": placed, "cmdline": line_of(n)}
        yield "ext", "random rows in table and nodes", given


def small(count, at=1 << 40, step=0x2000, kind=2):
    return [[at + n * step, 0x1000, kind] for n in range(count)]


def capacity():
    rest = {"cmdline": NOKASLR}
    for count in (500, 3194, 3196, 3197, 3400):
        what = f"a node of {count} rows"
        yield "capacity", what, with_nodes(ext_node(small(count)), **rest)
    halves = (ext_node(small(2000)), ext_node(small(2000, 1 << 41), 5 * M))
    yield "capacity", "two nodes of 2000 rows", with_nodes(*halves, **rest)
    over = ext_node([*small(3196), [300 * M, M, 2], [302 * M, M, 2]])
    yield "capacity", "what protects RAM comes too late", with_nodes(over, **rest)
    packed = ext_node(small(3400, step=0x1000))
    yield "capacity", "rows that would merge, cut before", with_nodes(packed, **rest)
    cuts = ext_node([[1 << 40, 1 << 30, 2], *small(1700, kind=5)])
    yield (
        "capacity",
        "overlaps that need more rows than there are",
        with_nodes(cuts, **rest),
    )
    line = {"cmdline": f"{NOKASLR} memmap=1M$300M"}
    full = ext_node(small(3196))
    yield "capacity", "memmap= with a full table", with_nodes(full, **line)
    line = {"cmdline": f"{NOKASLR} memmap=1M%300M-1+2"}
    yield "capacity", "a split with a full table", with_nodes(full, **line)
    tail = ext_node(small(3195))
    yield "capacity", "a split with one row to spare", with_nodes(tail, **line)
    # Where no kernel marks the node there is no room for the mark to take.
    apart = [*CORE, [128 * M, 64 * M, 2], [192 * M, 256 * M, 1]]
    for count in (3195, 3196, 3300):
        node_ = ext_node(small(count), 130 * M)
        what = f"{count} rows in a node outside of RAM"
        yield "capacity", what, with_nodes(node_, e820=apart, **rest)
    line = {"cmdline": f"{NOKASLR} memmap=1M%300M-1+2"}
    node_ = ext_node(small(3195), 130 * M)
    yield "capacity", "no mark, but a split", with_nodes(node_, e820=apart, **line)
    large = ext_node(small(13200))
    yield "capacity", "a node of more than 256 KiB", with_nodes(large, **rest)


def carved(spots, low=M, high=TOP):
    """Return RAM with RESERVED pages in it: ``(addr, size)`` each."""
    rows, at = [*LOW], low
    for addr, size in spots:
        rows += [[at, addr - at, 1], [addr, size, 2]]
        at = addr + size
    return [*rows, [at, high - at, 1]]


def spilled(rows, **more):
    given = {"e820": rows[:128], **more}
    return given | {"nodes": [ext_node(rows[128:])]} if rows[128:] else given


def deposits(seed):
    for count in (61, 62, 63, 100, 200, 300):
        spots = [(128 * M + n * M, 0x1000) for n in range(count)]
        what = f"{count} single pages, a MiB apart"
        yield "deposits", what, spilled(carved(spots), cmdline=line_of(count))
    for count in (40, 150):
        spots = [(128 * M + n * 2 * M, M) for n in range(count)]
        yield "deposits", f"{count} MiB, 2 MiB apart", spilled(carved(spots))
    for n, count in enumerate((50, 120, 250, 400)):
        rng = rng_of(seed, "deposits", n)
        pages = sorted(rng.sample(range(128 * M >> 12, 440 * M >> 12, 16), count))
        spots = [(page << 12, rng.randint(1, 15) << 12) for page in pages]
        what = f"{count} deposits at random"
        yield "deposits", what, spilled(carved(spots), cmdline=line_of(n))
    spots = [(128 * M + n * M, 0x1000) for n in range(100)]
    over = [*PLAIN, *[[addr, size, 2] for addr, size in spots]]
    yield "deposits", "100 pages laid over RAM", {"e820": over, "cmdline": NOKASLR}
    node = ext_node([[addr, size, 2] for addr, size in spots])
    yield "deposits", "100 pages over RAM, in a node", with_nodes(node)
    user = ",".join(f"4K${addr >> 20}M" for addr, _ in spots)
    line = {"e820": PLAIN, "cmdline": f"memmap={user}"}
    yield "deposits", "100 pages on the command line", line
    dense = [(128 * M + n * 0x2000, 0x1000) for n in range(1000)]
    yield (
        "deposits",
        "1000 pages, every second one",
        spilled(carved(dense), cmdline=NOKASLR),
    )


def fragments():
    rest = {"cmdline": NOKASLR}
    for count in (30, 110, 140, 200):
        rows = [*CORE, *[[200 * M + n * M, 0x5000, 1] for n in range(count)]]
        yield "fragments", f"{count} pieces of RAM at the top", spilled(rows, **rest)
    top = [[128 * M, 256 * M, 1], *[[384 * M + n * M, 0x5000, 1] for n in range(60)]]
    yield "fragments", "60 pieces above a large one", spilled([*CORE, *top], **rest)
    low_less = [[M, 127 * M, 1], *[[200 * M + n * M, M // 2, 1] for n in range(160)]]
    yield "fragments", "160 pieces, no low RAM", spilled(low_less, **rest)
    # Each needs a page table of its own while memory is mapped.
    for count in (120, 155):
        rows = [*CORE, *[[130 * M + n * 2 * M, 0x5000, 1] for n in range(count)]]
        what = f"{count} pieces of RAM at the top, 2 MiB apart"
        yield "fragments", what, spilled(rows, **rest)


def places():
    unaligned = (4 * M + 1, 4 * M + 0xFF8, 127 * M - 3)
    for at in unaligned:
        what = f"a node at {at:#x}"
        yield "node", what, with_nodes(node(at, 0x1234), cmdline=NOKASLR)
    yield "node", "a node without data", with_nodes(node(4 * M, 0))
    touching = (node(4 * M, 0xF0), node(4 * M + 0x100, 0xF0))
    yield "node", "two nodes that touch", with_nodes(*touching)
    chain = [node(4 * M + n * 0x300, 0x80 + n) for n in range(40)]
    yield "node", "40 nodes", with_nodes(*chain, cmdline=NOKASLR)
    back = [node(126 * M - n * 5 * M, 0x1000) for n in range(4)]
    yield "node", "a chain from high to low", with_nodes(*back)
    holes = [*CORE, [128 * M, 64 * M, 2], [200 * M, 248 * M, 1]]
    for what, at in (
        ("in RESERVED", 130 * M),
        ("in a gap", 194 * M),
        ("over the end of RAM", 128 * M - 0x80),
        ("over the start of RAM", 200 * M - 0x80),
        ("in the first page", 0x800),
        # Between 0x7000 and 0x90000 SeaBIOS wipes what it used.
        ("over two pages of low RAM", 0x93F80),
        ("where the trampoline would go", 0x9C000),
    ):
        given = with_nodes(node(at), e820=holes, cmdline=NOKASLR)
        yield "node", f"a node {what}", given
    last = node(TOP - 0x1000, 0xFF0)
    yield "node", "a node that fills the last page of RAM", with_nodes(last)
    inside = node(TOP - 0x1000, 0x200)
    yield "node", "a node in the last page of RAM", with_nodes(inside)
    large = node(200 * M, 40 * M - 16)
    yield "node", "a node of 40 MiB", with_nodes(large)


def old_version():
    given = with_nodes(node(200 * M), ext_node([[300 * M, M, 2]], 5 * M))
    version = {"patches": {"0x206": struct.pack("<H", 0x208).hex()}}
    yield "node", "nodes where hdr.version says 2.08", given | version


def kinds():
    for kind in (0, 2, 3, 4, 5, 6, 8, 9, 10, 11, 0xFFFF, 0x7FFF_FFFF):
        what = f"a node of type {kind:#x}"
        given = with_nodes(node(130 * M + 0x123, 0x200, kind), cmdline=NOKASLR)
        yield "kind", what, given
    target = indirect(4 * M, 300 * M + 0x100, 0x5000)
    yield "indirect", "a target in RAM", with_nodes(target)
    rows = b"".join(struct.pack("<QQI", *r) for r in ([310 * M, M, 2],))
    hidden = indirect(4 * M, 300 * M, 20, 1)
    part = {"addr": 300 * M, "hex": rows.hex()}
    yield "indirect", "rows behind it", with_nodes(hidden, parts=[part])
    nested = indirect(4 * M, 300 * M, 0x1000, INDIRECT)
    yield "indirect", "a target that is indirect", with_nodes(nested)
    typed = indirect(4 * M, 300 * M, 0x1000, INDIRECT | 1)
    yield "indirect", "a target of type INDIRECT | 1", with_nodes(typed)
    gap = indirect(4 * M, 600 * M, 0x1000)
    yield "indirect", "a target outside of RAM", with_nodes(gap)
    big = indirect(4 * M, 150 * M, 290 * M)
    yield "indirect", "a target of 290 MiB", with_nodes(big)


def with_lines():
    below = with_nodes(node(300 * M, 0x1000), cmdline=f"{NOKASLR} mem=200M")
    yield "node-line", "mem= takes the RAM under a node", below
    at_limit = with_nodes(node(200 * M - 0x80, 0x100), cmdline=f"{NOKASLR} mem=200M")
    yield "node-line", "mem= cuts through a node", at_limit
    over = with_nodes(node(200 * M, 0x100), cmdline=f"{NOKASLR} memmap=1M$199M")
    yield "node-line", "memmap= over a node", over
    exact = with_nodes(
        node(200 * M), cmdline=f"{NOKASLR} memmap=exactmap,636K@0,400M@1M"
    )
    yield "node-line", "exactmap around a node", exact
    wiped = with_nodes(
        node(130 * M, 0x40, 9), node(131 * M, 0x40, 4), node(132 * M, 0x40, 8)
    )
    yield "node-line", "seed, EFI and IMA nodes", wiped | {"cmdline": NOKASLR}
    both = with_nodes(ext_node([[300 * M, M, 2], [301 * M, M, 1]]), node(302 * M))
    line = {"cmdline": f"{NOKASLR} memmap=2M!300M,1M@303M"}
    yield "node-line", "nodes, rows and options", both | line


def fallbacks():
    refused = [*PLAIN, [END - 1, 2, 2]]
    sizes = (
        {"alt_mem_k": 400 * K},
        {"alt_mem_k": 200 * K, "ext_mem_k": 0xFFFF},
        {"alt_mem_k": 0xFFFF, "ext_mem_k": 0xFFFF},
        {"alt_mem_k": 0xFFFE, "ext_mem_k": 0xFFFF},
        {"ext_mem_k": 0xFC00},
        {"alt_mem_k": 300 * K + 1},
    )
    for n, size in enumerate(sizes):
        words = ", ".join(f"{name} {value:#x}" for name, value in size.items())
        # 64 MiB are too few for a kernel: a node adds the rest.
        rest = (
            [ext_node([[64 * M, 384 * M, 1]])] if size.get("alt_mem_k", 0) < M else []
        )
        given = {"e820": refused, "cmdline": line_of(n), "nodes": rest, **size}
        yield "fallback", words, given
    after = {"e820": refused, "alt_mem_k": 400 * K, "cmdline": NOKASLR}
    nodes_ = [ext_node([[300 * M, M, 2]]), node(6 * M)]
    yield "fallback", "a node adds to it", after | {"nodes": nodes_}
    line = {"cmdline": f"{NOKASLR} memmap=1M$300M mem=390M"}
    yield "fallback", "options change it", after | line
    alone = {"e820": PLAIN, "alt_mem_k": 200 * K, "ext_mem_k": 0xFFFF}
    yield "fallback", "sizes beside a good table", alone
    for kind in ODD_TYPES[:3]:
        rows = [[END - M, 2 * M, kind], *PLAIN]
        given = {"e820": rows, "alt_mem_k": 300 * K, "cmdline": NOKASLR}
        yield "fallback", f"a wrapping row of type {kind}", given
