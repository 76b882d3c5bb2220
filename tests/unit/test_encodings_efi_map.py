"""Deposits in an EFI memory map: what is written, by a reader of our own, and read."""

import struct
from dataclasses import replace

import pytest
from compat_cases import check

from e820pool.abi.setup_data import SetupDataNode
from e820pool.deposits import DepositLedger
from e820pool.extents import Span
from e820pool.handoff.build import BuildOptions, build_handoff
from e820pool.handoff.model import PlacedNode
from e820pool.kernel.boot_input import boot_input
from e820pool.kernel.profiles import profile_for
from e820pool.memory_map import MemoryMap

MIB, PAGE = 1 << 20, 4096
ROWS = (
    (0, 0x9_FC00, 1),
    (0x9_FC00, 0x6_0400, 2),
    (MIB, 511 * MIB, 1),
    (512 * MIB, MIB, 3),
    (513 * MIB, MIB, 4),
    (514 * MIB, MIB, 5),
    (515 * MIB, MIB, 7),
    (516 * MIB, MIB, 0x7777),
)
DEPOSITS = [(at * MIB, at * MIB + 3 * PAGE) for at in (128, 260)]
# efi_memory_desc_t, and efi_system_table_64_t up to nr_tables.
DESCRIPTOR, SYSTEM_TABLE = "<IIQQQQ", "<8sIIIIQII6QQQIIQ"
RAM, RESERVED, WRITE_BACK = 7, 0, 8


def built(name="efi-map", deposits=DEPOSITS):
    ledger = DepositLedger.of_ranges(deposits)
    return build_handoff(MemoryMap.of(ROWS), ledger, BuildOptions(encoding=name))


def at(handoff, addr, size):
    """Return bytes of the physical memory that the handoff fills."""
    for part in handoff.segments():
        if part.addr <= addr <= addr + size <= part.end:
            return part.data[addr - part.addr :][:size]
    raise AssertionError(f"{addr:#x} is in no part")


def written_map(handoff):
    page = next(one for one in handoff.segments() if one.what == "boot_params").data
    fields = struct.unpack_from("<4sIIIIIII", page, 0x1C0)
    signature, systab, stride, version, memmap, size, systab_hi, memmap_hi = fields
    assert (signature, stride, version, systab_hi, memmap_hi) == (b"EL64", 40, 1, 0, 0)
    return systab, [
        struct.unpack_from(DESCRIPTOR, at(handoff, memmap + n, stride))
        for n in range(0, size, stride)
    ]


def test_the_map_says_of_each_page_what_split_would_say_in_the_table():
    handoff = built()
    rows = [
        (addr, pages * PAGE, kind, attribute)
        for kind, _, addr, virtual, pages, attribute in written_map(handoff)[1]
        if virtual == 0
    ]
    assert rows == [
        (0, 0x9_F000, RAM, WRITE_BACK),
        (0xA_0000, 0x6_0000, RESERVED, 0),
        (MIB, 127 * MIB, RAM, WRITE_BACK),
        (128 * MIB, 3 * PAGE, RESERVED, 0),
        (128 * MIB + 3 * PAGE, 132 * MIB - 3 * PAGE, RAM, WRITE_BACK),
        (260 * MIB, 3 * PAGE, RESERVED, 0),
        (260 * MIB + 3 * PAGE, 252 * MIB - 3 * PAGE, RAM, WRITE_BACK),
        (512 * MIB, MIB, 9, 0),
        (513 * MIB, MIB, 10, 0),
        (514 * MIB, MIB, 8, 0),
        (515 * MIB, MIB, 14, 0),
        (516 * MIB, MIB, RESERVED, 0),
    ]


