"""The examples in docstrings are true, and those who look first find one."""

import doctest
import importlib
import pkgutil

import pytest

import e820pool

MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(e820pool.__path__, "e820pool.")
    if not found.name.startswith("e820pool.__main__")
)
# What a newcomer imports first.
MAIN = (
    "e820pool.memory_map.MemoryMap",
    "e820pool.deposits.DepositLedger",
    "e820pool.range_text.parse_range",
    "e820pool.range_text.parse_size",
    "e820pool.extents.ExtentSet",
    "e820pool.extents.ByteRangeSet",
    "e820pool.sweep.sweep_rows",
    "e820pool.handoff.build.build_handoff",
    "e820pool.kernel.profiles.profile_for",
    "e820pool.kernel.early_boot.predict",
    "e820pool.compat.judge.judge",
    "e820pool.pool.rebuild.rebuild",
    "e820pool.pool.pool.Pool",
    "e820pool.abi.pool_record.parse_record",
)


def examples_of(name):
    module = importlib.import_module(name)
    return [one for one in doctest.DocTestFinder().find(module) if one.examples]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_are_true(name):
    for example in examples_of(name):
        told = []
        runner = doctest.DocTestRunner(verbose=False)
        runner.run(example, out=told.append)
        assert told == [], example.name


@pytest.mark.parametrize("name", MAIN)
def test_the_main_names_have_an_example(name):
    module = name.rpartition(".")[0]
    assert name in {one.name for one in examples_of(module)}
