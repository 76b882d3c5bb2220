"""The tables of specs/rivals.md are what the model says today."""

import re
from pathlib import Path

import pytest
from labbench import MIB, ROWS, deposits

from e820pool.deposits import DepositLedger
from e820pool.handoff.encodings import ENCODINGS
from e820pool.kernel.profiles import profile_for
from e820pool.memory_map import MemoryMap
from e820pool.pool.designs import contradiction, design_cell
from e820pool.report.map_table import human_size
from e820pool.stress.host import generated_map
from e820pool.stress.simulate import simulate
from e820pool.stress.workload import Workload

SPEC = (Path(__file__).parents[2] / "specs" / "rivals.md").read_text()
MACHINE = MemoryMap.of(ROWS)
LEDGER = DepositLedger.of_ranges(deposits(20))
RELEASES = ("3.10", "4.19", "5.10", "6.1", "6.12", "6.18", "7.3")


def table_after(heading):
    """Return {encoding: cells} of the first table whose header is in a section."""
    section = SPEC.split(f"\n## {heading}")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\S+)` \|(.*)\|$", section, re.MULTILINE)
    return {name: [one.strip() for one in rest.split("|")] for name, rest in rows}


VERDICTS = table_after("What comes of it")
COSTS = table_after("What it costs")


@pytest.fixture(scope="module")
def cells_of():
    made = {}

    def get(name):
        if name in {"series-v2", "kho", "kho-v4"}:
            pytest.importorskip("libfdt", reason="pip install pylibfdt")
        if name not in made:
            made[name] = [
                design_cell(MACHINE, LEDGER, name, profile_for(release))
                for release in RELEASES
            ]
        return made[name]

    return get


def test_every_encoding_is_in_every_table():
    assert set(VERDICTS) == set(COSTS) == set(ENCODINGS)
    head = "| encoding | " + " | ".join(RELEASES) + " |"
    assert head in SPEC


@pytest.mark.parametrize("name", ENCODINGS)
def test_the_verdicts_are_the_models(name, cells_of):
    told = [one.partition(",")[0] for one in VERDICTS[name]]
    assert told == [cell.verdict.verdict for cell in cells_of(name)]


@pytest.mark.parametrize("name", ENCODINGS)
def test_what_was_measured_does_not_contradict_the_model(name, cells_of):
    from e820pool.extents import ExtentSet
    from e820pool.kernel.view import KernelView

    measured = 0
    for told, cell in zip(VERDICTS[name], cells_of(name), strict=True):
        _, comma, pages = told.partition(", ")
        if comma:
            measured += 1
            start = next(iter(LEDGER)).start_pfn
            touched = ExtentSet([(start, start + int(pages))] if int(pages) else [])
            seen = KernelView(kernel="x", engine="machine", touched_deposits=touched)
            assert contradiction(cell, seen) == ""
    assert measured == 5


def share(answers):
    known = [answer for answer in answers if answer is not None]
    return f"{sum(known)} of {len(known)}"


@pytest.mark.parametrize("name", ENCODINGS)
def test_the_costs_are_the_models(name, cells_of):
    cells = cells_of(name)
    assert COSTS[name] == [
        str(max(one.nr_entries for one in cells)),
        str(max(one.nr_words_bytes for one in cells)),
        human_size(max(one.wasted_bytes for one in cells)),
        share(one.is_rebuildable for one in cells),
        share(one.survives["kexec-load"] for one in cells),
        share(one.survives["kexec-file"] for one in cells),
    ]


SET_ASIDE = {
    line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]]
    for line in SPEC.split("| set aside |")[1].split("\n\n")[0].splitlines()[2:]
}
GUESTS = (10, 25, 50)


@pytest.mark.parametrize(("at", "guests"), list(enumerate(GUESTS)))
def test_what_a_region_set_aside_wastes_is_what_the_simulation_says(at, guests):
    """The larger numbers of guests cost seconds each and are left to the command."""
    host = generated_map(256 << 30)
    for size in ("512M", "1G", "2G"):
        outcome = simulate(host, Workload(guests=guests), f"cma:1x{size}")
        peak = max(one.deposited_pages for one in outcome.samples)
        told = SET_ASIDE[size[:-1] + (" MiB" if size[-1] == "M" else " GiB")][at]
        if outcome.failed_calls:
            assert told.startswith(f"{outcome.failed_calls} of ")
        else:
            wasted = (outcome.samples[-1].reserved_pages - peak) * 4 / 1024
            assert told == f"{wasted:.0f} MiB"
            assert SET_ASIDE["needed at the peak"][at].split()[0] == f"{peak / 256:.0f}"


def test_how_long_a_host_would_wait_is_the_mean_of_the_longest_lifetime():
    """Of n exponential lifetimes of the workload's own mean."""
    from e820pool.stress.workload import Workload

    section = SPEC.split("## Refuse the kexec")[1].split("\n## ")[0]
    guests, days = (
        [part.strip() for part in line.split("|")[2:-1]]
        for line in section.splitlines()
        if line.startswith(("| guests on", "| refused:"))
    )
    mean = Workload().lifetime_days
    for count, told in zip(guests, days, strict=True):
        expected = mean * sum(1 / n for n in range(1, int(count) + 1))
        assert told == f"{expected:.1f}"


@pytest.mark.parametrize("release", ["5.10", "6.1", "7.3"])
def test_hybrid_differs_above_4_gib(release):
    high, size = 4 << 30, 128 * MIB
    machine = MemoryMap.of((*ROWS, (high, size, 1)))
    first = 120 * MIB
    moved = [
        (high + 32 * MIB + (start - first) // 2, end - start)
        for start, end in deposits(20)
    ]
    moved = [(start & ~4095, (start & ~4095) + size) for start, size in moved]
    ledger = DepositLedger.of_ranges(moved)
    cells = {
        name: design_cell(machine, ledger, name, profile_for(release))
        for name in ("hybrid", "guarded")
    }
    assert [cells[n].verdict.verdict for n in cells] == ["degraded", "safe"]
    assert [cells[n].is_rebuildable for n in cells] == [False, True]
    assert [cells[n].nr_entries for n in cells] == [24, 44]
