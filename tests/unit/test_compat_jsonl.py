"""check's bulk form: keys, order, streaming, and lines that cannot be read."""

import json

import pytest

from e820pool.compat.check_records import check_line, check_record
from e820pool.errors import InputError

M = 1 << 20
ROWS = [[0, 0x9F000, 1], [0x9F000, 0x61000, 2], [M, 511 * M, 1]]
DEPOSITED = [*ROWS[:2], [M, 255 * M, 1], [256 * M, M, 2], [257 * M, 255 * M, 1]]
PAGES = [[0x10000, 0x100]]


def record(**fields):
    safe = {"id": "x", "kernel": "6.1", "e820": DEPOSITED, "deposits": PAGES}
    return safe | fields


def answer(**fields):
    return check_line(json.dumps(record(**fields)))


def ids(told):
    return {one["id"] for one in told["findings"]}


def test_a_safe_record_has_exactly_its_keys():
    assert answer() == {
        "id": "x",
        "kernel": "6.1",
        "verdict": "safe",
        "findings": [],
        "judged_on": {
            "release": "6.1",
            "version": "",
            "update": None,
            "image_sha256": None,
            "config": "assumed",
            "assumed": [],
            "kernel_window": "assumed",
            "memory_devices": "unknown",
            "by": "model",
        },
    }
    assert list(answer()) == ["id", "kernel", "verdict", "findings", "judged_on"]


def test_a_finding_has_its_source_and_pages_as_base_and_count():
    told = answer(e820=ROWS)
    assert told["verdict"] == "unsafe"
    one = told["findings"][0]
    assert list(one) == ["id", "level", "message", "source", "extents"]
    assert (one["id"], one["level"]) == ("usable-as-ram", "unsafe")
    assert one["extents"] == PAGES
    assert "e820__memblock_setup" in one["source"]


def test_all_that_predict_takes_is_taken():
    told = answer(
        ext=[[600 * M, M, 1]],
        cmdline="quiet",
        kernel_range=[255 * M, 257 * M],
        setup_data=[[4 * M, 64, 1]],
        config={"NODES_SHIFT": 6},
    )
    assert "forced-to-ram-by-kernel-image" in ids(told)


def test_entries_beyond_128_are_in_ext():
    rows = [*DEPOSITED, *([(1 << 32) + n * 4 * M, 2 * M, 1] for n in range(140))]
    assert "count-over-128" not in ids(answer(e820=rows))


def test_deposits_may_be_left_out_and_in_any_order():
    assert ids(answer(deposits=[])) == ids(answer(deposits=None)) == {"no-deposits"}
    twice = [[0x10080, 0x80], [0x10000, 0x90]]
    assert answer(deposits=twice)["verdict"] == "safe"


def test_options_of_the_record_reach_the_findings():
    rows = [*ROWS, [256 * M, M, 2]]
    assert "not-monotone" in ids(answer(e820=rows))
    small = [[(1 << 32) + n * 4 * M, 2 * M, 1] for n in range(140)]
    told = answer(e820=[*DEPOSITED, *small], config={"NUMA": False})
    assert "dropped-entry" in ids(told)
    assert "dropped-entry" not in ids(answer(e820=[*DEPOSITED, *small]))


def test_a_kernel_that_is_not_known_has_no_verdict():
    told = answer(kernel="9.9")
    assert (told["kernel"], told["verdict"], ids(told)) == (
        "9.9",
        "unknown",
        {"no-verdict"},
    )


def test_a_release_between_two_known_ones_says_so():
    told = answer(kernel="6.3")
    assert (told["verdict"], ids(told)) == ("safe", {"profile-between"})


@pytest.mark.parametrize(
    "deposits",
    [
        [[1]],
        [[1, 0]],
        [[-1, 2]],
        [[1, 1 << 60]],
        [["1", 1]],
        [[True, 1]],
        [[1, 2, 3]],
        [None],
        "x",
        [[1 << 9999, 1]],
    ],
    ids=lambda value: str(value)[:20],
)
def test_wrong_deposits_are_named(deposits):
    told = answer(deposits=deposits)
    assert list(told) == ["id", "error"]
    assert told["id"] == "x"
    assert "deposits" in told["error"]
    assert len(told["error"]) < 150


@pytest.mark.parametrize("line", ["", "{", "[]", '{"id": [1]}', b"\xff", '{"id": 1}'])
def test_a_line_that_cannot_be_read_is_an_error_of_its_own(line):
    assert list(check_line(line)) == ["id", "error"]


def test_a_wrong_option_is_an_error_and_no_missing_verdict():
    with pytest.raises(InputError, match="NODES_SHIFT"):
        check_record(record(config={"NODES_SHIFT": 99}))


def test_a_bad_line_has_an_answer_without_an_id():
    lines = [json.dumps(record(id=n)) for n in range(5)]
    lines[2] = "nonsense"
    assert [check_line(line)["id"] for line in lines] == [0, 1, None, 3, 4]


def test_a_record_without_a_place_for_its_kernel_has_one_assumed():
    """As `check` of a release: KASLR may hit RESERVED that is laid over RAM."""
    rows = [[0, 0x9F000, 1], [M, 511 * M, 1], [256 * M, M, 2]]
    record = {"id": 1, "kernel": "6.1", "e820": rows, "deposits": [[0x10000, 256]]}
    told = check_record(record)
    found = {one.id for one in told.findings}
    assert told.verdict == "unsafe"
    assert found - {"config-assumed"} == {
        "touched-by-decompressor",
        "not-monotone",
        "window-assumed",
    }
    placed = check_record(record | {"kernel_range": [64 * M, 100 * M]})
    assert placed.verdict == "degraded"
    far = [[(1 << 64) - 8, 16, 9]]
    assert check_record(record | {"setup_data": far}).verdict == "unsafe"
