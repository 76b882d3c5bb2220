"""Several hundred boots of real kernels, replayed: specs/corpus.md."""

import sys
from pathlib import Path

import corpus_format
import pytest
from corpus_replay import input_of, replay

sys.path.append(str(Path(__file__).parents[1] / "data" / "make"))
import corpus_cases  # tests/data/make, found through the line above

CASES = corpus_format.read_cases()
KERNELS = corpus_format.read_kernels()
OUTCOMES = list(corpus_format.read_outcomes())
MAIN = ("4.19", "5.10", "6.1", "6.12", "6.18", "7.3")
MIB = 1 << 20


@pytest.fixture(scope="module")
def inputs():
    return {ident: input_of(case) for ident, case in CASES.items()}


@pytest.mark.parametrize("release", KERNELS)
def test_the_model_says_what_the_kernel_did(release, inputs):
    wrong = []
    for ident, booted, outcome in OUTCOMES:
        if booted == release:
            case, kernel = CASES[ident], KERNELS[release]
            found = replay(inputs[ident], case, kernel, outcome)
            wrong += [(ident, *item) for item in found]
    assert wrong[:5] == []


def test_each_main_kernel_booted_hundreds_of_cases():
    counts = {r: sum(booted == r for _, booted, _ in OUTCOMES) for r in KERNELS}
    assert {r: n for r, n in counts.items() if r in MAIN and n < 460} == {}
    assert {r: n for r, n in counts.items() if r not in MAIN and n < 20} == {}
    assert set(MAIN) <= set(counts)


def test_the_corpus_holds_every_way_to_end():
    ends = {(outcome["end"], outcome.get("map_source")) for _, _, outcome in OUTCOMES}
    assert {"init", "memory", "fatal"} <= {end for end, _ in ends}
    assert {"BIOS-e820", "BIOS-e801"} <= {source for _, source in ends}


def test_outcomes_name_cases_and_kernels_that_there_are():
    assert {ident for ident, _, _ in OUTCOMES} <= set(CASES)
    assert {release for _, release, _ in OUTCOMES} == set(KERNELS)


def test_the_same_seed_gives_the_same_cases():
    made = {case["id"]: case for _, case in corpus_cases.make_cases()}
    folded = {i: corpus_cases.folded_case(case) for i, case in made.items()}
    kept = {case["id"]: case for case in corpus_format.read_lines("cases-*.jsonl")}
    assert list(folded) == sorted(kept, key=list(folded).index)
    assert [i for i, case in folded.items() if case != kept[i]] == []


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_rows_survive_being_folded(case):
    rows = [tuple(row) for row in case["e820"]]
    assert corpus_format.expanded(corpus_format.folded(rows)) == rows


def test_the_files_are_small():
    sizes = {p.name: p.stat().st_size for p in corpus_format.FOLDER.iterdir()}
    assert {name: size for name, size in sizes.items() if size > MIB} == {}
    assert sum(sizes.values()) < 3 * MIB
