"""Real kernels just below, at and just above the limits that the model has for them."""

import json

import pytest

from e820pool.cli import main
from e820pool.stress.confirm import OBSERVABLE

# Less than a minute on two processors; the others are slow together, not each.
SMALL = [
    ("trampoline", "5.10"),
    ("trampoline", "6.1"),
    ("trampoline", "newest"),
    ("table", "6.1"),
]
RELEASES = ("5.10", "6.1", "6.12", "6.18", "newest")
OTHERS = [
    (limit, release)
    for limit in OBSERVABLE
    for release in RELEASES
    if (limit, release) not in SMALL
]
PLACES = (["below", "at", "above"], ["no limit"])


def confirmed(capsys, limit, version):
    # A kernel that is silent or hangs is waited for to the end.
    seconds = "100" if OBSERVABLE[limit].silent else "600"
    seconds = "300" if OBSERVABLE[limit].hangs_after else seconds
    words = ("--kernel", version, "--no-pressure", "--jobs", "2", "--deadline", seconds)
    code = main(["stress", "--confirm", limit, *words, "--format", "json"])
    told = json.loads(capsys.readouterr().out)
    assert [boot["where"] for boot in told["boots"]] in PLACES
    assert [boot["error"] for boot in told["boots"]] == [""] * len(told["boots"])
    exceeded = [bool(boot["machine"]) for boot in told["boots"]]
    assert code == 0, told
    return exceeded


@pytest.mark.parametrize(("limit", "on"), SMALL)
def test_a_kernel_has_the_limit_that_its_model_has(capsys, image_of, limit, on):
    found = confirmed(capsys, limit, image_of(on).version)
    assert found == [False, False, True]


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "on"), OTHERS)
def test_a_kernel_has_every_limit_that_its_model_has(capsys, image_of, limit, on):
    found = confirmed(capsys, limit, image_of(on).version)
    lost = OBSERVABLE[limit].behaviour != "" and len(found) > 1
    assert found == [False] * (len(found) - 1) + [lost]


@pytest.mark.slow
def test_a_kernel_survives_a_few_shapes_of_deposits(capsys, kernel):
    words = ("--kernel", kernel.version, "--no-pressure", "--deadline", "600")
    code = main(["stress", "--search", "2", *words])
    assert code == 0, capsys.readouterr().out
