"""The examples of the commands that boot kernels, as --help shows them."""

import pytest
from helpexamples import LAB, example_of, fill
from labbench import MIB, ROWS

from e820pool.cli import main

# What an example writes, and what it must say.
SAID = {
    "boot": "touched deposited pages: 0",
    "chain": "intact",
    "image": "handoff.elf:",
    "kernels": "6.1",
}
SLOW = ("chain", "kernels")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path, ROWS, ((128 * MIB >> 12, 16),))
    return tmp_path


# A chain takes minutes, and so does a compiler.
@pytest.mark.parametrize(
    "name",
    [pytest.param(one, marks=[pytest.mark.slow] * (one in SLOW)) for one in SAID],
)
@pytest.mark.usefixtures("folder")
def test_an_example_runs_as_it_is_written(capsys, name):
    code, told = main(example_of(name)), capsys.readouterr()
    if name == "kernels" and "archive" in told.err:
        pytest.skip("the archive cannot be reached: it needs a network")
    assert (code, SAID[name] in told.out) == (0, True), told.err


def test_none_is_left_out():
    assert set(SAID) == LAB
