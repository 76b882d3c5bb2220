"""From a handoff's bytes to what a kernel reads of them."""

import struct

import pytest
import rawbytes

from e820pool.abi.boot_params import parse_boot_params
from e820pool.abi.setup_data import SetupDataNode
from e820pool.extents import Span
from e820pool.handoff.model import Handoff, PlacedNode
from e820pool.kernel.boot_input import boot_input
from e820pool.kernel.early_boot import predict
from e820pool.kernel.profiles import profile_for
from e820pool.kernel.setup_data_nodes import reads_kho

M = 1 << 20
KHO = 10  # SETUP_KEXEC_KHO
ROWS = [(0, 0x9F000, 1), (0x9F000, 0x61000, 2), (M, 511 * M, 1)]


def handoff(rows=ROWS, *, nodes=(), patches=None, count=None, **rest):
    page = rawbytes.zero_page(rows, count=count, patches=patches)
    placed, addr = [], 4 * M
    for kind, data in nodes:
        node = SetupDataNode(type=kind, data=data)
        placed.append(PlacedNode(addr=addr, node=node))
        addr += 0x10000
    return Handoff(
        boot_params=parse_boot_params(page),
        boot_params_addr=2 * M,
        nodes=tuple(placed),
        **rest,
    )


def test_the_table_and_the_ranges_are_read():
    given = boot_input(
        handoff(
            cmdline=b"quiet", cmdline_addr=3 * M, kernel_window=Span(16 * M, 64 * M)
        )
    )
    assert given.table.tolist() == ROWS
    assert given.cmdline == "quiet"
    assert given.cmdline_range == (3 * M, 3 * M + 6)
    assert given.boot_params_range == (2 * M, 2 * M + 4096)
    assert given.load_window == (16 * M, 64 * M)
    assert given.kernel_range is given.initrd is given.efi is None
    assert given.setup_data == ()


def test_fields_of_the_zero_page_are_read():
    given = boot_input(
        handoff(
            patches={
                0x002: struct.pack("<H", 0xFC00),
                0x1E0: struct.pack("<I", 0x12345),
                0x1EF: b"\xff",
                0x206: struct.pack("<H", 0x020C),
                0x0C0: struct.pack("<II", 1, 2),
                0x218: struct.pack("<II", 0x1000, 0x2000),
            }
        )
    )
    assert (given.ext_mem_k, given.alt_mem_k) == (0xFC00, 0x12345)
    assert (given.sentinel, given.protocol) == (0xFF, 0x020C)
    assert given.initrd == (0x1_0000_1000, 0x1_0000_1000 + 0x2_0000_2000)


@pytest.mark.parametrize(
    ("mark", "known"), [(b"EL32", True), (b"EL64", True), (b"EL", False)]
)
def test_an_efi_loader_is_recognised(mark, known):
    given = boot_input(handoff(patches={0x1C0: mark}))
    assert (given.efi is not None) == known


def test_the_command_line_ends_at_a_nul_and_shows_whether_it_is_too_long():
    assert boot_input(handoff(cmdline=b"a\0b")).cmdline == "a"
    assert len(boot_input(handoff(cmdline=b"x" * 3000)).cmdline) == 2048
    assert boot_input(handoff(cmdline=b"\xe4")).cmdline == "\xe4"
    assert boot_input(handoff()).cmdline_range is None


def test_a_count_beyond_128_reads_on_behind_the_table():
    behind = struct.pack("<QQI", 0x1234_5000, 0x1000, 1)
    given = boot_input(handoff(count=129, patches={0xCD0: behind}))
    assert len(given.table) == 129
    assert given.table[128].tolist() == (0x1234_5000, 0x1000, 1)
    assert len(boot_input(handoff(count=255)).table) == (4096 - 0x2D0) // 20


def test_ext_nodes_are_read_in_chain_order_without_their_remainder():
    first = rawbytes.e820_table([(M, M, 2)]) + b"rest"
    second = rawbytes.e820_table([(3 * M, M, 2), (5 * M, M, 2)])
    given = boot_input(handoff(nodes=[(1, first), (77, b"other"), (1, second)]))
    assert [part.tolist() for part in given.ext] == [
        [(M, M, 2)],
        [(3 * M, M, 2), (5 * M, M, 2)],
    ]
    assert [(s.addr, s.size, s.type) for s in given.setup_data] == [
        (4 * M, 16 + 24, 1),
        (4 * M + 0x10000, 16 + 5, 77),
        (4 * M + 0x20000, 16 + 40, 1),
    ]


def test_an_indirect_node_says_where_it_points_but_is_not_parsed():
    target = struct.pack("<IIQQ", 1, 0, 0x100, 8 * M)
    given = boot_input(handoff(nodes=[(1 << 31, target), (1 << 31, target[:-1])]))
    assert given.ext == ()
    assert given.setup_data[0].indirect == (8 * M, 0x100, 1)
    assert given.setup_data[1].indirect is None


