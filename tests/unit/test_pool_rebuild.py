"""Rebuilding a pool: what is believed, and every way in which it is refused."""

import pytest
import rawbytes

from e820pool.abi.pool_record import PoolRecord, RecordExtent
from e820pool.deposits import DepositLedger
from e820pool.errors import InputError
from e820pool.extents import ExtentSet, Span
from e820pool.kernel.view import KernelView
from e820pool.memory_devices import MemoryDevices
from e820pool.memory_map import MemoryMap
from e820pool.pool.claims import FREE_OWNER, RECORD_OWNER
from e820pool.pool.option import PmpoolOption
from e820pool.pool.rebuild import rebuild

PAGE = 4096
RAM, RESERVED, ACPI, NVS, PRAM, KERN, SOFT = 1, 2, 3, 4, 12, 128, 0xEFFFFFFF
# 1 MiB to 16 MiB, and 4 GiB to 4 GiB + 16 MiB.
FIRMWARE = MemoryMap.of(
    [
        (0x0, 0x9FC00, RAM),
        (0x9FC00, 0x400, RESERVED),
        (0xF0000, 0x10000, RESERVED),
        (0x100000, 0xF00000, RAM),
        (0xFEC00000, 0x1000, RESERVED),
        (0x1_0000_0000, 0x1000000, RAM),
    ]
)
EXTENTS = ((0x800, 0x10, 7, RAM), (0x900, 1, 9, RAM), (0x100100, 0x80, 7, RAM))
TABLE = [
    (0x0, 0x1000, RESERVED),
    (0x1000, 0x9EC00, RAM),
    (0x9FC00, 0x400, RESERVED),
    (0xF0000, 0x10000, RESERVED),
    (0x100000, 0x700000, RAM),
    (0x800000, 0x10000, RESERVED),
    (0x810000, 0xF0000, RAM),
    (0x900000, 0x1000, RESERVED),
    (0x901000, 0x6FF000, RAM),
    (0xFEC00000, 0x1000, RESERVED),
    (0x1_0000_0000, 0x100000, RAM),
    (0x1_0010_0000, 0x80000, RESERVED),
    (0x1_0018_0000, 0xE80000, RAM),
]


def record(extents=EXTENTS, **fields):
    fields = {"digest": FIRMWARE.digest(), "generation": 3} | fields
    return rawbytes.pool_record(extents, **fields)


def table_with(*rows):
    """The table with RAM and all else cut out under `rows`, which take its place."""
    out = list(rows)
    for addr, size, kind in TABLE:
        parts = [(addr, addr + size)]
        for low, length, _ in rows:
            parts = [
                piece
                for start, end in parts
                for piece in ((start, min(end, low)), (max(start, low + length), end))
                if piece[0] < piece[1]
            ]
        out += [(start, end - start, kind) for start, end in parts]
    return sorted(out)


def view_of(rows=TABLE, **fields):
    memory = tuple(Span.at(addr, size) for addr, size, kind in rows if kind == RAM)
    fields = {"memory": memory, "bios_map": tuple(rows)} | fields
    return KernelView(kernel="6.1", table=tuple(rows), **fields)


def ids(result):
    return [finding.id for finding in result.findings]


def check_refused(result, *expected, level="degraded"):
    assert ids(result) == list(expected)
    assert result.pool is None
    assert result.ledger is None
    assert result.level == level
    for finding in result.findings:
        assert "\n" not in finding.message
        assert "0x" in finding.message or not finding.extents


def check_rebuilt(result, carrier="setup_data", extents=EXTENTS):
    assert result.level in {None, "note"}
    assert result.carrier == carrier
    assert result.ledger == result.pool.ledger()
    said = [(d.start_pfn, d.nr_pages, d.owner, d.firmware_type) for d in result.ledger]
    assert said == list(extents)


# What is believed


