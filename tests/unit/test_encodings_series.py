"""The series' device tree and the handover node, read by readers of our own."""

import struct

import pytest

from e820pool.abi.kho import KHO_V4, encode_kho_payload, parse_kho_payload
from e820pool.deposits import DepositLedger
from e820pool.errors import BadImageError, CapacityError, InputError
from e820pool.extents import ExtentSet
from e820pool.handoff.build import BuildOptions, build_handoff
from e820pool.handoff.encodings.whole_ram import pool_region
from e820pool.memory_map import MemoryMap

pytest.importorskip("libfdt", reason="pip install pylibfdt")

from rivals.device_tree import find_pmpool_node

from e820pool.abi.fdt import (
    PmpoolNode,
    kho_root,
    pack_pmpool_tree,
    parse_kho_root,
)

MIB = 1 << 20
ROWS = ((0, 0x9_F000, 1), (0x9_F000, 0x6_1000, 2), (MIB, 511 * MIB, 1))
NODE = PmpoolNode(base=128 * MIB, size=64 * MIB, bitmap=128 * MIB)


def tree_of(data):
    """Return {path: {property: bytes}} of a flattened device tree (struct only)."""
    head = struct.unpack(">10I", data[:40])
    magic, total, off_struct, off_strings = head[:4]
    assert magic == 0xD00DFEED
    assert total == len(data)
    at, path, found = off_struct, [], {}
    while True:
        (token,) = struct.unpack_from(">I", data, at)
        at += 4
        if token == 1:
            end = data.index(b"\0", at)
            path.append(data[at:end].decode())
            found["/".join(path) or "/"] = {}
            at = (end + 4) // 4 * 4
        elif token == 2:
            path.pop()
        elif token == 3:
            size, name = struct.unpack_from(">II", data, at)
            end = data.index(b"\0", off_strings + name)
            key = data[off_strings + name : end].decode()
            found["/".join(path) or "/"][key] = data[at + 8 : at + 8 + size]
            at = (at + 8 + size + 3) // 4 * 4
        elif token == 9:
            return found


def test_the_node_is_the_one_of_the_patch():
    node = tree_of(pack_pmpool_tree(NODE))["/chosen/default_pmpool"]
    assert node == {
        "compatible": b"pmpool\0",
        "base": struct.pack(">Q", NODE.base),
        "size": struct.pack(">Q", NODE.size),
        "bitmap": struct.pack(">Q", NODE.bitmap),
    }


def test_the_tree_is_packed():
    assert len(pack_pmpool_tree(NODE)) < 512


def test_numbers_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="0x10000000000000000"):
        pack_pmpool_tree(PmpoolNode(base=1 << 64, size=0, bitmap=0))


@pytest.mark.parametrize("data", [b"", b"\0" * 64, b"\xd0\x0d\xfe\xed"])
def test_what_is_no_device_tree_is_refused(data):
    with pytest.raises(BadImageError, match="no device tree"):
        parse_kho_root(data)