def test_predict_reads_the_same_handoff():
    given = handoff(
        nodes=[(1, rawbytes.e820_table([(8 * M, M, 2)]))],
        cmdline=b"nokaslr mem=256M",
        kernel_window=Span(16 * M, 64 * M),
    )
    seen = predict(given, profile_for("6.1.0-53-cloud-amd64"))
    assert seen.kernel == "6.1.0-53-cloud-amd64"
    assert seen.engine == "model"
    assert (8 * M, M, 2) in seen.extended_map
    assert seen.kernel_range == seen.load_window == (16 * M, 64 * M)
    assert seen.kaslr.reason == "nokaslr"
    assert (4 * M, 36, 128) in seen.setup_data_map
    assert max(span.end for span in seen.memory) == 256 * M


# A device tree with two properties in its root, written with struct alone.
def device_tree(compatible, address):
    strings = b"compatible\0preserved-memory-map\0"
    block = struct.pack(">II", 1, 0)
    for value, name in ((compatible + b"\0", 0), (struct.pack("<Q", address), 11)):
        padded = value.ljust(-(-len(value) // 4) * 4, b"\0")
        block += struct.pack(">III", 3, len(value), name) + padded
    block += struct.pack(">II", 2, 9)
    at = 40 + 16
    sizes = (at, at + len(block), 40, 17, 16, 0, len(strings), len(block))
    total = at + len(block) + len(strings)
    head = struct.pack(">10I", 0xD00DFEED, total, *sizes)
    return head + bytes(16) + block + strings


SCRATCH = (64 * M, 2 * M)


def handover(
    compatible=b"kho-v1", *, order=0, elsewhere=False, following=0, preserves=True
):
    """Return a node that lies at 4 MiB: tree, one area, one chunk, one bitmap.

    Chunk and bitmap are those of kho-v1; of another ABI it preserves nothing.
    """
    start = 4 * M + 16
    tree = device_tree(compatible, 0)
    areas = start + 32 + len(tree)
    chunk, bitmap = areas + 16, areas + 16 + 4096
    tree = device_tree(compatible, chunk if preserves else 0)
    bits = bytearray(512)
    bits[0], bits[511] = 0b0000_0110, 0b1000_0000
    where = 32 * M if elsewhere else bitmap
    head = struct.pack("<QIIQQ", following and chunk, order, 1, 256 * M, where)
    area = (96 * M if elsewhere else areas, 16)
    data = struct.pack("<4Q", start + 32, len(tree), *area) + tree
    return data + struct.pack("<2Q", *SCRATCH) + head.ljust(4096, b"\0") + bytes(bits)


@pytest.mark.parametrize("following", [0, 1])
def test_a_handover_node_that_holds_its_map_is_read(following):
    pytest.importorskip("libfdt", reason="pip install pylibfdt")
    given = boot_input(handoff(nodes=[(KHO, handover(following=following))]))
    first = 256 * M >> 12
    assert given.kho_compatible == "kho-v1"
    assert given.kho_scratch == (Span.at(*SCRATCH),)
    assert list(given.kho_preserved) == [
        (first + 1, first + 3),
        (first + 4095, first + 4096),
    ]
    huge = boot_input(handoff(nodes=[(KHO, handover(order=9))]))
    assert next(iter(huge.kho_preserved)) == (first + 512, first + 3 * 512)


@pytest.mark.parametrize(
    "data",
    [handover(elsewhere=True), handover()[:100], handover()[:-1], handover(order=40)],
    ids=["elsewhere", "cut", "cut-map", "order"],
)
def test_a_node_that_names_memory_elsewhere_or_is_damaged_is_not_known(data):
    pytest.importorskip("libfdt", reason="pip install pylibfdt")
    given = boot_input(handoff(nodes=[(KHO, data)]))
    assert (given.kho_compatible, given.kho_scratch) == ("", ())
    assert not given.kho_preserved


def test_only_a_kernel_of_the_same_abi_takes_a_handover():
    pytest.importorskip("libfdt", reason="pip install pylibfdt")
    on = {"KEXEC_HANDOVER": True}
    scratch_only = {
        (release, abi): reads_kho(
            boot_input(handoff(nodes=[(KHO, handover(abi, preserves=False))])),
            profile_for(release, on),
        )
        for release in ("6.12", "6.18", "7.0", "7.3")
        for abi in (b"kho-v1", b"kho-v2", b"kho-v4")
    }
    assert {pair for pair, taken in scratch_only.items() if taken} == {
        ("6.18", b"kho-v1"),
        ("7.0", b"kho-v1"),
        ("7.3", b"kho-v4"),
    }
