"""Cases of the conformance corpus: what is wrong with a table itself."""

import random

K, M, G = 1 << 10, 1 << 20, 1 << 30
TOP = 448 * M
END = 1 << 64
LOW = [[0, 0x9F000, 1], [0x9F000, 0x61000, 2]]
# Enough for any kernel, its initrd and the parts of a handoff.
CORE = [*LOW, [M, 127 * M, 1]]
PLAIN = [*CORE, [128 * M, 320 * M, 1]]
NOKASLR = "nokaslr"
# What the lab needs on the command line; memblock=debug shows memory early.
WORDS = (
    "loglevel=8 earlyprintk=ttyS0,115200 console=ttyS0,115200 panic=-1 memblock=debug"
)

ODD_TYPES = (0, 3, 4, 5, 7, 12, 13, 20, 0xEFFF_FFFF, 0xFFFF_FFFF)
JITTER = (0, 0, 0, 1, 0x10, 0x800, 0xFFF, -1, -0x10, -0xFFF)


def rng_of(seed, family, n):
    return random.Random(f"{seed} {family} {n}")  # noqa: S311  reproducible, no secret


def line_of(n):
    """Every second case leaves the kernel where it was loaded."""
    return NOKASLR if n % 2 == 0 else ""


def tables(seed):
    yield from plain()
    yield from types()
    yield from overlaps(seed)
    yield from subpages(seed)
    yield from merges()
    yield from tiny()
    yield from wraps()
    yield from counts()
    yield from low_memory()
    yield from gaps()


def plain():
    yield "plain", "a clean table", {"e820": PLAIN}
    yield "plain", "a clean table, kernel at rest", {"e820": PLAIN, "cmdline": NOKASLR}
    above = [*PLAIN, [0xFEFF_C000, 0x4000, 2], [4 * G, 128 * M, 1]]
    yield "plain", "RAM above 4 GiB", {"e820": above}
    yield "plain", "RAM below 128 MiB only", {"e820": CORE, "cmdline": NOKASLR}


def types():
    every = [[128 * M + n * M, M, kind] for n, kind in enumerate(ODD_TYPES)]
    rest = [[160 * M, TOP - 160 * M, 1]]
    yield "types", "each type beside the next", {"e820": [*CORE, *every, *rest]}
    apart = [[128 * M + 2 * n * M, M, kind] for n, kind in enumerate(ODD_TYPES)]
    yield "types", "each type between gaps", {"e820": [*CORE, *apart, *rest]}
    within = [[200 * M + 2 * n * M, M, kind] for n, kind in enumerate(ODD_TYPES)]
    over = [*PLAIN, *within]
    yield "types", "each type over RAM", {"e820": over, "cmdline": NOKASLR}
    pairs = [
        [200 * M + (8 * n + shift) * M, 4 * M, kind]
        for n, other in enumerate(ODD_TYPES[1:])
        for shift, kind in enumerate((other, 2))
    ]
    yield "types", "each type against RESERVED", {"e820": [*PLAIN, *pairs]}
    high = [[(1 << 40) + n * G, G, kind] for n, kind in enumerate(ODD_TYPES)]
    yield "types", "each type far above RAM", {"e820": [*PLAIN, *high]}
    in_low = [[0x10000 + n * 0x4000, 0x1000, k] for n, k in enumerate(ODD_TYPES)]
    yield "types", "each type in the first MiB", {"e820": [*PLAIN, *in_low]}
    kern = [[140 * M, 20 * M, 128]]
    yield "types", "type 128 inside RAM", {"e820": [*PLAIN, *kern], "cmdline": NOKASLR}
    split = [*CORE, [128 * M, 32 * M, 128], [160 * M, TOP - 160 * M, 1]]
    yield "types", "type 128 between RAM", {"e820": split}
    top = [*CORE, [128 * M, 32 * M, 1], [160 * M, TOP - 160 * M, 128]]
    yield "types", "type 128 above all RAM", {"e820": top, "cmdline": NOKASLR}
    acpi = [*PLAIN[:-1], [128 * M, 64 * M, 1], [192 * M, 8 * M, 3]]
    yield "types", "ACPI above all RAM", {"e820": acpi, "cmdline": NOKASLR}
    far = [*acpi, [1 << 40, M, 3], [1 << 50, M, 3]]
    yield "types", "ACPI far above all RAM", {"e820": far, "cmdline": NOKASLR}
    last = [*acpi[:-1], [192 * M, 0x800, 1], [192 * M + 0x800, 0x800, 128]]
    yield "types", "type 128 ends the last page", {"e820": last, "cmdline": NOKASLR}
    beyond = [*PLAIN, [1 << 46, M, 1]]
    yield "types", "RAM above 64 TiB", {"e820": beyond, "cmdline": NOKASLR}
    across = [*PLAIN, [(1 << 46) - M, 2 * M, 3]]
    yield "types", "ACPI across 64 TiB", {"e820": across, "cmdline": NOKASLR}