@pytest.mark.parametrize("view", [TABLE, iter(TABLE), view_of()])
@pytest.mark.parametrize("firmware_map", [None, FIRMWARE])
def test_a_record_that_the_table_agrees_with_is_the_pool(view, firmware_map):
    # An iterator can be read once only.
    view = list(TABLE) if not isinstance(view, (list, KernelView)) else view
    result = rebuild(view, record(), firmware_map)
    check_rebuilt(result)
    assert result.findings == ()
    assert result.generation == 3
    assert result.pool.used == result.ledger.extents


def test_a_record_that_is_parsed_already_serves_as_well():
    parsed = PoolRecord(
        extents=tuple(
            RecordExtent(base_pfn=b, nr_pages=n, owner=o, firmware_type=t)
            for b, n, o, t in EXTENTS
        ),
        generation=3,
        map_digest=FIRMWARE.digest(),
    )
    assert rebuild(TABLE, parsed) == rebuild(TABLE, record())


def test_bytes_behind_the_record_do_not_matter():
    check_rebuilt(rebuild(TABLE, record() + bytes(100)))


def test_the_pool_goes_on_with_owners_and_free_pages():
    extents = ((0x800, 0x8, 7, RAM), (0x808, 0x8, FREE_OWNER, RAM))
    pool = rebuild(TABLE, record(extents)).pool
    assert pool.alloc(4, owner=5) == 0x808
    assert next(iter(pool.ledger())).owner == 7
    assert pool.free == ExtentSet([(0x80C, 0x810)])


def test_a_record_of_no_deposits_is_an_empty_pool():
    result = rebuild(TABLE, record(()))
    assert result.pool is not None
    assert len(result.ledger) == 0


def test_the_kernels_copy_of_the_firmwares_map_serves_as_well():
    """/sys/firmware/memmap has the deposits carved out after a kexec."""
    carved = MemoryMap.of(TABLE[:1] and [(0x0, 0x9FC00, RAM), *TABLE[2:]])
    check_rebuilt(rebuild(TABLE, record(), carved))


def test_overlapping_entries_are_resolved_before_they_are_asked():
    overlaid = [
        (0x0, 0x1000000, RAM),
        (0x1_0000_0000, 0x1000000, RAM),
        *(row for row in TABLE if row[2] == RESERVED),
    ]
    check_rebuilt(rebuild(overlaid, record()))


def test_a_record_whose_writer_did_not_know_the_map_is_held_to_its_types():
    check_rebuilt(rebuild(TABLE, record(digest=bytes(16)), FIRMWARE))
    other = record(((0x800, 1, 7, ACPI),), digest=bytes(16))
    check_refused(rebuild(TABLE, other, FIRMWARE), "record-bad-extents")


def test_what_else_is_reserved_is_said_when_the_firmwares_map_is_known():
    view = view_of(table_with((0xA00000, 0x2000, RESERVED)))
    result = rebuild(view, record(), FIRMWARE)
    check_rebuilt(result)
    assert ids(result) == ["reserved-not-recorded"]
    assert result.findings[0].extents == ((0xA00, 0xA02),)


def test_a_record_with_a_newer_minor_version_is_read_and_said():
    newer = record(minor=1, header_more=b"x" * 8, extent_more=b"y" * 16)
    result = rebuild(TABLE, newer)
    check_rebuilt(result)
    assert ids(result) == ["record-newer-minor"]


# Records that are no records


@pytest.mark.parametrize("size", range(64))
def test_a_record_cut_inside_its_header_is_truncated(size):
    check_refused(rebuild(TABLE, record()[:size]), "record-truncated")


