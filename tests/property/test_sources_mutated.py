"""Some of the inputs that ``make mutate`` reads a million of."""

import signal

import mutate_sources
import pytest

INPUTS = 1200


@pytest.fixture(autouse=True)
def alarm():
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("seed", [11, 12])
def test_damaged_inputs_give_a_value_or_one_line_and_lose_nothing_in_silence(seed):
    said = []
    assert mutate_sources.run(INPUTS, seed, said.append) == 0, said


def test_what_is_damaged_reads_whole_when_it_is_not(tmp_path):
    for name, (data, read, rows) in mutate_sources.inputs(tmp_path).items():
        if rows is not None:
            assert read(data).rows() == list(rows), name


def test_a_reader_that_loses_an_entry_is_a_fault(tmp_path):
    known = mutate_sources.inputs(tmp_path)
    data, read, rows = known["log 3.5"]
    lines = data.splitlines(keepends=True)
    assert mutate_sources.fault(read, b"".join(lines), rows) == ""
    assert "4 of 5" in mutate_sources.fault(read, b"".join(lines[:3] + lines[4:]), rows)
    assert "KeyError" in mutate_sources.fault({}.__getitem__, b"x")
