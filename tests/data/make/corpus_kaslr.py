"""Cases of the conformance corpus: where the decompressor puts the kernel."""

import struct

from corpus_nodes import INDIRECT, indirect, node, with_nodes
from corpus_tables import CORE, LOW, NOKASLR, PLAIN, TOP, G, M, ext_node

EFI_INFO = 0x1C0
MEMMAP_AT, SYSTEM_TABLE_AT = 6 * M, 7 * M
# Any kernel fits, but into neither half.
NARROW, MIDDLE = [*CORE, [200 * M, 80 * M, 1]], 240 * M
CONVENTIONAL, LOADER_DATA, UNACCEPTED = 7, 2, 15
SPECIAL_PURPOSE, MORE_RELIABLE = 1 << 18, 1 << 16


def kaslr(_seed):
    yield from regions()
    yield from avoided()
    yield from limits()
    yield from loads()
    yield from sentinels()
    yield from efi()


def regions():
    window = [*CORE, [200 * M, 80 * M, 1]]
    yield "kaslr", "one region for few slots", {"e820": window}
    odd = [*CORE, [200 * M + 0x1234, 80 * M, 1], [300 * M - 1, 90 * M + 7, 1]]
    yield "kaslr", "regions that are not aligned", {"e820": odd}
    tight = [*CORE, [200 * M, 40 * M, 1], [300 * M, 30 * M, 1]]
    yield "kaslr", "no region that is large enough", {"e820": tight}
    split = [*CORE, [200 * M, 30 * M, 1], [230 * M, 60 * M, 1]]
    yield "kaslr", "touching regions are not joined", {"e820": split}
    over = [*CORE, [200 * M, 100 * M, 1], [200 * M, 100 * M, 2]]
    yield "kaslr", "RESERVED over the only region", {"e820": over}
    above = [*CORE, [200 * M, 200 * M, 1], [230 * M, 170 * M, 13]]
    yield "kaslr", "an unknown type over most of the region", {"e820": above}
    in_ext = with_nodes(ext_node([[128 * M, 320 * M, 1]]), e820=CORE)
    yield "kaslr", "the only region is in a node", in_ext
    ext_over = with_nodes(ext_node([[128 * M, 320 * M, 2]]))
    yield "kaslr", "RESERVED in a node over the region", ext_over
    types = [*CORE, [140 * M, 80 * M, 128], [230 * M, 80 * M, 12], [320 * M, 90 * M, 1]]
    yield "kaslr", "RAM of other types", {"e820": types}
    high = [*LOW, [M, 127 * M, 1], [4 * G, 256 * M, 1]]
    yield "kaslr", "the only region is above 4 GiB", {"e820": high}
    again = [*CORE, *[[200 * M, 80 * M, 1]] * 110, [320 * M, 128 * M, 1]]
    yield "kaslr", "more regions than 100", {"e820": again}
    first = [
        *CORE,
        *[[200 * M, 80 * M, 1]] * 99,
        [320 * M, 80 * M, 1],
        [360 * M, 88 * M, 1],
    ]
    yield "kaslr", "regions up to 100", {"e820": first}
    wrapped = [*CORE, [200 * M, 80 * M, 1], [(1 << 64) - M, 300 * M, 1]]
    more = {"alt_mem_k": 400 << 10}
    yield "kaslr", "a region that wraps", {"e820": wrapped, **more}
    only = [*CORE, [(1 << 64) - M, 300 * M, 1]]
    higher = more | {"e820": only, "place": {"kernel": 320 * M}}
    yield "kaslr", "a region that wraps, below the minimum", higher
    straight = [*CORE, [(1 << 64) - 2 * M, 300 * M, 1]]
    yield "kaslr", "a region that wraps and is aligned", {"e820": straight, **more}


def avoided():
    fence = [node(128 * M + n * 30 * M, 0x100) for n in range(11)]
    yield "avoid", "nodes leave no room", with_nodes(*fence)
    gap = [node(128 * M + n * 30 * M, 0x100) for n in range(11) if n not in (4, 5, 6)]
    yield "avoid", "nodes leave room for few slots", with_nodes(*gap)
    long = with_nodes(node(130 * M, 200 * M))
    yield "avoid", "a long node", long
    target = with_nodes(indirect(4 * M, 130 * M, 200 * M))
    yield "avoid", "a long indirect target", target
    nested = with_nodes(indirect(4 * M, 130 * M, 290 * M, INDIRECT))
    yield "avoid", "an indirect target that is indirect", nested
    line = {"e820": PLAIN, "place": {"cmdline": 250 * M, "boot_params": 350 * M}}
    yield "avoid", "command line and zero page high up", line
    initrd = {"e820": PLAIN, "place": {"initrd": 280 * M}}
    yield "avoid", "the initrd high up", initrd
    for part in ("boot_params", "cmdline", "initrd"):
        given = {"e820": NARROW, "place": {part: MIDDLE}}
        yield "avoid", f"{part} in the middle of the only region", given
    within = with_nodes(node(MIDDLE), e820=NARROW)
    yield "avoid", "a node in the middle of the only region", within
    pointed = with_nodes(indirect(4 * M, MIDDLE, 0x1000), e820=NARROW)
    yield "avoid", "an indirect target in the middle", pointed
    opaque = with_nodes(indirect(4 * M, MIDDLE, 0x1000, INDIRECT), e820=NARROW)
    yield "avoid", "an indirect target in the middle, itself indirect", opaque
    for line in (
        "memmap=4K$240M",
        "memmap=0$240M",
        "memmap=4K@240M",
        "memmap=4K$240M memmap=1M$300M",
        "memmap=1M$300M memmap=1M$302M,1M$304M memmap=1M$306M memmap=4K$240M",
    ):
        yield "avoid", f"{line!r}", {"e820": NARROW, "cmdline": line}
    gib = {"e820": [*CORE, [4 * G, G, 1]]}
    for line in ("hugepagesz=1G hugepages=1", "hugepagesz=2M hugepages=1"):
        yield "avoid", f"{line!r}", gib | {"cmdline": line}