@pytest.mark.parametrize("missing", [1, 31, 32, 33, 96])
def test_a_record_cut_inside_its_extents_is_truncated(missing):
    check_refused(rebuild(TABLE, record()[:-missing]), "record-truncated")


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (rawbytes.patched(record(), {0: b"e"}), "record-bad-magic"),
        (bytes(4096), "record-bad-magic"),
        (b"\xff" * 4096, "record-bad-magic"),
        (record(crc=0), "record-bad-crc"),
        (record(major=2), "record-newer-version"),
        (record(flags=1), "record-newer-version"),
        (record(nr_extents=4), "record-truncated"),
        (record(nr_extents=0xFFFFFFFF), "record-truncated"),
        (record(record_bytes=0xFFFFFFFF), "record-truncated"),
        (record(((0x800, 0, 7, RAM),)), "record-bad-extents"),
        (record(((0x801, 1, 7, RAM), (0x800, 1, 7, RAM))), "record-bad-extents"),
        (record(((0x800, 2, 7, RAM), (0x801, 2, 7, RAM))), "record-bad-extents"),
        (record((((1 << 40) - 1, 2, 7, RAM),)), "record-bad-extents"),
        (record((((1 << 64) - 1, 2, 7, RAM),)), "record-bad-extents"),
    ],
)
def test_bytes_that_are_no_record_are_refused_by_name(bad, expected):
    result = rebuild(TABLE, bad, FIRMWARE)
    check_refused(result, expected)
    # What is wrong with the record is never made up for by inference.
    assert result.carrier == "setup_data"


def test_a_parsed_record_with_overlapping_extents_is_refused():
    two = tuple(
        RecordExtent(base_pfn=base, nr_pages=2, owner=0, firmware_type=RAM)
        for base in (0x800, 0x801)
    )
    check_refused(rebuild(TABLE, PoolRecord(extents=two)), "record-bad-extents")


REFUSALS_OF_BYTES = {
    "record-bad-crc",
    "record-bad-magic",
    "record-newer-version",
    "record-truncated",
}


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_a_record_flipped_in_any_byte_is_refused(flip):
    whole, seen = record(), set()
    for at in range(len(whole)):
        bad = rawbytes.patched(whole, {at: bytes([whole[at] ^ flip])})
        result = rebuild(TABLE, bad)
        assert result.pool is None, f"byte {at:#x}"
        assert len(result.findings) == 1
        seen |= set(ids(result))
    assert seen == REFUSALS_OF_BYTES


def test_there_is_no_pool_without_a_record_and_without_a_map():
    result = rebuild(TABLE)
    check_refused(result, "record-missing")
    assert (result.carrier, result.generation) == ("setup_data", 0)


# Records of something else


def test_a_record_of_another_machine_is_refused():
    other = MemoryMap.of([*FIRMWARE.rows()[:-1], (0x1_0000_0000, 0x2000000, RAM)])
    result = rebuild(TABLE, record(), other)
    check_refused(result, "record-other-machine")
    assert FIRMWARE.digest().hex() in result.findings[0].message
    assert other.digest().hex() in result.findings[0].message


@pytest.mark.parametrize(
    ("expected", "refused"), [(0, False), (2, False), (3, False), (4, True)]
)
def test_a_record_older_than_expected_is_stale(expected, refused):
    result = rebuild(TABLE, record(), expected_generation=expected)
    assert ids(result) == ["record-stale"] * refused
    assert (result.pool is None) == refused
    assert result.generation == 3


def test_a_record_of_something_else_is_not_held_to_the_table():
    """That its pages are RAM here says nothing about danger."""
    rows = table_with((0x800000, PAGE, RAM))
    check_refused(rebuild(rows, record(), expected_generation=4), "record-stale")


def test_a_record_that_is_wrong_about_the_firmware_is_refused():
    extents = ((0x800, 0x10, 7, ACPI), *EXTENTS[1:])
    result = rebuild(TABLE, record(extents), FIRMWARE)
    check_refused(result, "record-bad-extents")
    assert result.findings[0].extents == ((0x800, 0x810),)


def test_what_the_firmware_itself_reserves_is_nobodys_deposit():
    result = rebuild(TABLE, record(((0xF0, 1, 7, RAM),)), FIRMWARE)
    check_refused(result, "record-bad-extents")


# Tables that do not agree


