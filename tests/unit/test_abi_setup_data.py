import struct
import time

import pytest
import rawbytes

from e820pool.abi.setup_data import (
    SETUP_DTB,
    SetupDataNode,
    SetupIndirect,
    encode_node,
    node_size,
    parse_chain,
    parse_indirect,
    parse_node,
)
from e820pool.errors import BadImageError, InputError

UNKNOWN = 0x1234_5678


def chain_message(head, parts):
    with pytest.raises(BadImageError) as caught:
        parse_chain(head, parts)
    return str(caught.value)


def test_a_node_is_read_with_its_pointer_and_its_bytes():
    node = parse_node(rawbytes.setup_data(UNKNOWN, b"anything", next_=0x9000))
    assert node == SetupDataNode(type=UNKNOWN, data=b"anything", next=0x9000)
    assert node.len == 8
    assert node_size(node) == 24


def test_a_node_is_written_as_the_kernel_reads_it():
    node = SetupDataNode(type=SETUP_DTB, data=b"tree", next=1 << 40)
    assert encode_node(node) == rawbytes.setup_data(SETUP_DTB, b"tree", 1 << 40)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "setup_data node: 0 bytes (0x0) end inside next at byte 0x0"),
        (bytes(13), "setup_data node: 13 bytes (0xd) end inside len at byte 0xd"),
        (
            rawbytes.setup_data(9, b"seed", length=0xFFFFFFFF),
            "setup_data node of type 0x9: len is 0xffffffff (4294967295), but 4 bytes",
        ),
        (
            rawbytes.setup_data(9, b"seed", length=3),
            "setup_data node of type 0x9: len is 0x3 (3), but 4 bytes of data",
        ),
    ],
)
def test_a_node_of_another_length_than_it_says_is_refused(data, message):
    with pytest.raises(BadImageError) as caught:
        parse_node(data)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("field", ["type", "next"])
def test_a_node_whose_numbers_do_not_fit_is_refused(field):
    values = {"type": 1, "data": b""} | {field: 1 << 64}
    with pytest.raises(InputError, match=rf"{field} does not fit its field: 0x1000"):
        encode_node(SetupDataNode(**values))


def test_a_chain_is_followed_in_its_order():
    head, parts = rawbytes.setup_data_chain(
        [(0x3000, 1, b"a" * 20), (0x1000, UNKNOWN, b""), (0x2000, 9, b"c")],
    )
    nodes = parse_chain(head, parts)
    assert [(addr, node.type, node.data) for addr, node in nodes] == [
        (0x3000, 1, b"a" * 20),
        (0x1000, UNKNOWN, b""),
        (0x2000, 9, b"c"),
    ]
    assert [node.next for _, node in nodes] == [0x1000, 0x2000, 0]


def test_no_head_means_no_nodes():
    assert parse_chain(0, []) == []


def test_a_node_may_cross_from_one_part_into_the_next():
    node = rawbytes.setup_data(UNKNOWN, b"0123456789")
    parts = [(0x1010, node[16:]), (0x1000, node[:7]), (0x1007, node[7:16])]
    assert parse_chain(0x1000, parts)[0][1].data == b"0123456789"


def test_nodes_may_lie_inside_a_larger_part():
    memory = bytes(5) + rawbytes.setup_data(2, b"tree") + b"behind"
    assert parse_chain(0x8005, [(0x8000, memory)])[0][1].data == b"tree"


def test_a_pointer_outside_is_refused_with_what_is_given():
    head, parts = rawbytes.setup_data_chain([(0x1000, 1, b""), (0x5000, 1, b"")])
    assert chain_message(head, parts[:1]) == (
        "setup_data node 1 at 0x5000 is outside the memory given (0x1000-0x100f)"
    )
    assert chain_message(0x10, []) == (
        "setup_data node 0 at 0x10 is outside the memory given (none)"
    )


@pytest.mark.parametrize("head", [0xFFF, 0x1010, 1 << 64])
def test_the_first_byte_outside_is_outside(head):
    part = (0x1000, rawbytes.setup_data(1, b""))
    assert "is outside the memory given" in chain_message(head, [part])


def test_a_cut_node_header_is_refused():
    part = (0x1000, rawbytes.setup_data(1, b"")[:10])
    assert chain_message(0x1000, [part]) == (
        "setup_data node 0 at 0x1000: 10 bytes (0xa) end inside type at byte 0xa"
    )


def test_an_absurd_length_is_refused_with_the_limit():
    part = (0x1000, rawbytes.setup_data(1, b"x" * 40, length=0x7FFFFFFF))
    assert chain_message(0x1000, [part]) == (
        "setup_data node 0 at 0x1000: len is 0x7fffffff (2147483647), but only 0x28"
        " bytes are given behind it"
    )


@pytest.mark.parametrize("back_to", [0x1000, 0x2000])
def test_a_loop_is_refused(back_to):
    parts = [
        (0x1000, rawbytes.setup_data(1, b"", next_=0x2000)),
        (0x2000, rawbytes.setup_data(1, b"", next_=back_to)),
    ]
    assert chain_message(0x1000, parts) == (
        f"setup_data chain loops: node 1 at 0x2000 points back to {back_to:#x}"
    )


def test_parts_that_overlap_are_refused():
    parts = [(0x1000, bytes(32)), (0x101F, bytes(16))]
    assert chain_message(0x1000, parts) == (
        "the part of 16 bytes at 0x101f overlaps the one that ends at 0x1020"
    )


def nested_nodes(count):
    """Return nodes each of which claims all the nodes behind it as its payload."""
    return b"".join(
        struct.pack("<QII", 0x1000 + 16 * (i + 1), 1, 16 * (count - i - 1))
        for i in range(count)
    )


def test_nodes_within_nodes_are_refused():
    message = chain_message(0x1000, [(0x1000, nested_nodes(100))])
    assert message.startswith("setup_data node 1 at 0x1010: the chain holds more than")


def test_a_hostile_chain_takes_no_longer_than_its_bytes():
    """Read naively, this megabyte would be copied 32 thousand times."""
    memory = nested_nodes(1 << 16)
    begun = time.process_time()
    chain_message(0x1000, [(0x1000, memory)])
    assert time.process_time() - begun < 1


def test_ten_times_the_nodes_take_about_ten_times_as_long():
    def seconds(count):
        placed = [(0x1000 + 32 * i, 9, b"x" * 16) for i in range(count)]
        head, parts = rawbytes.setup_data_chain(placed)
        times = []
        for _ in range(3):
            begun = time.process_time()
            assert len(parse_chain(head, parts)) == count
            times.append(time.process_time() - begun)
        return min(times)

    seconds(10)
    assert seconds(10_000) < 40 * seconds(1_000)


U64 = struct.Struct("<Q").pack


def test_an_indirect_node_names_what_it_points_to():
    data = struct.pack("<IIQQ", 1, 0, 40, 0x5000)
    assert parse_indirect(data + b"more") == SetupIndirect(type=1, len=40, addr=0x5000)


def test_an_indirect_node_that_is_cut_is_refused():
    with pytest.raises(BadImageError, match="SETUP_INDIRECT: 23 bytes"):
        parse_indirect(bytes(23))