def limits():
    for line in (
        "mem=200M",
        "mem=0x8000000",
        "mem=150M",
        "mem=0 mem=200M",
        "memmap=200M",
        "memmap=200M$128M memmap=30M$350M",
        "memmap=200M#128M memmap=30M!350M",
        "memmap=0$200M,0$260M,0$320M,0$380M",
        "memmap=16M%200M-1+2",
        "memmap=1M$200M,1M$240M,1M$280M,1M$320M,1M$360M,1M$400M",
        "memmap=1M$200M memmap=1M$240M memmap=1M$280M memmap=1M$320M memmap=87M$361M",
        "memmap=1M$200M memmap=1M$240M,1M$280M memmap=1M$320M,87M$361M",
        "memmap=junk memmap=200M$200M",
        "memmap=1M$200M,junk,200M$201M",
        "memmap=exactmap,636K@0,447M@1M,200M$200M",
        "memmap=200M$200M,exactmap,636K@0,447M@1M",
        "memmap=1M$200M mem=300M",
        "memmap=1T$300M mem=320M",
    ):
        yield "limit", f"{line!r}", {"e820": PLAIN, "cmdline": line}


def loads():
    still = {"e820": PLAIN, "cmdline": NOKASLR}
    moving = {"e820": PLAIN}
    low = {"place": {"kernel": 1 * M, "boot_params": 80 * M, "cmdline": 81 * M}}
    low["place"] |= {"stub": 82 * M}
    yield "load", "loaded at 1 MiB", still | low
    yield "load", "loaded at 1 MiB, moving", moving | low
    for at in (32 * M, 200 * M, 18 * M + 0x1000):
        place = {"place": {"kernel": at}}
        yield "load", f"loaded at {at:#x}", still | place
    in_reserved = [*CORE, [128 * M, 128 * M, 2], [256 * M, TOP - 256 * M, 1]]
    place = {"place": {"kernel": 160 * M}}
    yield "load", "loaded into RESERVED", still | place | {"e820": in_reserved}
    full = [[(1 << 40) + n * 0x2000, 0x1000, 2] for n in range(3195)]
    given = with_nodes(ext_node(full), e820=in_reserved, cmdline=NOKASLR)
    yield "load", "loaded into RESERVED, and the table is full", given | place
    partly = [*CORE, [128 * M, 40 * M, 1], [168 * M, 0x1000, 13], [169 * M, 279 * M, 1]]
    yield "load", "loaded over a page of type 13", still | place | {"e820": partly}
    gap = [*CORE, [256 * M, TOP - 256 * M, 1]]
    yield "load", "loaded into a gap", still | place | {"e820": gap}
    two = [*CORE, [128 * M, 48 * M, 1], [176 * M, 272 * M, 1], [250 * M, M, 2]]
    yield "load", "loaded over two rows", still | place | {"e820": two}
    far = [*LOW, [M, 1023 * M, 1]]
    place = {"place": {"kernel": 700 * M}}
    yield "load", "loaded above 512 MiB, moving", {"e820": far, **place}
    above = [*CORE, [600 * M, 424 * M, 1]]
    yield "load", "RAM above 512 MiB, moving", {"e820": above, **place}
    kern = [*CORE, [128 * M, 128 * M, 128], [256 * M, TOP - 256 * M, 1]]
    place = {"place": {"kernel": 160 * M}}
    yield "load", "loaded into type 128", still | place | {"e820": kern}