@pytest.mark.parametrize(
    ("row", "expected", "level", "pages"),
    [
        # One page, one byte, first and last, of each extent.
        ((0x800000, PAGE, RAM), "extent-is-ram", "unsafe", (0x800, 0x801)),
        ((0x80F000, PAGE, RAM), "extent-is-ram", "unsafe", (0x80F, 0x810)),
        ((0x80FFFF, 1, RAM), "extent-is-ram", "unsafe", (0x80F, 0x810)),
        ((0x900000, PAGE, RAM), "extent-is-ram", "unsafe", (0x900, 0x901)),
        ((0x1_0017_FFFF, 1, RAM), "extent-is-ram", "unsafe", (0x10017F, 0x100180)),
        # Kernels up to 6.12 take type 128 for RAM.
        ((0x800000, PAGE, KERN), "extent-is-ram", "unsafe", (0x800, 0x801)),
        ((0x805000, PAGE, ACPI), "extent-wrong-type", "degraded", (0x805, 0x806)),
        ((0x805000, 1, NVS), "extent-wrong-type", "degraded", (0x805, 0x806)),
        ((0x805000, PAGE, PRAM), "extent-wrong-type", "degraded", (0x805, 0x806)),
        ((0x805000, PAGE, SOFT), "extent-wrong-type", "degraded", (0x805, 0x806)),
        ((0x805000, PAGE, 13), "extent-wrong-type", "degraded", (0x805, 0x806)),
        ((0x805000, PAGE, 0), "extent-not-in-table", "degraded", (0x805, 0x806)),
        ((0x805FFF, 1, 0), "extent-not-in-table", "degraded", (0x805, 0x806)),
    ],
)
def test_an_extent_that_is_not_reserved_throughout_is_refused(
    row, expected, level, pages
):
    result = rebuild(table_with(row), record(), FIRMWARE)
    check_refused(result, expected, level=level)
    assert result.findings[0].extents == (pages,)


@pytest.mark.parametrize("at", range(len(TABLE)))
def test_every_lost_entry_of_a_deposit_is_noticed(at):
    kept = TABLE[:at] + TABLE[at + 1 :]
    result = rebuild(kept, record())
    if TABLE[at][:2] in {(b * PAGE, n * PAGE) for b, n, _, _ in EXTENTS}:
        check_refused(result, "extent-not-in-table")
    else:
        check_rebuilt(result)


@pytest.mark.parametrize(
    ("cut_at", "expected"), [(12, None), (11, "extent-beyond-memory")]
)
def test_an_extent_above_the_tables_end_is_beyond_memory(cut_at, expected):
    result = rebuild(TABLE[:cut_at], record())
    assert ids(result) == [expected] * (expected is not None)
    if expected:
        assert result.findings[0].extents == ((0x100100, 0x100180),)


def test_an_empty_table_refuses_all():
    check_refused(rebuild([], record()), "extent-beyond-memory")
    first_page = rebuild([], record(((0, 1, 7, RAM),)))
    check_refused(first_page, "extent-beyond-memory")


def test_one_extent_can_be_refused_for_several_reasons():
    rows = table_with(
        (0x800000, PAGE, RAM), (0x801000, PAGE, ACPI), (0x802000, PAGE, 0)
    )
    check_refused(
        rebuild(rows, record()),
        "extent-is-ram",
        "extent-not-in-table",
        "extent-wrong-type",
        level="unsafe",
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"memory": (Span.at(0x80F000, PAGE),)}, "extent-is-usable"),
        ({"memory": (Span.at(0x810000, PAGE),)}, None),
        ({"kernel_range": Span(0x700000, 0x800001)}, "extent-under-kernel"),
        ({"kernel_range": Span(0x700000, 0x800000)}, None),
        ({"load_window": Span(0x80FFFF, 0x850000)}, "extent-under-kernel"),
        ({"load_window": Span(0x810000, 0x850000)}, None),
        ({"touched": ExtentSet([(0x80F, 0x811)])}, "extent-touched"),
        ({"touched": ExtentSet([(0x810, 0x820)])}, None),
        ({"touched_deposits": ExtentSet([(0x900, 0x901)])}, "extent-touched"),
        ({"touched_deposits": ExtentSet()}, None),
    ],
)
def test_pages_that_the_kernel_uses_are_refused_whatever_the_table_says(
    fields, expected
):
    result = rebuild(view_of(**fields), record())
    if expected is None:
        check_rebuilt(result)
    else:
        check_refused(result, expected, level="unsafe")


