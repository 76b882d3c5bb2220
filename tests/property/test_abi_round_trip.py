"""Nothing is lost between bytes and values, in either direction."""

from dataclasses import astuple

import numpy as np
import rawbytes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import bound_values, noise

from e820pool.abi.boot_params import (
    BootParams,
    SetupHeader,
    encode_boot_params,
    parse_boot_params,
)
from e820pool.abi.e820 import encode_table, parse_table, table_of
from e820pool.abi.pool_record import (
    RECORD_EXTENT_DTYPE,
    PoolRecord,
    RecordExtent,
    encode_record,
    parse_record,
)
from e820pool.abi.setup_data import (
    SetupDataNode,
    encode_node,
    node_size,
    parse_chain,
    parse_node,
)

U32 = st.integers(0, (1 << 32) - 1)
U64 = st.integers(0, (1 << 64) - 1)


@given(noise(4096))
def test_any_4096_bytes_survive(data):
    page = parse_boot_params(data)
    assert encode_boot_params(page) == data
    assert parse_boot_params(data) == page


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=20)
@given(bound_values(BootParams))
def test_any_page_survives(page):
    data = encode_boot_params(page)
    assert len(data) == 4096
    assert parse_boot_params(data) == page


@given(bound_values(SetupHeader))
def test_any_header_is_where_the_independent_writer_puts_it(header):
    names = rawbytes.SETUP_HEADER_NAMES
    written = rawbytes.setup_header(**{name: getattr(header, name) for name in names})
    assert encode_boot_params(BootParams(hdr=header))[0x1F1:0x26C] == written


@given(st.integers(0, 40).flatmap(lambda count: noise(20 * count)))
def test_any_whole_entries_survive(data):
    assert encode_table(parse_table(data)) == data


@given(st.lists(st.tuples(U64, U64, U32), max_size=40))
def test_any_rows_survive(rows):
    data = encode_table(table_of(rows))
    assert data == rawbytes.e820_table(rows)
    assert parse_table(data).tolist() == rows


nodes = st.builds(SetupDataNode, type=U32, data=st.binary(max_size=60), next=U64)


@given(nodes)
def test_any_node_survives(node):
    data = encode_node(node)
    assert len(data) == node_size(node)
    assert data == rawbytes.setup_data(node.type, node.data, node.next)
    assert parse_node(data) == node


@given(
    st.lists(st.tuples(U32, st.binary(max_size=30)), max_size=8),
    st.randoms(use_true_random=False),
    st.integers(0, 3),
)
def test_a_chain_survives_however_its_memory_is_given(payloads, random, gap):
    """The nodes lie in any order; the memory comes in pieces, shuffled."""
    order = list(range(len(payloads)))
    random.shuffle(order)
    addrs, at = {}, 0x1000
    for index in order:
        addrs[index] = at
        at += 16 + len(payloads[index][1]) + gap
    placed = [(addrs[i], *payload) for i, payload in enumerate(payloads)]
    head, parts = rawbytes.setup_data_chain(placed)
    pieces = []
    for addr, data in parts:
        cut = random.randrange(len(data))
        pieces += [(addr, data[:cut]), (addr + cut, data[cut:])]
    random.shuffle(pieces)
    found = [(addr, one.type, one.data) for addr, one in parse_chain(head, pieces)]
    assert found == placed


@st.composite
def records(draw):
    gaps = draw(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), max_size=12))
    extents, at = [], draw(st.integers(0, (1 << 40) - 300))
    for gap, nr_pages in gaps:
        extents.append(
            RecordExtent(
                base_pfn=at + gap,
                nr_pages=nr_pages,
                owner=draw(U64),
                firmware_type=draw(U32),
            ),
        )
        at += gap + nr_pages
    return PoolRecord(
        extents=tuple(extents),
        generation=draw(U64),
        map_digest=draw(st.binary(min_size=16, max_size=16)),
    )


def encoded(record):
    rows = np.array([astuple(one) for one in record.extents], RECORD_EXTENT_DTYPE)
    return encode_record(
        rows, generation=record.generation, map_digest=record.map_digest
    )


@given(records())
def test_any_record_survives_and_is_what_the_independent_writer_writes(record):
    data = encoded(record)
    rows = [
        (one.base_pfn, one.nr_pages, one.owner, one.firmware_type)
        for one in record.extents
    ]
    assert data == rawbytes.pool_record(
        rows, generation=record.generation, digest=record.map_digest
    )
    assert parse_record(data + b"behind it") == record


@given(records(), st.integers(0, 1 << 20), st.integers(1, 255))
def test_no_changed_byte_of_a_record_goes_unseen(record, where, change):
    """One byte is within what a CRC-32 always finds."""
    data = bytearray(encoded(record))
    data[where % len(data)] ^= change
    try:
        parse_record(bytes(data))
    except Exception as exc:  # noqa: BLE001  whichever refusal it is
        assert getattr(exc, "id", "").startswith("record-")  # noqa: PT017  same
    else:
        raise AssertionError("a changed record was believed")
