"""Other people's /proc/buddyinfo, from public reports: none is refused."""

import csv
from pathlib import Path

import pytest

from e820pool.deposits import parse_size
from e820pool.sources.buddyinfo import read_free_blocks
from e820pool.stress.bands import bands_of
from e820pool.stress.cells import cells_of, run_cell
from e820pool.stress.draws import Draws
from e820pool.stress.host import HostPages, generated_map, zones_of
from e820pool.stress.workload import Workload

FOLDER = Path(__file__).parents[1] / "data" / "buddyinfo" / "public"
with (FOLDER / "INDEX.tsv").open(encoding="utf-8") as index:
    REPORTS = list(csv.DictReader(index, delimiter="\t"))
# Some guests of a little memory: what is free is what deposits come from.
WORKLOAD = Workload(guests=3, days=1, lifetime_days=0, guest_ram_share=0.01)


def test_twelve_reports_are_kept():
    names = {one["file"] for one in REPORTS}
    assert len(REPORTS) == len(names) == 12
    assert {path.stem for path in FOLDER.glob("*.txt")} == names


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: report["file"])
def test_a_public_report_is_simulated_with_its_spread(report):
    info = read_free_blocks(FOLDER / f"{report['file']}.txt")
    free = sum(zone.nr_pages for zone in info) << 12
    assert free < parse_size(report["ram"])
    host = report["ram"], generated_map(parse_size(report["ram"]), info)
    nodes = 1 + max(zone.node for zone in info)
    same = {"workload": WORKLOAD, "nodes": nodes, "info": info}
    cells = cells_of([host], ["scattered"], range(2), **same)
    (band,) = bands_of([run_cell(cell) for cell in cells])
    assert band["answered"] == [0, 1]
    assert band["calls"]["low"] > 15
    assert 12 < band["most"]["low"] <= band["most"]["high"]


@pytest.mark.parametrize("seed", range(12))
def test_a_host_that_is_full_of_free_blocks_has_room_for_them_with_every_seed(seed):
    info = read_free_blocks(FOLDER / "zswap.txt")
    memory_map = generated_map(8 << 30, info)
    zones = zones_of(memory_map, 1)
    host = HostPages(zones)
    host.fill(zones, "used", info, Draws(seed).fork(0))
    assert host.nr_free == sum(zone.nr_pages for zone in info)