def test_a_boot_that_ended_is_no_basis_for_a_pool():
    result = rebuild(view_of(fatal="map refused"), record())
    check_refused(result, "kernel-not-booted")
    assert "map refused" in result.findings[0].message


@pytest.mark.parametrize(
    "row", [((1 << 64) - PAGE, PAGE, RAM), (0, 1 << 64, RAM), (0, 1, 1 << 32)]
)
def test_a_table_that_no_kernel_resolves_is_no_basis_for_a_pool(row):
    check_refused(rebuild([*TABLE, row], record()), "table-unreadable")


def test_many_extents_are_listed_up_to_a_limit():
    extents = tuple((0x200 + 2 * at, 1, 7, RAM) for at in range(100))
    result = rebuild(TABLE, record(extents))
    check_refused(result, "extent-is-ram", level="unsafe")
    assert len(result.findings[0].extents) == 64
    assert "0x64 page(s), first PFNs [0x200, 0x201)," in result.findings[0].message


# Inference


def test_without_a_record_the_pool_is_what_was_ram_and_is_reserved():
    result = rebuild(view_of(), None, FIRMWARE)
    unowned = [(base, pages, 0, kind) for base, pages, _, kind in EXTENTS]
    check_rebuilt(result, carrier="inference", extents=unowned)
    assert ids(result) == ["inferred"]
    assert not result.pool.free
    assert result.generation == 0


def test_plain_rows_are_enough_to_infer_from():
    unowned = [(base, pages, 0, kind) for base, pages, _, kind in EXTENTS]
    check_rebuilt(rebuild(TABLE, None, FIRMWARE), "inference", unowned)


def test_a_page_that_is_reserved_in_part_is_no_deposit():
    rows = table_with((0xA00800, 0x1000, RESERVED))
    result = rebuild(rows, None, FIRMWARE)
    assert ids(result) == ["inferred", "inference-partial-page"]
    assert result.findings[1].extents == ((0xA00, 0xA02),)
    assert (
        result.ledger.extents
        == DepositLedger.of_ranges(
            (b * PAGE, (b + n) * PAGE) for b, n, _, _ in EXTENTS
        ).extents
    )