def overlaps(seed, count=36):
    for n in range(count):
        rng = rng_of(seed, "overlap", n)
        rows = [*CORE, *random_rows(rng, rng.randint(3, 24))]
        if n % 3 == 0:
            rng.shuffle(rows)
        what = "random rows over one another" + (", unsorted" if n % 3 == 0 else "")
        yield "overlap", what, {"e820": rows, "cmdline": line_of(n)}


def random_rows(rng, count, low=128 * M, high=TOP):
    """Return rows between few grid points, so that many bounds coincide."""
    grid = sorted(rng.randrange(low, high, 0x1000) for _ in range(rng.randint(4, 10)))
    kinds = (1, 1, 1, 1, 2, 2, 2, *ODD_TYPES)
    rows = []
    for _ in range(count):
        first, last = rng.choice(grid), rng.choice(grid)
        start = max(low, min(first, last) + rng.choice(JITTER))
        end = min(high, max(first, last) + rng.choice(JITTER))
        if rng.random() < 0.08:
            end = start
        rows.append([start, max(end - start, 0), rng.choice(kinds)])
    return rows


def subpages(seed, count=10):
    for n in range(count):
        rng = rng_of(seed, "subpage", n)
        rows, at = [*CORE], 200 * M
        for _ in range(rng.randint(6, 30)):
            size = rng.choice((1, 2, 0x7FF, 0x800, 0xFFF, 0x1000, 0x1001, 0x2345))
            rows.append([at, size, rng.choice((1, 1, 1, 2, 3, 12, 13))])
            at += size + rng.choice((0, 0, 0, 1, 0x800, 0x1000))
        rows += [[at, 64 * M - at % M, 1]] if n % 2 else []
        what = "rows that are no whole pages"
        yield "subpage", what, {"e820": rows, "cmdline": line_of(n)}


def merges():
    for n, kind in enumerate((1, 2, 5, 7, 12, 13, 0xEFFF_FFFF)):
        rows = [[200 * M + k * M, M, kind] for k in range(4)]
        rows += [[210 * M, 4 * M, kind], [212 * M, 4 * M, kind]]
        rows += [[220 * M, 4 * M, kind], [220 * M, 4 * M, kind]]
        rows += [[230 * M, 8 * M, kind], [231 * M, M, 1], [233 * M, M, 2]]
        rows += [[235 * M, M, 20]]
        what = f"touching, overlapping and equal rows of type {kind:#x}"
        yield "merge", what, {"e820": [*PLAIN, *rows], "cmdline": line_of(n)}
    backwards = [[at, M, 1] for at in range(TOP - M, 127 * M, -M)]
    many = [*CORE, *backwards[:120]]
    yield "merge", "RAM in touching rows, from the top", {"e820": many}