def test_a_tree_with_any_bit_flipped_is_refused_or_read():
    data = kho_root(KHO_V4, 0x1234_5000)
    assert parse_kho_root(data) == (KHO_V4, 0x1234_5000)
    for at in range(len(data) * 8):
        bad = bytearray(data)
        bad[at // 8] ^= 1 << at % 8
        try:
            _, address = parse_kho_root(bytes(bad))
        except BadImageError:
            continue
        assert 0 <= address < 1 << 64


def test_a_root_without_an_address_is_refused():
    with pytest.raises(BadImageError, match="no preserved-memory-map"):
        parse_kho_root(pack_pmpool_tree(NODE))


def test_the_handoff_prepends_the_tree_and_names_the_region():
    ranges = [(129 * MIB, 129 * MIB + 4096), (140 * MIB, 140 * MIB + 8192)]
    ledger = DepositLedger.of_ranges(ranges)
    handoff = build_handoff(
        MemoryMap.of(ROWS), ledger, BuildOptions(encoding="series-v2")
    )
    assert pool_region(ledger) == (128 * MIB, 142 * MIB)
    assert handoff.cmdline == b"pmpool=0x8000000,0xe00000"
    assert [one.node.type for one in handoff.nodes] == [2]
    node = find_pmpool_node(handoff.nodes[0].node.data)
    assert node == PmpoolNode(base=128 * MIB, size=14 * MIB, bitmap=128 * MIB)
    assert handoff.record_bytes() is None


def preserved_pages(memory_addr, memory):
    """Walk a handover as the kernel does; return the pages that it would reserve."""

    def u64(addr):
        return struct.unpack_from("<Q", memory, addr - memory_addr)[0]

    fdt, fdt_size = u64(memory_addr + 16), u64(memory_addr + 24)
    root = tree_of(memory[fdt - memory_addr : fdt - memory_addr + fdt_size])["/"]
    assert root["compatible"] == b"kho-v1\0"
    (chunk,) = struct.unpack("<Q", root["preserved-memory-map"])
    pages = set()
    while chunk:
        following = u64(chunk)
        order, count = struct.unpack_from("<II", memory, chunk + 8 - memory_addr)
        assert order == 0
        for at in range(count):
            start, bitmap = u64(chunk + 16 + 16 * at), u64(chunk + 24 + 16 * at)
            bits = memory[bitmap - memory_addr :][:512]
            pages |= {
                (start >> 12) + n for n in range(4096) if bits[n // 8] >> n % 8 & 1
            }
        chunk = following
    return pages


def radix_pages(memory_addr, memory):
    """Walk a handover of 7.3 as __kho_radix_walk_tree() does."""

    def u64(addr):
        return struct.unpack_from("<Q", memory, addr - memory_addr)[0]

    fdt, fdt_size = u64(memory_addr + 16), u64(memory_addr + 24)
    root = tree_of(memory[fdt - memory_addr : fdt - memory_addr + fdt_size])["/"]
    assert root["compatible"] == b"kho-v4\0"
    (top,) = struct.unpack("<Q", root["preserved-memory-map"])
    pages = set()

    def walk(node, level, start):
        if level == 0:
            bits = memory[node - memory_addr :][:4096]
            for at in range(32768):
                if bits[at // 8] >> at % 8 & 1:
                    order = 52 - (start + at).bit_length() + 1
                    first = (start + at - (1 << 52 - order)) << order
                    pages.update(range(first, first + (1 << order)))
            return
        for at in range(512):
            if to := u64(node + 8 * at):
                walk(to, level - 1, start | at << (level - 1) * 9 + 15)

    walk(top, 5, 0)
    return pages


@pytest.mark.parametrize(
    "extents",
    [
        [],
        [(0x8000, 0x8001)],
        [(0x7FFF, 0x8001), (0x8003, 0x8004)],
        [(1 << 22, (1 << 22) + 3), (1 << 27, (1 << 27) + 1)],
    ],
)
def test_a_handover_of_7_3_preserves_exactly_the_deposits(extents):
    addr = 0x20_0000
    payload = encode_kho_payload(addr, ExtentSet(extents), [(64 * MIB, MIB)], KHO_V4)
    want = {pfn for start, end in extents for pfn in range(start, end)}
    assert radix_pages(addr, bytes(16) + payload) == want
    assert parse_kho_payload(addr, payload).preserved == ExtentSet(extents)


def written_tree(addr, leaf_key, bits):
    """Write a handover of 7.3 by hand: one path of tables down to one leaf."""
    fdt = kho_root("kho-v4", 0)
    at_map = addr + 48 + len(fdt)
    nodes = []
    for level in range(5, 0, -1):
        table = bytearray(4096)
        index = leaf_key >> (level - 1) * 9 + 15 & 511
        at = at_map + 4096 * (len(nodes) + 1)
        struct.pack_into("<Q", table, 8 * index, at)
        nodes.append(bytes(table))
    leaf = bytearray(4096)
    for bit in bits:
        leaf[bit // 8] |= 1 << bit % 8
    head = struct.pack("<4Q", addr + 48, len(fdt), addr + 48, 0)
    return head + kho_root("kho-v4", at_map) + b"".join(nodes) + bytes(leaf)


def test_blocks_of_a_higher_order_are_read_too():
    """As kernels preserve folios: 2 MiB at PFN 0x8000 is key 1 << 43 | 0x40."""
    key = 1 << 52 - 9 | 0x8000 >> 9
    data = written_tree(0x5000, key & ~0x7FFF, [key & 0x7FFF])
    found = parse_kho_payload(0x5000, data)
    assert found.preserved == ExtentSet([(0x8000, 0x8200)])
    with pytest.raises(BadImageError, match="key 0x3 has no order"):
        parse_kho_payload(0x5000, written_tree(0x5000, 0, [3]))


def test_a_tree_that_loops_or_leaves_the_node_is_refused():
    data = written_tree(0x5000, 1 << 52, [0])
    with pytest.raises(BadImageError, match="lie outside of the node"):
        parse_kho_payload(0x9000, data)
    at_root = 0x5000 + 48 + len(kho_root("kho-v4", 0))
    looped = data.replace(struct.pack("<Q", at_root + 4096), struct.pack("<Q", at_root))
    assert looped != data
    with pytest.raises(BadImageError, match="is there twice"):
        parse_kho_payload(0x5000, looped)


def test_what_a_kernels_node_names_is_read_from_memory():
    """Of such a node only four numbers lie in the chain."""
    key = 1 << 52 - 9 | 0x8000 >> 9
    whole = written_tree(0x5000, key & ~0x7FFF, [key & 0x7FFF])
    start, reads = 0x5000 + 16, []

    def memory(addr, size):
        reads.append((addr, size))
        return whole[addr - start :][:size]

    found = parse_kho_payload(0x5000, whole[:32], memory)
    assert found == parse_kho_payload(0x5000, whole)
    assert found.preserved
    assert min(addr for addr, _ in reads) >= start + 32
    with pytest.raises(BadImageError, match="outside of the node"):
        parse_kho_payload(0x5000, whole[:32])
    # No tree is that long: memory is not asked for it.
    long = whole[:8] + struct.pack("<Q", 1 << 40) + whole[16:32]
    with pytest.raises(BadImageError, match="0x10000000000 bytes"):
        parse_kho_payload(0x5000, long, memory)


def test_a_chain_follows_the_node_that_a_kernel_wrote():
    """Tree and map are the old kernel's, the scratch areas' list came with the new."""
    from types import SimpleNamespace

    from e820pool.kernel.boot_input import BootInput
    from e820pool.lab.chain_hop import with_handover
    from e820pool.lab.guest_ram import GuestRam, RamLayout

    key = 1 << 52 - 9 | 0x8000 >> 9
    whole = written_tree(MIB, key & ~0x7FFF, [key & 0x7FFF])
    tree, size, *_ = struct.unpack("<4Q", whole[:32])
    areas = 5 * MIB
    payload = struct.pack("<4Q", tree, size, areas, 32)
    layout = RamLayout(low_bytes=64 * MIB)
    with GuestRam(layout) as now, GuestRam(layout) as left:
        left.restore(MIB + 16, whole)
        now.restore(areas, struct.pack("<4Q", 8 * MIB, MIB, 32 * MIB, 2 * MIB))
        nodes = [(9, b"seed"), (10, payload)]
        report = SimpleNamespace(setup_data=lambda: nodes)
        found = with_handover(BootInput(), report, (now, left))
        assert found.kho_compatible == "kho-v4"
        assert list(found.kho_preserved) == [(0x8000, 0x8200)]
        assert found.kho_scratch == ((8 * MIB, 9 * MIB), (32 * MIB, 34 * MIB))
        nodes.pop()
        assert with_handover(BootInput(), report, (now, left)).kho_scratch == ()


@pytest.mark.parametrize(
    "extents",
    [
        [],
        [(0x8000, 0x8001)],
        [(0x8FFF, 0x9001)],
        [(4096 * n, 4096 * n + 1) for n in range(300)],
    ],
)
def test_a_handover_preserves_exactly_the_deposits(extents):
    addr = 0x20_0000
    scratch = [(64 * MIB, 32 * MIB)]
    payload = encode_kho_payload(addr, ExtentSet(extents), scratch)
    memory = bytes(16) + payload
    want = {pfn for start, end in extents for pfn in range(start, end)}
    assert preserved_pages(addr, memory) == want
    at, size = struct.unpack_from("<QQ", memory, 32)
    assert size == 16
    assert struct.unpack_from("<QQ", memory, at - addr) == scratch[0]


def test_a_handover_has_the_same_length_wherever_it_lies():
    pages = ExtentSet([(0x8000, 0x8010)])
    lengths = {len(encode_kho_payload(at, pages, [])) for at in (0, 1 << 20, 1 << 40)}
    assert len(lengths) == 1


def test_pages_in_too_many_places_are_refused():
    pages = ExtentSet((4096 * n, 4096 * n + 1) for n in range(0x1001))
    with pytest.raises(CapacityError, match="0x1000 windows"):
        encode_kho_payload(0, pages, [])


def test_the_handoff_points_to_a_scratch_area_without_deposits():
    ledger = DepositLedger.of_ranges([(200 * MIB, 201 * MIB)])
    handoff = build_handoff(MemoryMap.of(ROWS), ledger, BuildOptions(encoding="kho"))
    (one,) = handoff.nodes
    memory = struct.pack("<QII", 0, 10, len(one.node.data)) + one.node.data
    assert preserved_pages(one.addr, memory) == set(range(200 << 8, 201 << 8))
    (at,) = struct.unpack_from("<Q", memory, 32)
    start, size = struct.unpack_from("<QQ", memory, at - one.addr)
    assert (start, size) == (201 * MIB + MIB, 256 * MIB)
