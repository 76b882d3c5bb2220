"""stress --confirm and --search, with the model in the machine's place."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import rawbytes

from e820pool.errors import LabError
from e820pool.kernel.early_boot import predict
from e820pool.kernel.profiles import profile_for
from e820pool.lab.several import KernelFile

PROFILE = profile_for("6.1")


@pytest.fixture
def machine(monkeypatch):
    """Return a namespace whose `boot` says what a machine makes of a handoff."""
    lab = SimpleNamespace(boot=lambda handoff: predict(handoff, PROFILE), booted=[])

    def run_boots(handoff, kernels, *_):
        lab.booted.append(handoff)
        for kernel in kernels:
            try:
                record = SimpleNamespace(handoff=handoff, view=lab.boot(handoff))
            except LabError as exc:
                yield SimpleNamespace(kernel=kernel, record=None, failure=exc)
            else:
                yield SimpleNamespace(kernel=kernel, record=record, failure=None)

    kernel = KernelFile(name="6.1", image=rawbytes.bzimage())
    for module in ("confirm", "search"):
        monkeypatch.setattr(f"e820pool.cli.{module}.run_boots", run_boots)
        monkeypatch.setattr(f"e820pool.cli.{module}.lab_kernels", lambda _: [kernel])
        monkeypatch.setattr(f"e820pool.cli.{module}.profile_of", lambda _: PROFILE)
    return lab


def rows(done):
    return [line.split() for line in done.out.splitlines()[1:]]


def test_a_machine_that_does_what_the_model_says_confirms_it(ok, machine):
    found = rows(ok("stress", "--confirm", "all"))
    assert [row[1] for row in found] == ["zero-page"] * 3 + ["table"] * 3 + [
        "memblock"
    ] * 3
    assert all(row[-1] == "yes" for row in found)
    assert found[5][2:6] == ["above", "3196", "dropped-entry", "dropped-entry"]
    assert len(machine.booted) == 9


def test_a_machine_that_differs_is_an_error_of_the_model(run, machine):
    machine.boot = lambda handoff: replace(predict(handoff, PROFILE), memory=())
    done = run("stress", "--confirm", "zero-page")
    assert done.code == 1
    assert all(row[-1] == "NO" for row in rows(done))


def test_a_lost_machine_is_no_verdict(run, machine):
    def lost(_):
        raise LabError("phase kernel, no end")

    machine.boot = lost
    done = run("stress", "--confirm", "table", "--format", "json")
    assert done.code == 4
    assert done.json["kind"] == "confirmed-limits"
    assert {one["agree"] for one in done.json["boots"]} == {None}
    assert "VM lost: phase kernel" in done.json["boots"][0]["error"]


def test_a_limit_that_nobody_knows_has_no_verdict(run, machine):
    done = run("stress", "--confirm", "sky")
    assert done.code == 4
    assert "limit 'sky' is not one of: zero-page, table, memblock" in done.out
    assert machine.booted == []


def test_shapes_that_are_survived_are_counted(ok, machine):
    assert ok("stress", "--search", "5").out == "5 shapes booted, 0 not survived\n"
    assert len(machine.booted) == 5


def test_a_shape_that_is_not_survived_is_made_small(run, machine):
    def boot(handoff):
        view = predict(handoff, PROFILE)
        if len(handoff.ledger) < 10:
            return view
        return replace(view, fatal="a panic that no model knows")

    machine.boot = boot
    done = run("stress", "--search", "4", "--format", "json")
    assert done.code == 1
    failed = [one for one in done.json["shapes"] if one["failure"]]
    assert failed
    for one in failed:
        assert one["nr_deposits"] >= 10
        assert len(one["reproducer"]) == 10
        assert "boot-fails" in one["failure"]


def test_a_reproducer_is_words_for_build(run, machine):
    machine.boot = lambda handoff: replace(predict(handoff, PROFILE), fatal="no")
    done = run("stress", "--search", "1")
    first, last = done.out.splitlines()
    assert first.startswith("6.1: boot-fails")
    assert first.count("--deposit 0x") == 1
    assert last == "1 shapes booted, 1 not survived"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--confirm", "all", "--ram", "8G"), "leave SOURCE and --ram out"),
        (("--search", "1", "live"), "leave SOURCE and --ram out"),
        (("--confirm", "all", "--search", "1"), "not both"),
    ],
)
def test_what_does_not_go_together_is_refused(refused, words, message):
    assert message in refused(2, "stress", *words)


def test_csv_of_boots_is_refused(run):
    done = run("stress", "--confirm", "all", "--format", "csv")
    assert done.code == 2
