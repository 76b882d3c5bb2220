"""build_handoff: options, tables and parts, as a library."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import rawbytes
from rawhandoff import GIB, MIB, ROWS, with_reserved

from e820pool.abi.boot_params import encode_boot_params
from e820pool.abi.bzimage import parse_bzimage
from e820pool.abi.pool_record import SETUP_E820POOL, parse_record
from e820pool.abi.setup_data import SETUP_E820_EXT, SetupDataNode, encode_node
from e820pool.deposits import Deposit, DepositLedger
from e820pool.errors import CapacityError, InputError
from e820pool.handoff.build import MAX_TABLE_ENTRIES, BuildOptions, build_handoff
from e820pool.handoff.model import PlacedNode
from e820pool.memory_map import MemoryMap

MAP = MemoryMap.of(ROWS)
ONE = DepositLedger.of_ranges([(GIB, GIB + 0x2000)], owner=7)
KERNEL = parse_bzimage(rawbytes.bzimage())


def build(ledger=ONE, memory_map=MAP, **options):
    return build_handoff(memory_map, ledger, BuildOptions(**options))


def rows_of(handoff):
    return [tuple(row) for row in handoff.table.rows()]


def comb(count, *, owners=1):
    """Deposits of two pages, a gap after each."""
    return DepositLedger(
        Deposit(start_pfn=pfn, end_pfn=pfn + 2, owner=n % owners)
        for n, pfn in enumerate(range(0x200000, 0x200000 + 4 * count, 4))
    )


def test_the_table_is_the_map_with_deposits_carved_out():
    assert rows_of(build()) == with_reserved(ROWS, [(0x40000, 2)])


def test_without_deposits_it_is_the_map_and_there_is_no_record():
    handoff = build(DepositLedger())
    assert rows_of(handoff) == list(ROWS)
    assert handoff.nodes == ()
    assert handoff.record_bytes() is None
    assert handoff.boot_params.hdr.setup_data == 0


def test_a_deposit_may_be_all_of_an_entry():
    rows = [*ROWS, (50 * GIB, GIB, 1)]
    ledger = DepositLedger.of_ranges([(50 * GIB, 51 * GIB)])
    assert rows_of(build(ledger, MemoryMap.of(rows))) == [*ROWS, (50 * GIB, GIB, 3)]


def test_a_deposit_beside_reserved_shares_its_entry():
    rows = [*ROWS, (40 * GIB, MIB, 2)]
    ledger = DepositLedger.of_ranges([(40 * GIB - 0x1000, 40 * GIB)])
    handoff = build(ledger, MemoryMap.of(rows))
    assert rows_of(handoff)[-1] == (40 * GIB - 0x1000, MIB + 0x1000, 2)
    assert handoff.ledger == ledger


@pytest.mark.parametrize("count", [60, 61, 62, 1597])
def test_the_first_128_are_in_the_page_and_the_rest_in_one_node(count):
    handoff = build(comb(count))
    entries = len(ROWS) + 2 * count
    assert handoff.boot_params.e820_entries == min(entries, 128)
    kinds = [one.node.type for one in handoff.nodes]
    assert kinds == [SETUP_E820_EXT] * (entries > 128) + [SETUP_E820POOL]
    addrs = handoff.table.entries["addr"]
    assert addrs.size == entries
    assert bool(np.all(addrs[1:] > addrs[:-1]))


def test_one_entry_too_many_is_refused_and_says_how_it_would_fit():
    with pytest.raises(
        CapacityError, match="3202 entries do not fit: the limit is 3200"
    ):
        build(comb(1598))
    assert MAX_TABLE_ENTRIES == 3200


def test_the_bytes_are_those_of_an_independent_writer():
    handoff = build(cmdline="quiet")
    page = encode_boot_params(handoff.boot_params)
    wanted = rawbytes.zero_page(
        with_reserved(ROWS, [(0x40000, 2)]),
        setup_data=handoff.nodes[0].addr,
        cmd_line_ptr=handoff.cmdline_addr,
        **OUR_HEADER,
    )
    assert page == wanted
    record = rawbytes.pool_record(
        [(0x40000, 2, 7, 1)], generation=1, digest=MAP.digest()
    )
    assert encode_node(handoff.nodes[0].node) == rawbytes.setup_data(
        SETUP_E820POOL, record
    )


# A relocatable kernel of protocol 2.15, and all that only an image could say zero.
OUR_HEADER = {
    "setup_sects": 0,
    "jump": 0,
    "type_of_loader": 0xFF,
    "initrd_addr_max": 0,
    "xloadflags": 0,
    "init_size": 0,
    "code32_start": 0x1000000,
}


def test_the_record_says_owner_generation_and_map():
    record = parse_record(build(generation=9).record_bytes())
    assert record.generation == 9
    assert record.map_digest == MAP.digest()
    assert [(e.base_pfn, e.nr_pages, e.owner) for e in record.extents] == [
        (0x40000, 2, 7)
    ]


def test_owners_that_touch_are_one_entry_and_two_extents():
    ledger = ONE.deposit([Deposit(start_pfn=0x40002, end_pfn=0x40003, owner=8)])
    handoff = build(ledger)
    assert (GIB, 0x3000, 2) in rows_of(handoff)
    assert len(parse_record(handoff.record_bytes()).extents) == 2


def test_a_chain_of_two_nodes_is_linked():
    handoff = build(comb(200))
    ext, record = handoff.nodes
    assert handoff.boot_params.hdr.setup_data == ext.addr
    assert (ext.node.next, record.node.next) == (record.addr, 0)
    assert ext.end <= record.addr


def test_parts_are_apart_in_ram_and_outside_deposits():
    ledger = DepositLedger.of_ranges([(MIB, MIB + 0x2000), (MIB + 0x3000, 2 * MIB)])
    handoff = build(ledger)
    spans = sorted((s.addr, s.end) for s in handoff.segments())
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    bytes_ = ledger.extents.to_bytes()
    assert not any(bytes_.overlaps(start, end) for start, end in spans)
    assert spans[0][0] == MIB + 0x2000


def test_segments_name_what_they_are():
    handoff = build(cmdline="quiet")
    whats = [s.what for s in handoff.segments()]
    assert whats == ["boot_params", "setup_data", "cmdline"]
    line = handoff.segments()[-1]
    assert (line.data, line.end - line.addr) == (b"quiet\0", 6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoding": "no"}, "encoding 'no' is not one of: guarded, split"),
        ({"carrier": "pigeon"}, "carrier 'pigeon' is not one of: setup_data, none"),
        ({"cmdline": "a\0"}, "NUL at 1"),
        ({"cmdline": "\N{EURO SIGN}"}, "at 0: the limit is Latin-1"),
        ({"kernel_addr": GIB}, "kernel address 0x40000000 without a kernel"),
        ({"addresses": {"sofa": MIB}}, "no part is called 'sofa'"),
        (
            {"addresses": {"boot_params": -1}},
            "the boot protocol's limit is 0x100000000",
        ),
        ({"generation": 1 << 64}, "generation"),
        ({"generation": -1}, "generation"),
    ],
)
def test_what_is_asked_for_must_be_possible(options, message):
    with pytest.raises(InputError, match=message):
        build(**options)


@pytest.mark.parametrize("nr_bytes", [0, 2047])
def test_a_line_up_to_the_limit_is_taken(nr_bytes):
    assert len(build(cmdline="x" * nr_bytes).cmdline) == nr_bytes


def test_a_line_over_the_limit_does_not_fit():
    with pytest.raises(CapacityError, match="2048 bytes does not fit"):
        build(cmdline="x" * 2048)


def test_latin_1_goes_into_the_line_byte_for_byte():
    assert build(cmdline="caf\xe9").cmdline == b"caf\xe9"


def test_a_deposit_that_was_no_ram_is_refused():
    ledger = DepositLedger(
        [Deposit(start_pfn=0x40000, end_pfn=0x40001, firmware_type=5)]
    )
    with pytest.raises(InputError, match="said to be unusable to the firmware"):
        build(ledger)


@pytest.mark.parametrize(("start", "ok"), [(0xFF000, False), (0x100000, True)])
def test_deposits_begin_at_1_mib(start, ok):
    rows = [(0, 3 * GIB, 1), (4 * GIB, GIB, 1)]
    ledger = DepositLedger.of_ranges([(start, start + 0x1000)])
    if ok:
        assert build(ledger, MemoryMap.of(rows)).ledger == ledger
        return
    with pytest.raises(InputError, match=r"0xff000-0xfffff.*below 0x100000"):
        build(ledger, MemoryMap.of(rows))


def test_the_kernel_s_header_is_bound_under_our_pointers():
    handoff = build(kernel=KERNEL, initrd_size=4096)
    hdr = handoff.boot_params.hdr
    assert handoff.kernel_window == (0x1000000, 0x1000000 + 0x3378000)
    assert hdr.code32_start == 0x1000000
    assert hdr.init_size == 0x3378000
    assert hdr.type_of_loader == 0xFF
    assert (hdr.ramdisk_image, hdr.ramdisk_size) == (handoff.initrd[0], 4096)
    assert hdr.cmd_line_ptr == handoff.cmdline_addr
    assert hdr.setup_data == handoff.nodes[0].addr


def test_nothing_but_the_parts_lies_in_the_kernel_s_window():
    ledger = DepositLedger.of_ranges([(2 * MIB, 16 * MIB)])
    small = MemoryMap.of([(0, 0x9F000, 1), (MIB, GIB, 1)])
    handoff = build(ledger, small, kernel=KERNEL, initrd_size=8 * MIB)
    start, end = handoff.kernel_window
    spans = [(s.addr, s.end) for s in handoff.segments()]
    spans.append(handoff.initrd)
    assert all(high <= start or end <= low for low, high in spans)


@pytest.mark.parametrize("generations", [(3, 4), (4, 3), (4, 1), (1, 4, 2)])
@pytest.mark.parametrize("broken", [False, True])
def test_of_several_records_the_latest_counts_or_one_that_is_broken(
    generations, broken
):
    records = [rawbytes.pool_record(generation=one) for one in generations]
    latest = records[generations.index(4)]
    if broken:
        records[0] = latest = rawbytes.pool_record(generation=1, crc=5)
    nodes = tuple(
        PlacedNode(addr=n << 20, node=SetupDataNode(type=SETUP_E820POOL, data=data))
        for n, data in enumerate(records, 1)
    )
    assert replace(build(), nodes=nodes).record_bytes() == latest