def sentinels():
    base = {"e820": PLAIN, "sentinel": 0xFF}
    yield "sentinel", "set, moving", base
    yield "sentinel", "set, at rest", base | {"sentinel": 1, "cmdline": NOKASLR}
    given = base | {"nodes": [ext_node([[300 * M, M, 2]]), node(6 * M)]}
    yield "sentinel", "set, with nodes", given
    refused = [*PLAIN, [(1 << 64) - 1, 2, 2]]
    sizes = {"alt_mem_k": 300 << 10, "ext_mem_k": 0xFFFF}
    given = {"e820": refused, "sentinel": 0x80, "cmdline": NOKASLR, **sizes}
    yield "sentinel", "set, with fallback sizes", given
    # Not that of the command line: 6.1 looks for no5lvl in it before it heeds the
    # sentinel (configure_5level_paging()), finds no memory there and resets.
    halves = {"patches": {"0xc0": struct.pack("<II", 0x40, 0).hex()}}
    yield "sentinel", "set, with the upper half of the initrd's address", base | halves


def efi_map(*rows):
    """Return parts and a patch: an EFI memory map of ``(addr, size, type, attr)``."""
    descs = b"".join(
        struct.pack("<IIQQQQ", kind, 0, addr, 0, size >> 12, attribute)
        for addr, size, kind, attribute in rows
    )
    info = struct.pack(
        *("<4sIIIIIII", b"EL64", SYSTEM_TABLE_AT, 40, 1, MEMMAP_AT, len(descs), 0, 0)
    )
    return {
        "parts": [
            {"addr": MEMMAP_AT, "hex": descs.hex()},
            {"addr": SYSTEM_TABLE_AT, "hex": system_table().hex()},
        ],
        "patches": {hex(EFI_INFO): info.hex()},
        "efi": [[addr, size >> 12, kind, attr] for addr, size, kind, attr in rows],
    }


# A decompressor wants a system table; its one configuration table is unknown to all.
def system_table():
    tables_at = SYSTEM_TABLE_AT + 120
    header = struct.pack("<8sIIII", b"IBI SYST", 2 << 16, 120, 0, 0)
    body = struct.pack("<QQ6Q4Q", *((0,) * 10), 1, tables_at)
    return header + body + b"no such table..." + bytes(8)


def efi():
    # Without add_efi_memmap the kernel proper takes nothing from such a map.
    line = {"e820": PLAIN, "cmdline": "noefi"}
    low = (M, 127 * M, CONVENTIONAL, 0xF)
    for what, rows in {
        "one region": (low, (300 * M, 80 * M, CONVENTIONAL, 0xF)),
        "no conventional memory": ((128 * M, 320 * M, LOADER_DATA, 0xF),),
        "special purpose memory": (
            (128 * M, 128 * M, CONVENTIONAL, 0xF | SPECIAL_PURPOSE),
            (340 * M, 80 * M, CONVENTIONAL, 0xF),
        ),
        "only special purpose memory": (
            (128 * M, 320 * M, CONVENTIONAL, 0xF | SPECIAL_PURPOSE),
        ),
        "memory that is not accepted": ((300 * M, 80 * M, UNACCEPTED, 0xF),),
        "mirrored memory": (
            (128 * M, 128 * M, CONVENTIONAL, 0xF),
            (340 * M, 80 * M, CONVENTIONAL, 0xF | MORE_RELIABLE),
        ),
    }.items():
        yield "efi", what, line | efi_map(*rows)
    fake = efi_map((128 * M, 320 * M, CONVENTIONAL, 0xF))
    for option in ("efi_fake_mem=200M@200M:0x40000", "memmap=200M$200M"):
        yield "efi", f"{option!r}", line | fake | {"cmdline": f"noefi {option}"}
    narrow = efi_map((200 * M, 80 * M, CONVENTIONAL, 0xF))
    for option in ("efi_fake_mem=4K@240M:0x40000", "efi_fake_mem=4K@240M:0x1"):
        given = line | narrow | {"cmdline": f"noefi {option}"}
        yield "efi", f"{option!r} in the only region", given
    every = [(200 * M + n * 4 * M, 2 * M, n, 0xF) for n in range(16)]
    cold = [(300 * M + n * 4 * M, 2 * M, n, 1) for n in range(16)]
    whole = efi_map((M, 127 * M, CONVENTIONAL, 0xF), *every, *cold)
    for words in ("", "add_efi_memmap", "add_efi_memmap mem=310M"):
        given = whole | {"e820": CORE, "cmdline": f"noefi {words}".rstrip()}
        yield "efi", f"each type, {words!r}", given
    special = [(200 * M, 64 * M, kind, 0xF | SPECIAL_PURPOSE) for kind in (2, 7)]
    special = efi_map(*special, (360 * M, 8 * M, 9, 0xF))
    for words in ("add_efi_memmap", "efi=nosoftreserve", "efi=debug,nosoftreserve"):
        given = line | special | {"cmdline": f"noefi {words}"}
        yield "efi", f"special purpose memory, {words!r}", given
    loader = efi_map((200 * M, 64 * M, LOADER_DATA, 0xF | SPECIAL_PURPOSE))
    yield "efi", "special purpose memory that is not conventional", line | loader
    given = {"e820": PLAIN, "cmdline": "efi_fake_mem=200M@200M:0x40000"}
    yield "efi", "efi_fake_mem= without such a map", given