@pytest.mark.parametrize("gap", [(0xA00000, PAGE, 0), (0x900000, PAGE, 0)])
def test_nothing_is_inferred_from_a_table_that_lost_entries(gap):
    result = rebuild(table_with(gap), None, FIRMWARE)
    check_refused(result, "inference-incomplete")
    assert result.findings[0].extents == ((gap[0] // PAGE, gap[0] // PAGE + 1),)


def test_what_every_kernel_takes_for_itself_is_neither_a_deposit_nor_lost():
    firmware = MemoryMap.of([(0x0, 0x1000000, RAM), *FIRMWARE.rows()[4:]])
    rows = [
        (0x0, 0x1000, RESERVED),
        (0x1000, 0x9F000, RAM),
        *TABLE[4:],
    ]
    result = rebuild(rows, None, firmware)
    assert ids(result) == ["inferred"]
    assert result.ledger.extents.nr_pages == 0x91


def test_the_pages_beside_those_are_inferred_like_any_other():
    firmware = MemoryMap.of([(0x0, 0x1000000, RAM)])
    rows = [
        (0x0, 0x2000, RESERVED),
        (0x2000, 0x9D000, RAM),
        (0x9F000, 0x1000, RESERVED),
        (0x100000, 0x1000, RESERVED),
        (0x101000, 0xEFF000, RAM),
    ]
    result = rebuild(rows, None, firmware)
    assert list(result.ledger.extents) == [(0x1, 0x2), (0x9F, 0xA0), (0x100, 0x101)]


def test_nothing_is_inferred_where_the_command_line_reserved_too():
    asked = table_with((0xA00000, 0x2000, RESERVED))
    view = view_of(asked, bios_map=tuple(TABLE), user_map=tuple(asked))
    result = rebuild(view, None, FIRMWARE)
    check_refused(result, "inference-ambiguous")
    assert result.findings[0].extents == ((0xA00, 0xA02),)


def test_deposits_that_arrived_in_a_node_are_as_given():
    view = view_of(bios_map=tuple(TABLE[:8]), extended_map=tuple(TABLE))
    assert rebuild(view, None, FIRMWARE).pool is not None
    cut = view_of(bios_map=tuple(TABLE[:8]))
    check_refused(rebuild(cut, None, FIRMWARE), "inference-ambiguous")


def test_the_first_map_may_be_one_that_no_kernel_resolves():
    view = view_of(bios_map=((1, (1 << 64) - 1, RESERVED),))
    check_refused(rebuild(view, None, FIRMWARE), "inference-ambiguous")


def test_there_is_nothing_to_infer_where_nothing_is_reserved():
    rows = [(0x0, 0x1000, RESERVED), (0x1000, 0x9EC00, RAM), *FIRMWARE.rows()[1:]]
    result = rebuild(rows, None, FIRMWARE)
    check_refused(result, "inference-empty")
    assert result.carrier == "inference"


def test_inferred_pages_are_held_to_the_table_like_any_other():
    view = view_of(memory=(Span.at(0x800000, PAGE),))
    result = rebuild(view, None, FIRMWARE)
    check_refused(result, "inferred", "extent-is-usable", level="unsafe")


def test_a_firmware_map_that_reaches_the_end_of_addresses_is_the_callers_fault():
    bad = MemoryMap.of([((1 << 64) - PAGE, PAGE, RAM)])
    for given in (None, record()):
        with pytest.raises(InputError, match="reaches 2\\^64"):
            rebuild(TABLE, given, bad)


# The record in the region's first page

REGION = PmpoolOption.of_pages(0x100100, 0x80)
IN_REGION = (
    (0x100100, 1, RECORD_OWNER, RAM),
    (0x100101, 0x1F, 7, RAM),
    (0x100120, 0x60, FREE_OWNER, RAM),
)


def page(extents=IN_REGION, **fields):
    return record(extents, **fields).ljust(PAGE, b"\0")


def test_a_record_in_the_first_page_describes_the_region():
    result = rebuild(TABLE, page(), region=REGION)
    check_rebuilt(result, "pmpool", IN_REGION)
    assert result.pool.alloc(0x61) is None
    assert result.pool.alloc(0x60) == 0x100120


@pytest.mark.parametrize(
    "extents",
    [
        IN_REGION[:2],
        IN_REGION[1:],
        ((0x100100, 0x80, 7, RAM),),
        ((0x100100, 0x80, FREE_OWNER, RAM),),
        ((0x800, 1, 7, RAM), *IN_REGION),
        (*IN_REGION[:2], (0x100120, 0x5F, 7, RAM)),
        (),
    ],
)
def test_a_record_that_does_not_describe_its_region_is_refused(extents):
    result = rebuild(TABLE, page(extents), region=REGION)
    assert set(ids(result)) == {"record-bad-extents"}
    assert result.pool is None
    assert result.carrier == "pmpool"


def test_a_record_of_two_pages_needs_both():
    extents = [(0x100100, 1, RECORD_OWNER, RAM)]
    extents += [(0x100101 + at, 1, at % 2, RAM) for at in range(0x7F)]
    result = rebuild(TABLE, record(extents), region=REGION)
    check_refused(result, "record-bad-extents")
    assert result.findings[0].extents == ((0x100101, 0x100102),)
    extents[1] = (0x100101, 1, RECORD_OWNER, RAM)
    assert rebuild(TABLE, record(extents), region=REGION).pool is not None


def test_an_empty_page_is_no_record():
    check_refused(rebuild(TABLE, bytes(PAGE), region=REGION), "record-bad-magic")


def test_a_region_that_the_table_has_as_ram_is_refused():
    rows = table_with((0x1_0010_0000, PAGE, RAM))
    result = rebuild(rows, page(), region=REGION)
    check_refused(result, "extent-is-ram", level="unsafe")


def test_a_region_without_its_page_has_no_record():
    result = rebuild(TABLE, region=REGION)
    check_refused(result, "record-missing")
    assert result.carrier == "pmpool"


# A machine with 256 MiB at 4 GiB, all of it deposited, held by type 3.
BLOCKS = (0x1_0000_0000, 0x1000_0000)
BLOCKS_MAP = MemoryMap.of(
    [(0x0, 0x9F000, RAM), (0x100000, 0xF00000, RAM), (*BLOCKS, RAM)]
)
BLOCKS_EXTENT = ((BLOCKS[0] // PAGE, BLOCKS[1] // PAGE, 7, RAM),)


def blocks_table(*rows):
    return [(0x0, 0x9F000, RAM), (0x100000, 0xF00000, RAM), *rows]


def blocks_record(extents=BLOCKS_EXTENT):
    return rawbytes.pool_record(extents, digest=BLOCKS_MAP.digest(), generation=1)


@pytest.mark.parametrize("kind", [RESERVED, ACPI])
def test_pages_that_hold_a_memory_block_may_be_of_type_3(kind):
    result = rebuild(blocks_table((*BLOCKS, kind)), blocks_record(), BLOCKS_MAP)
    assert result.pool is not None, result.findings
    assert result.ledger.extents.nr_pages == BLOCKS[1] // PAGE


def test_without_a_record_type_3_that_was_ram_is_inferred():
    result = rebuild(blocks_table((*BLOCKS, ACPI)), None, BLOCKS_MAP)
    assert result.ledger.extents == ExtentSet([(0x100000, 0x110000)])


SMALL = ((BLOCKS[0], 0x100000, ACPI), (BLOCKS[0] + 0x100000, 0xFF00000, RAM))


def test_type_3_that_the_kernel_made_itself_is_no_deposit():
    """A kernel that replaces ACPI tables makes type 3 of pages that it uses."""
    extent = ((BLOCKS[0] // PAGE, 0x100, 7, RAM),)
    view = KernelView(
        kernel="6.1",
        engine="machine",
        bios_map=tuple(blocks_table((*BLOCKS, RAM))),
        table=tuple(blocks_table(*SMALL)),
    )
    refused = rebuild(view, blocks_record(extent), BLOCKS_MAP)
    assert refused.pool is None
    assert {one.id for one in refused.findings} == {"extent-wrong-type"}


def test_type_3_beside_what_firmware_reserves_is_a_deposits_if_it_was_given():
    """Together they hold a whole block, though the deposit alone does not."""
    low, high = (BLOCKS[0], 0x800_0000, RAM), (BLOCKS[0] + 0x800_0000, 0x100_0000)
    rows = ((*high, ACPI), (high[0] + high[1], 0x700_0000, RESERVED))
    firmware = MemoryMap.of(blocks_table(low, (*high, RAM), rows[1]))
    extent = ((high[0] // PAGE, high[1] // PAGE, 7, RAM),)
    record = rawbytes.pool_record(extent, digest=firmware.digest(), generation=1)
    table = tuple(blocks_table(low, *rows))
    given = KernelView(kernel="6.1", engine="machine", bios_map=table, table=table)
    assert rebuild(given, record, firmware).pool is not None
    assert rebuild(table, record, firmware).pool is None


def test_a_deposit_in_a_device_that_no_firmware_map_has_comes_back():
    devices = MemoryDevices(devices=((BLOCKS[0], sum(BLOCKS)),))
    low = MemoryMap(entries=MemoryMap.of(blocks_table()).entries, devices=devices)
    extent = ((BLOCKS[0] // PAGE, 2, 7, RAM),)
    table = blocks_table(
        (BLOCKS[0], 2 * PAGE, RESERVED),
        (BLOCKS[0] + 2 * PAGE, BLOCKS[1] - 2 * PAGE, RAM),
    )
    # The record names the machine with its device.
    assert rebuild(table, blocks_record(extent), low).pool is not None
    unknown = MemoryMap(entries=low.entries)
    refused = rebuild(table, blocks_record(extent), unknown)
    assert {one.id for one in refused.findings} == {"record-other-machine"}
