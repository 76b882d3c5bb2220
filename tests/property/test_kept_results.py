"""No kept result is that of another question, whatever differs between the two."""

from dataclasses import fields, replace
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e820pool.experiments.jobs import JobOptions
from e820pool.experiments.kept_results import KeptResults, finished_results
from e820pool.kernel.profiles import profile_for
from e820pool.memory_devices import MemoryDevices
from e820pool.sources.buddyinfo import ZoneFree
from e820pool.stress.captured import Captured, _known_of_all, check_captured
from e820pool.stress.cells import Cell
from e820pool.stress.workload import Workload

MIB, GIB = 1 << 20, 1 << 30
MAPS = (
    ((0, 0x9F000, 1), (MIB, 511 * MIB, 1)),
    ((0, 0x9F000, 1), (MIB, 511 * MIB, 1), (4 * GIB, GIB, 1)),
    ((0, 0x9F000, 1), (MIB, 511 * MIB, 1), (4 * GIB, GIB, 2)),
)
DEVICES = (
    None,
    MemoryDevices(),
    MemoryDevices(devices=((4 * GIB, 5 * GIB),)),
    MemoryDevices(regions=((4 * GIB, 5 * GIB),)),
)
# Few values each, so that most questions differ in little.
HOSTS = {
    "id": st.sampled_from(["a", "b"]),
    "rows": st.sampled_from(MAPS),
    "deposits": st.sampled_from([None, (), ((0x100000, 0x8000),), ((0x1000, 1),)]),
    "error": st.sampled_from(["", "no map"]),
    "notes": st.sampled_from([(), (("line-cut", "1"),), (("line-cut", "2"),)]),
    "kernels": st.sampled_from([("4.4",), ("6.1",), ("6.1", "7.3"), ("7.3", "6.1")]),
    "scatter": st.sampled_from([0, 1, 2]),
    "seed": st.sampled_from([0, 1]),
    "devices": st.sampled_from(DEVICES),
    "later": st.sampled_from([(), ((0x1000, 16),)]),
}
CELLS = {
    "host": st.sampled_from(["a", "b"]),
    "rows": st.sampled_from(MAPS),
    "workload": st.sampled_from([Workload(), Workload(days=2), Workload(days=3)]),
    "policy": st.sampled_from(["scattered", "huge"]),
    "seed": st.sampled_from([0, 1]),
    "nodes": st.sampled_from([1, 2]),
    "wear": st.sampled_from(["used", "fresh"]),
    "info": st.sampled_from(
        [
            (),
            (ZoneFree(node=0, zone="Normal", total=(1, 2)),),
            (ZoneFree(node=1, zone="Normal", total=(1, 2)),),
        ]
    ),
    "encoding": st.sampled_from(["split", "hybrid"]),
}


def questions(kind, values):
    return st.lists(st.builds(kind, **values), min_size=2, max_size=6)


def all_of_it(item):
    """Answer a question with the question: a mistaken one then shows."""
    return {"question": repr(item)}


def answers(work, asked):
    """Return what one file of kept results gives for questions, one run each."""
    found = []
    with TemporaryDirectory() as folder:
        for item in asked:
            with KeptResults(f"{folder}/kept") as kept:
                ((_, answer),) = finished_results(work, [item], JobOptions(), kept)
                found.append(answer)
    return found


@pytest.mark.parametrize(("kind", "values"), [(Captured, HOSTS), (Cell, CELLS)])
def test_whatever_a_question_consists_of_is_varied_here(kind, values):
    assert set(values) == {one.name for one in fields(kind)}


@given(questions(Captured, HOSTS))
def test_a_host_s_answer_is_of_this_very_host_and_its_options(asked):
    assert answers(all_of_it, asked) == [all_of_it(one) for one in asked]


@given(questions(Cell, CELLS))
def test_a_simulation_s_result_is_of_these_very_arguments(asked):
    assert answers(all_of_it, asked) == [all_of_it(one) for one in asked]


@given(questions(Captured, HOSTS))
def test_a_kept_verdict_is_the_fresh_one(asked):
    assert answers(check_captured, asked) == [check_captured(one) for one in asked]


def test_a_kernel_of_which_other_data_are_known_is_another_question(monkeypatch):
    host = Captured(id="a", kernels=("6.1", "none"))
    before = host.key
    other = replace(profile_for("6.1"), behaviours=frozenset(["memblock"]))
    monkeypatch.setattr("e820pool.stress.captured.profile_for", lambda _: other)
    _known_of_all.cache_clear()
    after = host.key
    monkeypatch.undo()
    _known_of_all.cache_clear()
    assert after != before
    assert host.key == before
