"""Real kernels just above the limits that the model has for them."""

import json

import pytest

from e820pool.cli import main


@pytest.mark.parametrize("limit", ["table", "memblock"])
def test_a_kernel_has_the_limit_that_its_model_has(capsys, kernel, limit):
    words = ("--kernel", kernel.version, "--no-pressure", "--deadline", "600")
    code = main(["stress", "--confirm", limit, *words, "--format", "json"])
    told = json.loads(capsys.readouterr().out)
    assert [boot["where"] for boot in told["boots"]] == ["below", "at", "above"]
    assert [boot["error"] for boot in told["boots"]] == [""] * 3
    assert [bool(boot["machine"]) for boot in told["boots"]] == [False, False, True]
    assert code == 0, told


def test_a_kernel_survives_a_few_shapes_of_deposits(capsys, kernel):
    words = ("--kernel", kernel.version, "--no-pressure", "--deadline", "600")
    code = main(["stress", "--search", "2", *words])
    assert code == 0, capsys.readouterr().out
