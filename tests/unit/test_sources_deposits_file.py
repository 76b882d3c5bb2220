"""Lists of deposits: JSON, CSV, or a range a line in any form."""

import gzip
import json

import pytest

from e820pool.deposits import Deposit
from e820pool.errors import BadImageError, InputError
from e820pool.sources.deposits_file import parse_changes, read_deposits


@pytest.fixture
def listed(tmp_path):
    def make(data):
        path = tmp_path / "list"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return str(path)

    return make


def document(deposits, **head):
    return json.dumps({"schema": 1, "kind": "deposits", "deposits": deposits} | head)


def test_one_range_a_line_in_both_forms(listed):
    text = "# two\n\n0x100000-0x101fff  # end inclusive\r\n2M+8K\n4294967296+0x1000"
    assert read_deposits(listed(text)) == [
        Deposit(start_pfn=0x100, end_pfn=0x102),
        Deposit(start_pfn=0x200, end_pfn=0x202),
        Deposit(start_pfn=0x100000, end_pfn=0x100001),
    ]


def test_json_objects_and_pairs(listed):
    deposits = [
        {"base_pfn": 256, "nr_pages": 2, "owner": 3, "firmware_type": 4},
        {"base_pfn": 512, "nr_pages": 1},
        [1024, 511],
    ]
    assert read_deposits(listed(document(deposits))) == [
        Deposit(start_pfn=256, end_pfn=258, owner=3, firmware_type=4),
        Deposit(start_pfn=512, end_pfn=513),
        Deposit(start_pfn=1024, end_pfn=1535),
    ]


MANY = [
    Deposit(start_pfn=0x40000, end_pfn=0x40200),
    Deposit(start_pfn=0x100000, end_pfn=0x100001, owner=7),
]


@pytest.mark.parametrize(
    "text",
    [
        "start,size,owner\n1G,2M,0\n4G,4096,7\n",
        "Owner,Start,End\n0,0x40000000,0x401fffff\n0x7,0x100000000,0x100000fff\n",
        "base_pfn,nr_pages,owner\n0x40000,512,0\n0x100000,1,7\n",
        "range,owner\n2M@1G,0\npfn:0x100000+1,7\n",
        "2M$1G\n[mem 0x100000000-0x100000fff],7\n",
        "40000000-401fffff # as /proc/iomem\n100000000-100000fff : Reserved,7\n",
        '[[262144, 512], {"base_pfn": 1048576, "nr_pages": 1, "owner": 7}]',
        '{"deposits": ["1G+2M", {"range": "4G+4K", "owner": 7}]}',
        '[{"start": "1G", "size": 2097152}, {"range": "4K@4G", "owner": 7}]',
        '["1G+2M", {"start": 4294967296, "end": 4294971391, "owner": "7"}]',
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_csv_json_and_every_form_of_a_range_are_read(listed, text, pack):
    assert read_deposits(listed(pack(text.encode()))) == MANY


def test_how_a_range_was_taken_is_kept():
    changes = parse_changes(b"40000000-401fffff\n1G+4K\n", "list")
    (said,) = changes.readings
    assert said.endswith("as /proc/iomem prints it: [mem 0x40000000-0x401fffff]")


def test_a_list_may_be_empty_where_that_is_said(listed):
    assert read_deposits(listed(document([]))) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "is empty"),
        ("# nothing\n", "names 0 deposits"),
        ("0x100000\n", "line 1: '0x100000' is not a range"),
        ("0x1000+0x1000\nnine+1\n", "line 2: 'nine' is not a size"),
        ("0x1000+0x800\n", "line 1: .*not whole pages.*nearest is 0x1000-0x1fff"),
        ("0x2000-0x1fff\n", "line 1: .*empty"),
        ("0xffffffffffffffff+1\n", "line 1: .*too high: the limit is 0xf{16}"),
        ("start,size\n0x1000\n", "line 2: 1 columns: the first line has 2"),
        ("start,colour\n0x1000,red\n", "line 1: want the columns start,end or"),
        ("0x1000,0x1000\n", "can be START,END or START,SIZE: write 0x1000-0x1000"),
        ("1G+2M,seven\n", "'seven' is not a range"),
        ('["1G+2MB"]', r"deposits\[0\]: '2MB': MB may be a power of 1000"),
        ('[{"start": 4096}]', r"deposits\[0\].end is None: want a whole number"),
        ('[{"start": "1G", "size": "1G", "owner": "x"}]', "owner 'x' is no whole"),
        (document([[1]]), r"deposits\[0\] is \[1\]: want an object"),
        (document([[0, 0]]), r"deposits\[0\]: deposit of PFNs \[0x0, 0x0\) is empty"),
        (document([[1 << 52, 1]]), "0x10000000000001. is empty or beyond the limit"),
        (document([[(1 << 52) - 1, 2]]), "beyond the limit 0x10000000000000"),
        (document([["1", 1]]), "base_pfn is '1': want a whole number"),
        (document([{"base_pfn": 1}]), "nr_pages is missing"),
        (document([[1, 1]], kind="pool"), "kind 'pool', not 'deposits'"),
        (document([[1, 1]], schema=2), "schema 0x2"),
        (document({}), "deposits is {}: want an array"),
        (document([{"base_pfn": 1, "nr_pages": 1, "owner": -1}]), "owner is -1"),
        (b"\0" * 100, "binary data"),
    ],
)
def test_what_is_no_deposit_is_one_line(listed, data, message):
    with pytest.raises(BadImageError, match=message) as caught:
        read_deposits(listed(data))
    assert str(caught.value).isprintable()


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        read_deposits(tmp_path / "none")
