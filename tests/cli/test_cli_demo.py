"""demo: the whole way, for a newcomer and for a machine."""

import tempfile
from pathlib import Path

import pytest
import rawbytes


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Make the place of temporary folders one that can be looked at."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_shows_every_step_and_what_to_run_next(ok, temporary):
    done = ok("demo")
    steps = ("1. A real machine's map", "2. What the next", "3. Which", "4. The pool")
    places = [done.out.index(step) for step in steps]
    assert places == sorted(places)
    assert "before " in done.out
    assert "after " in done.out
    assert "D deposited" in done.out
    assert "147490 pages in 19 extents, equal to what was deposited." in done.out
    assert "unsafe" not in done.out
    assert done.out.endswith("  e820pool rebuild out\n")
    assert list(temporary.iterdir()) == []


def test_the_json_twin_has_the_same_story(ok, temporary):
    told = ok("demo", "--format", "json").json
    assert (told["schema"], told["kind"]) == (1, "demo")
    assert {one["verdict"] for one in told["verdicts"]} == {"safe"}
    assert told["extents"] == told["deposits"]
    assert sum(nr for _, nr in told["deposits"]) == 147490
    # RESERVED, or where a deposit holds a whole memory block the busy ACPI.
    kept = (2, 3)
    reserved = [(addr, addr + n) for addr, n, kind in told["after"] if kind in kept]
    for base, nr in told["deposits"]:
        start, end = base << 12, (base + nr) << 12
        assert any(low <= start and end <= high for low, high in reserved)
    assert len(told["before"]) < len(told["after"])
    assert list(temporary.iterdir()) == []


def test_a_step_that_comes_out_wrong_is_the_exit_status(run, monkeypatch):
    from e820pool.cli.commands import demo

    real = demo.rebuilt

    def forgetful(handoff, target):
        from dataclasses import replace

        from e820pool.deposits import DepositLedger

        return replace(real(handoff, target), ledger=DepositLedger())

    monkeypatch.setattr(demo, "rebuilt", forgetful)
    done = run("demo")
    assert done.code == 1
    assert "NOT what was deposited" in done.out


def test_the_commands_it_names_can_be_typed(ok, run, out, monkeypatch, tmp_path):
    """With the machine's own map where `live` would be."""
    page = tmp_path / "page"
    rows = [(0, 0x9F000, 1), (0x100000, 0x7FF00000, 1)]
    page.write_bytes(rawbytes.zero_page(rows))
    shown = [
        line.split()[1:]
        for line in ok("demo").out.splitlines()
        if line.startswith("  e820pool ")
    ]
    assert [words[0] for words in shown] == ["show", "build", "check", "rebuild"]
    names = {"live": str(page), "out": str(out)}
    monkeypatch.chdir(Path(out).parent)
    for words in shown:
        assert run(*(names.get(word, word) for word in words)).code == 0