def tiny():
    half = {"alt_mem_k": 300 * K, "cmdline": NOKASLR}
    yield "tiny", "no row", {"e820": [], **half}
    yield "tiny", "no row, sizes of 0", {"e820": [], "cmdline": NOKASLR}
    yield "tiny", "one row of RAM", {"e820": [[M, 447 * M, 1]], **half}
    yield "tiny", "one row of RAM from 0", {"e820": [[0, TOP, 1]], **half}
    yield "tiny", "one row of RESERVED", {"e820": [[0, M, 2]], **half}
    yield "tiny", "two rows that are one", {"e820": [[0, M, 1], [M, 447 * M, 1]]}
    empty = [[0, TOP, 1], [300 * M, 0, 2]]
    yield "tiny", "a row and an empty one", {"e820": empty, "cmdline": NOKASLR}
    ext = {"e820": [[0, TOP, 1]], "nodes": [ext_node([[300 * M, M, 2]])], **half}
    yield "tiny", "one row, one more in a node", ext
    alone = {"e820": [], "nodes": [ext_node(PLAIN)], "cmdline": NOKASLR}
    yield "tiny", "no row, all in a node", alone
    first = {"e820": PLAIN[:1], "nodes": [ext_node(PLAIN[1:])], **half}
    yield "tiny", "one row, the others in a node", first
    lies = {"e820": PLAIN, "count": 1, **half}
    yield "tiny", "the count says one", lies
    yield "tiny", "the count says none", lies | {"count": 0}
    two = {"e820": PLAIN[2:], "cmdline": NOKASLR}
    yield "tiny", "two rows that touch, without low RAM", two


def ext_node(rows, addr=4 * M, **more):
    return {"addr": addr, "type": 1, "rows": rows, **more}


def wraps():
    bad = {
        "a wrapping row first": [[END - 2 * M, 4 * M, 2], *PLAIN],
        "a wrapping row in the middle": [*CORE, [END - M, 2 * M, 2], *PLAIN[3:]],
        "a wrapping row last": [*PLAIN, [1 << 63, 1 << 63 | 1, 2]],
        "a wrapping row of RAM": [*PLAIN, [END - 0x1000, 0x2000, 1]],
        "a row of 2^64 - 1 bytes at 1 MiB": [*PLAIN, [M, END - 1, 2]],
        "two wrapping rows": [[END - 1, 2, 13], *PLAIN, [END - 1, END - 1, 2]],
    }
    for n, (what, rows) in enumerate(bad.items()):
        more = {"alt_mem_k": 400 * K, "cmdline": line_of(n)}
        yield "wrap", what, {"e820": rows, **more}
    to_top = [*PLAIN, [END - 0x10000, 0x10000, 2]]
    yield "wrap", "a row that ends at 2^64", {"e820": to_top, "cmdline": NOKASLR}
    over = [*CORE, [128 * M, 320 * M, 1], [200 * M, M, 2], [END - 1, 1, 2]]
    yield "wrap", "the last byte, and an overlap", {"e820": over, "cmdline": NOKASLR}
    below = [*PLAIN, [END - 0x10000, 0xFFFF, 2], [1 << 52, 1 << 52, 13]]
    yield "wrap", "a row that ends a byte before 2^64", {"e820": below}
    zero = [*PLAIN, [END - 1, 0, 2], [END - 1, 0, 1], [0, 0, 0]]
    yield "wrap", "empty rows at the top", {"e820": zero}
    whole = [*PLAIN, [0, END - 1, 0]]
    yield "wrap", "a row of all memory, of type 0", {"e820": whole}
    user = {"e820": to_top, "cmdline": f"{NOKASLR} memmap=1M$300M"}
    yield "wrap", "a row that ends at 2^64, and memmap=", user
    node = [ext_node([[300 * M, M, 2], [END - M, M, 2]])]
    yield (
        "wrap",
        "a row that ends at 2^64 in a node",
        {"e820": PLAIN, "nodes": node, "cmdline": NOKASLR},
    )


