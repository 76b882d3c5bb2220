"""stress --confirm and --search, with the model in the machine's place."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import rawbytes

from e820pool.compat import judge_boot
from e820pool.errors import LabError
from e820pool.extents import Span
from e820pool.findings import Finding
from e820pool.kernel.early_boot import predict
from e820pool.kernel.profiles import profile_for
from e820pool.lab.machine import LostVmError
from e820pool.loading.kernel_file import KernelFile
from e820pool.stress.confirm import OBSERVABLE

PROFILE = profile_for("6.1")
NEWER = profile_for("7.3")


@pytest.fixture
def machine(monkeypatch):
    """Return a namespace whose `boot` says what a machine makes of a handoff."""
    lab = SimpleNamespace(boot=lambda handoff: predict(handoff, PROFILE), booted=[])
    run = SimpleNamespace(seconds={"kernel": 3.21})

    def run_pairs(pairs, folders, *_):
        for (handoff, kernel), _ in zip(pairs, folders, strict=True):
            lab.booted.append(handoff)
            try:
                view = lab.boot(handoff)
            except LabError as exc:
                yield SimpleNamespace(kernel=kernel, record=None, failure=exc)
            else:
                record = SimpleNamespace(handoff=handoff, view=view, run=run)
                yield SimpleNamespace(kernel=kernel, record=record, failure=None)

    def run_boots(handoff, kernels, *_):
        return run_pairs([(handoff, kernel) for kernel in kernels], kernels)

    kernel = KernelFile(name="6.1", image=rawbytes.bzimage())
    monkeypatch.setattr("e820pool.cli.commands.stress.run_pairs", run_pairs)
    monkeypatch.setattr("e820pool.cli.commands.stress.run_boots", run_boots)
    monkeypatch.setattr(
        "e820pool.cli.commands.stress.binder_of", lambda *_, **__: lambda one: one
    )
    monkeypatch.setattr("e820pool.cli.commands.stress.lab_kernels", lambda _: [kernel])
    # A crash is no boot: tests/lab/test_crash.py has real ones.
    monkeypatch.setattr("e820pool.experiments.limit_boots._crashed_row", crashed_row)
    place = "e820pool.experiments.limit_boots.profile_of"
    monkeypatch.setattr(place, lambda _: PROFILE)
    return lab


def crashed_row(_kernel, _case, row, _options):
    said = {"model": [], "machine": [], "differs": [], "seconds": 0.0, "error": ""}
    return row | said | {"agree": True}


def rows(done):
    return [line.split() for line in done.out.splitlines()[1:]]


def test_a_machine_that_does_what_the_model_says_confirms_it(ok, machine):
    found = rows(ok("stress", "--confirm", "zero-page,table,memblock,trampoline"))
    names = ["zero-page", "table", "memblock", "trampoline"]
    assert [row[1] for row in found] == [name for name in names for _ in range(3)]
    assert all(row[-1] == "yes" for row in found)
    assert found[5][2:7] == ["above", "3196", "entries", *["dropped-entry"] * 2]
    assert found[5][7:9] == ["3.2", "s"]
    assert len(machine.booted) == 12


@pytest.mark.usefixtures("machine")
def test_all_limits_are_confirmed_by_one_word(ok, monkeypatch):
    monkeypatch.setattr(
        "e820pool.experiments.limit_boots.judge_boot", judged_as_touched
    )
    done = ok("stress", "--confirm", "all", "--format", "json")
    assert {row["limit"] for row in done.json["boots"]} == set(OBSERVABLE)
    assert all(row["agree"] for row in done.json["boots"])


# A view of the model says of no page that it was touched.
def judged_as_touched(record, profile):
    found = judge_boot(record, profile)
    ids = {"memmap-limit", "touched-by-decompressor"}
    if not any(one.id in ids for one in found.model.findings):
        return found
    touched = Finding(id="touched", level="unsafe", message="a page was read")
    findings = (*found.machine.findings, touched)
    return replace(found, machine=replace(found.machine, findings=findings))


def test_a_machine_that_differs_is_an_error_of_the_model(run, machine):
    machine.boot = lambda handoff: replace(
        predict(handoff, PROFILE), memory=(Span(0, 1),)
    )
    done = run("stress", "--confirm", "zero-page")
    assert done.code == 1
    assert all(row[-2:] == ["NO", "memory[0]"] for row in rows(done))


def test_a_lost_machine_is_no_verdict(run, machine):
    def lost(_):
        raise LabError("phase kernel, no end")

    machine.boot = lost
    done = run("stress", "--confirm", "table", "--format", "json")
    assert done.code == 4
    assert done.json["kind"] == "confirmed-limits"
    assert {one["agree"] for one in done.json["boots"]} == {None}
    assert "VM lost: phase kernel" in done.json["boots"][0]["error"]


def test_a_kernel_that_dies_before_it_has_a_console_is_not_heard_of(run, machine):
    def boot(handoff):
        view = predict(handoff, PROFILE)
        if view.fatal:
            raise LostVmError("VM lost: no end after 60 s", phase="kernel")
        return view

    machine.boot = boot
    done = run("stress", "--confirm", "ext-node", "--format", "json")
    assert [one["machine"] for one in done.json["boots"]] == [[], [], ["silent"]]
    assert done.code == 0


def test_silence_below_a_limit_is_no_verdict(run, machine):
    def boot(_):
        raise LostVmError("VM lost: no end after 60 s", phase="kernel")

    machine.boot = boot
    done = run("stress", "--confirm", "ext-node", "--format", "json")
    assert done.code == 4
    assert [one["agree"] for one in done.json["boots"]] == [None, None, True]


# A console up to the line after which the machine of the fixture hangs.
def hangs_after(last_line):
    def boot(handoff):
        view = predict(handoff, NEWER)
        if view.fatal:
            raise LostVmError(
                "VM lost: no end after 60 s",
                phase="kernel",
                console=b"[0.1] devtmpfs: initialized\r\n" + last_line + b"\r\n",
            )
        return view

    return boot


@pytest.mark.parametrize("limit", ["memblock", "freed-array"])
def test_a_kernel_that_hangs_where_it_was_said_to_confirms_it(
    run, machine, monkeypatch, limit
):
    monkeypatch.setattr("e820pool.experiments.limit_boots.profile_of", lambda _: NEWER)
    machine.boot = hangs_after(b"[    0.66] x86/mm: Memory block size: 128MB")
    done = run("stress", "--confirm", limit, "--format", "json")
    assert [one["machine"] for one in done.json["boots"]] == [[], [], ["hung"]]
    assert "boot-fails" in done.json["boots"][2]["model"]
    assert done.code == 0


def test_a_kernel_that_hangs_elsewhere_is_no_verdict(run, machine, monkeypatch):
    monkeypatch.setattr("e820pool.experiments.limit_boots.profile_of", lambda _: NEWER)
    for last in (b"", b"[    1.2] clocksource: tsc"):
        machine.boot = hangs_after(last)
        done = run("stress", "--confirm", "freed-array", "--format", "json")
        assert [one["agree"] for one in done.json["boots"]] == [True, True, None]
        assert done.code == 4


def test_a_limit_that_nobody_knows_is_refused(refused, machine):
    message = refused(3, "stress", "--confirm", "sky")
    assert "limit 'sky' is not one of: zero-page, table, memblock" in message
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