def test_the_system_table_has_a_name_and_nothing_that_could_be_called():
    handoff = built()
    systab, _ = written_map(handoff)
    raw = at(handoff, systab, struct.calcsize(SYSTEM_TABLE))
    signature, revision, size, _, _, vendor, *rest = struct.unpack(SYSTEM_TABLE, raw)
    assert (signature, revision >> 16, size) == (b"IBI SYST", 2, 120)
    assert at(handoff, vendor, 18).decode("utf-16-le") == "e820pool\0"
    *_, runtime, boot_services, nr_tables, _, tables = rest
    assert (runtime, boot_services, nr_tables) == (0, 0, 0)
    # 5.10's decompressor stops where this is 0.
    assert tables != 0


@pytest.mark.parametrize(
    ("name", "words"),
    [("efi-map", b"noefi"), ("efi-map-added", b"add_efi_memmap noefi")],
)
def test_the_table_is_the_firmwares_and_the_words_say_the_rest(name, words):
    handoff = built(name)
    assert handoff.table.entries.tolist() == [tuple(row) for row in ROWS]
    assert handoff.cmdline == words


def with_map(rows, stride, cut=0):
    """Return a handoff whose first node holds a map written here."""
    handoff = built()
    data = b"".join(struct.pack(DESCRIPTOR, *row).ljust(stride, b"x") for row in rows)
    first = handoff.nodes[0]
    node = SetupDataNode(type=0, data=data[: len(data) - cut])
    page = handoff.boot_params
    info = replace(
        page.efi_info,
        efi_memmap=first.addr + 16,
        efi_memmap_size=len(data),
        efi_memdesc_size=stride,
    )
    return replace(
        handoff,
        boot_params=replace(page, efi_info=info),
        nodes=(PlacedNode(addr=first.addr, node=node),),
    )


@pytest.mark.parametrize("stride", [40, 48])
def test_a_map_within_a_node_is_read_with_its_own_stride(stride):
    rows = [(7, 0, MIB, 9, 300, 8), (0, 0, 3 * MIB, 9, 5, 1 << 63)]
    found = boot_input(with_map(rows, stride)).efi
    assert found.rows == ((MIB, 300, 7, 8), (3 * MIB, 5, 0, 1 << 63))


@pytest.mark.parametrize(("stride", "cut"), [(40, 1), (48, 40)])
def test_a_map_that_the_node_does_not_hold_whole_is_not_known(stride, cut):
    rows = [(7, 0, MIB, 0, 300, 8), (0, 0, 3 * MIB, 0, 5, 0)]
    assert boot_input(with_map(rows, stride, cut)).efi.rows is None


@pytest.mark.parametrize("stride", [0, 39])
def test_descriptors_too_short_to_be_any_are_not_read(stride):
    handoff = with_map([(7, 0, MIB, 0, 300, 8)], 40)
    page = handoff.boot_params
    info = replace(page.efi_info, efi_memdesc_size=stride)
    handoff = replace(handoff, boot_params=replace(page, efi_info=info))
    assert boot_input(handoff).efi.rows is None


WINDOW = Span(16 * MIB, 80 * MIB)


@pytest.mark.parametrize(
    ("name", "release", "verdict"),
    [
        ("efi-map", "6.1", "unsafe"),
        ("efi-map-added", "2.6.32", "unsafe"),
        ("efi-map-added", "3.10", "unsafe"),
        # Reads the map into its table, and chooses its place by the table.
        ("efi-map-added", "4.9", "unsafe"),
        ("efi-map-added", "4.19", "degraded"),
        ("efi-map-added", "7.3", "degraded"),
    ],
)
def test_only_a_kernel_that_adds_the_map_and_chooses_by_it_spares_deposits(
    name, release, verdict
):
    handoff = replace(built(name), kernel_window=WINDOW)
    found = check(handoff, profile_for(release))
    assert found.verdict == verdict
    ids = {one.id for one in found.findings if one.level == "unsafe"}
    ram = release in {"2.6.32", "3.10", "4.9"} or name == "efi-map"
    assert ("usable-as-ram" in ids) == ram
