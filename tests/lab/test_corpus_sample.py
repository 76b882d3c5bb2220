"""New random maps, booted: the model has never seen them."""

import os
import random
import sys
from pathlib import Path

import corpus_machine
import pytest
from corpus_format import read_cases
from corpus_replay import input_of, replay

sys.path.append(str(Path(__file__).parents[1] / "data" / "make"))
import corpus_boots  # tests/data/make, found through the line above
from corpus_cases import make_cases

# A failure names the seed; with it the same maps are made again.
SEED = int(os.environ.get("E820POOL_SEED", random.SystemRandom().getrandbits(32)))
RANDOM = {"overlap", "subpage", "ext", "several", "deposits"}
CASES_A_KERNEL = 3
# Its console names the range of the image, whose size the model has to be told.
MEASURING = "load-06"


@pytest.fixture(scope="module")
def initrd():
    return corpus_machine.initramfs()


@pytest.fixture
def booted(kernel, initrd):
    """Return a function from a case to what the kernel made of it."""
    image = kernel.read()

    def boot(case):
        case = case | {"until": "memory"}
        return corpus_machine.boot_case(case, image, initrd)[0]

    return boot


def sample(release):
    rng = random.Random(f"{SEED} {release}")  # noqa: S311  no secret
    cases = [case for _, case in make_cases(SEED)]
    cases = [case for case in cases if case["id"].partition("-")[0] in RANDOM]
    return rng.sample(cases, CASES_A_KERNEL)


def test_the_model_says_what_a_kernel_does_with_new_maps(release, kernel, booted):
    measured = {"outcome": booted(read_cases()[MEASURING])}
    known = corpus_boots.kernel_record(kernel, {MEASURING: measured})
    for case in sample(release):
        outcome = corpus_boots.with_end(booted(case), known, case)
        seen = {key: value for key, value in outcome.items() if value is not None}
        found = replay(input_of(case), case, known, seen)
        assert found == [], f"{case['id']} with E820POOL_SEED={SEED}"
