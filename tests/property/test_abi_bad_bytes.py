"""Bad bytes are refused with BadImageError and one line, and with nothing else."""

import struct

import pytest
import rawbytes
from hypothesis import given
from hypothesis import strategies as st
from strategies import mutated, noise

from e820pool.abi.boot_params import parse_boot_params, validate_e820_count
from e820pool.abi.bzimage import parse_bzimage
from e820pool.abi.e820 import parse_table
from e820pool.abi.pool_record import BadRecordError, parse_record
from e820pool.abi.setup_data import (
    parse_chain,
    parse_indirect,
    parse_node,
)
from e820pool.errors import BadImageError

RECORD = rawbytes.pool_record([(16, 4, 7, 1), (32, 1, 8, 2)], generation=1)
IMAGE = rawbytes.bzimage()
HEAD, CHAIN = rawbytes.setup_data_chain(
    [(0x1000, 1, rawbytes.e820_table([(0, 4096, 1)])), (0x1024, 9, b"seed")],
)
MEMORY = b"".join(data for _, data in CHAIN)


def read_page(data):
    page = parse_boot_params(data)
    assert len(page.e820_map) <= 128
    validate_e820_count(page)


def read_image(data):
    image = parse_bzimage(data)
    assert image.release.isprintable() or not image.release
    start, end = image.kernel_window(0x12345678)
    assert start <= end


def read_chain(data):
    nodes = parse_chain(HEAD, [(HEAD, data)])
    assert sum(16 + node.len for _, node in nodes) <= len(data)


def refused_in_one_line(read, data):
    try:
        read(data)
    except BadImageError as exc:
        message = str(exc)
        assert message
        assert message.isprintable()
        assert len(message) < 250
        return exc
    return None


PARSERS = {
    "page": (read_page, rawbytes.zero_page([(0, 4096, 1)] * 4)),
    "table": (parse_table, rawbytes.e820_table([(0, 4096, 1)] * 3)),
    "node": (parse_node, rawbytes.setup_data(1, b"0123456789")),
    "chain": (read_chain, MEMORY),
    "image": (read_image, IMAGE),
    "record": (parse_record, RECORD),
}


@pytest.mark.parametrize(("read", "good"), PARSERS.values(), ids=PARSERS)
@given(data=st.data())
def test_mutated_bytes_are_read_or_refused(read, good, data):
    refused_in_one_line(read, data.draw(mutated(good)))


@pytest.mark.parametrize("read", [r for r, _ in PARSERS.values()], ids=PARSERS)
@given(data=st.integers(0, 200).flatmap(noise) | noise(4096) | st.binary())
def test_arbitrary_bytes_are_read_or_refused(read, data):
    refused_in_one_line(read, data)


@pytest.mark.parametrize(("read", "good"), PARSERS.values(), ids=PARSERS)
def test_what_was_mutated_could_be_read(read, good):
    """Else the mutations would only ever try the first check."""
    read(good)


@given(mutated(RECORD))
def test_a_record_is_refused_with_a_finding_id(data):
    exc = refused_in_one_line(parse_record, data)
    assert exc is None or (isinstance(exc, BadRecordError) and exc.id)


@given(data=st.binary(max_size=40))
def test_any_indirect_node_is_read_or_refused(data):
    refused_in_one_line(parse_indirect, data)


words = st.sampled_from([0, 16, 32, 48, 64, 0x1000, 0x1010, 0x1020, 0xFFFF_FFFF])


@given(st.lists(st.tuples(words, words), min_size=1, max_size=12), words)
def test_any_pointers_and_lengths_end(pairs, head):
    """Chains of nodes that point at each other and into each other."""
    memory = b"".join(struct.pack("<QII", next_, 1, len_) for next_, len_ in pairs)
    refused_in_one_line(lambda parts: parse_chain(head, parts), [(0x1000, memory)])