def counts():
    rows, at = [*CORE], 128 * M
    for _ in range(60):
        rows += [[at, M, 1], [at + M, M, 2]]
        at += 2 * M
    for total in (126, 127, 128):
        given = [*rows, *[[at + n * M, 0x1000, 2] for n in range(8)]][:total]
        yield "count", f"{total} rows", {"e820": given, "cmdline": line_of(total)}
    full = [*rows, *[[at + n * M, 0x1000, 2] for n in range(8)]][:128]
    more = {"e820": full, "cmdline": NOKASLR}
    yield "count", "the count says 130, zeros follow", more | {"count": 130}
    yield "count", "the count says 150, zeros follow", more | {"count": 150}
    behind = b"".join(
        (addr.to_bytes(8, "little") + (M).to_bytes(8, "little") + b"\2\0\0\0")
        for addr in range(420 * M, 428 * M, 2 * M)
    )
    lies = more | {"count": 132, "patches": {"0xcd0": behind.hex()}}
    yield "count", "rows in the bytes behind the table", lies
    yield "count", "the same with the sentinel set", lies | {"sentinel": 0xFF}
    last = behind[:20]
    at_end = more | {"count": 160, "patches": {"0xef0": last.hex()}}
    yield "count", "a row at the end of the page", at_end
    yield "count", "the same with the sentinel set", at_end | {"sentinel": 1}
    ram = (300 * M + M).to_bytes(8, "little") + M.to_bytes(8, "little") + b"\1\0\0\0"
    hidden = more | {"count": 129, "patches": {"0xcd0": ram.hex()}}
    yield "count", "a row of RAM behind the table", hidden


def low_memory():
    high = PLAIN[2:]
    rest = {"cmdline": NOKASLR}
    few = [[0, 0x30000, 1], *high]
    yield "low", "192 KiB of low RAM", {"e820": few, **rest}
    bios = [[0, M, 1], *high]
    yield "low", "RAM up to 1 MiB", {"e820": bios}
    pieces = [[n * 0x8000, 0x7000, 1] for n in range(19)]
    yield "low", "low RAM in pieces", {"e820": [*pieces, *high], **rest}
    page = [[0x1000, 0x9E000, 1], *high]
    yield "low", "no page 0", {"e820": page}
    odd = [[0x10, 0x9EFF1, 1], [0xA0001, 0x5FF00, 1], *high]
    yield "low", "low RAM that is no whole pages", {"e820": odd, **rest}
    yield "low", "no low RAM", {"e820": high, **rest}
    acpi = [[0, 0x9F000, 3], *high]
    yield "low", "ACPI in place of low RAM", {"e820": acpi, **rest}
    islands = [[200 * M + n * 2 * M, M, 1] for n in range(90)]
    for count in (60, 90):
        what = f"{count} pieces of RAM that are not 2 MiB"
        yield "low", what, {"e820": [*CORE, *islands[:count]], **rest}
    aligned = [[200 * M + n * 4 * M, 2 * M, 1] for n in range(60)]
    yield "low", "60 pieces of 2 MiB", {"e820": [*CORE, *aligned], **rest}


def gaps():
    """Where PCI devices go: the largest hole below 4 GiB, and which of equal ones."""
    middle = (TOP + 4 * G) // 2
    rest = {"cmdline": NOKASLR}
    equal = [*PLAIN, [middle - 32 * M, 64 * M, 2]]
    yield "gap", "two equal holes below 4 GiB", {"e820": equal, **rest}
    third = (4 * G - TOP) // 3 // M * M
    rows = [[TOP + n * third - M, M, 2] for n in (1, 2)]
    rows += [[4 * G - M, M, 2]]
    yield (
        "gap",
        "three equal holes",
        {"e820": [*PLAIN, *rows], **rest},
    )
    full = [*PLAIN, [TOP, 4 * G - TOP, 2]]
    yield "gap", "no hole below 4 GiB", {"e820": full, **rest}
    small = [*PLAIN, [TOP, 4 * G - TOP - 2 * M, 2]]
    yield "gap", "a hole below 4 GiB that is too small", {"e820": small, **rest}
