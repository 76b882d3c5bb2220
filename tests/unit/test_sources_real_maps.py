"""Every real map that was collected reads, and what is odd in it is reported."""

import csv
import hashlib
import re
from pathlib import Path

import pytest

from e820pool.errors import BadImageError
from e820pool.sources.recognise import read_map

DATA = Path(__file__).parents[1] / "data"
MAPS = DATA / "maps"
with (MAPS / "INDEX.tsv").open(encoding="utf-8", newline="") as _index:
    INDEX = list(csv.DictReader(_index, delimiter="\t"))
LOGS = [row for row in INDEX if row["kind"] == "dmesg"]

# What the index counts in another way than read_map does, and why.
#   134: only "modified" lines are in the log. The index counts its BIOS map, 0; read
#        is the modified one, and a note says so.
#   iomem/002: a non-root user's view, all zero. The index counts its lines; refused.
#   iomem/014: System RAM (kmem) inside Soft Reserved. One entry, as in the index, but
#        it is the firmware's Soft Reserved, which a driver of that kernel uses as RAM.
OTHER_COUNT = {"dmesg/134.txt": 6}
REFUSED = {"iomem/002.txt"}
DRIVER_RAM = {"iomem/014.txt"}

# Wording of the index's oddities, and the note that reports each.
REPORTED = {
    r"^type 20|types: type 20": "unknown-type",
    r"^CRLF|quoted/prefixed lines|soft breaks$|quote marks kept": "decorated",
    r"ANSI colour": "decorated",
    r"gap lines$": "gap-lines",
    r"^(extended|modified|user-defined) map": "other-blocks",
    r"header missing": "no-headline",
    r"excerpt cut before end|map cut after 8 lines": "end-unseen",
    r"ring buffer lost the start|three soft-reserved lines only": "start-cut",
    r"one e801 entry": "fallback-map",
    r"Unknown E820 type": "type-without-number",
    r"cut in PCI part": "end-unseen",
    r"nesting flattened": "nesting-lost",
    r"Soft Reserved > .*kmem": "driver-ram",
}


def named(rows):
    return [pytest.param(row, id=row["file"]) for row in rows]


def read(row, **options):
    return read_map(str(MAPS / row["file"]), **options)


def ids(found):
    return {note.id for note in found.notes}


def ram_gib(found):
    return sum(size for _, size, kind in found.rows() if kind == 1) / (1 << 30)


def oddities(row):
    return [] if row["oddities"] == "-" else row["oddities"].split("; ")


@pytest.mark.parametrize("row", named(LOGS))
def test_a_log_gives_as_many_entries_as_it_shows(row):
    found = read(row)
    assert len(found) == OTHER_COUNT.get(row["file"], int(row["entries"]))
    assert ram_gib(found) == pytest.approx(float(row["ram_gib"]), abs=0.0051)


@pytest.mark.parametrize(
    "row", named(r for r in INDEX if r["kind"] == "iomem" and r["file"] not in REFUSED)
)
def test_an_iomem_text_gives_as_many_ram_ranges_as_it_shows(row):
    found = read(row)
    if row["file"] in DRIVER_RAM:
        assert found.rows() == [(0xA90000000, 0x100000000, 0xEFFFFFFF)]
        return
    assert sum(kind == 1 for _, _, kind in found.rows()) == int(row["entries"])
    assert ram_gib(found) == pytest.approx(float(row["ram_gib"]), abs=0.0051)


def test_the_view_of_a_non_root_user_is_refused_with_the_reason():
    with pytest.raises(BadImageError, match=r"00000000-00000000.*read it as root"):
        read_map(str(MAPS / "iomem/002.txt"))


@pytest.mark.parametrize("row", named(r for r in INDEX if r["file"] not in REFUSED))
def test_what_is_odd_in_a_file_is_reported(row):
    notes = ids(read(row))
    for oddity in oddities(row):
        for wording, note in REPORTED.items():
            if re.search(wording, oddity) and not _of_another_block(row, oddity):
                assert note in notes, (oddity, notes)


def _of_another_block(row, oddity):
    # 128's modified map is not the one that is read; 134 has no other than that.
    return row["file"] in ("dmesg/128.txt", "dmesg/134.txt") and "modified" in oddity


@pytest.mark.parametrize("row", named(r for r in INDEX if r["complete"] == "no"))
def test_a_cut_file_is_reported_as_cut(row):
    assert ids(read(row)) & {"start-cut", "no-headline", "end-unseen", "no-bios-map"}


@pytest.mark.parametrize("row", named(LOGS))
def test_a_whole_log_is_not_reported_as_cut(row):
    # 036 ends with its map and blank lines: whether it is whole cannot be seen.
    if row["complete"] == "yes" and row["file"] != "dmesg/036.txt":
        assert not ids(read(row)) & {"start-cut", "end-unseen", "lines-missing"}


@pytest.mark.parametrize("row", named(LOGS))
def test_ranges_above_the_first_mib_that_are_not_whole_pages_are_counted(row):
    numbers = {"RAM": 0, "other": 0}
    for oddity in oddities(row):
        match = re.fullmatch(r"(\d+) (RAM|other) range\(s\) not page aligned", oddity)
        if match:
            numbers[match[2]] = int(match[1])
    found = read(row)
    for addr, size, kind in found.rows():
        if (addr | size) % 4096 and addr + size <= 1 << 20:
            numbers["RAM" if kind == 1 else "other"] -= 1
    told = [note.message for note in found.notes if note.id == "unaligned"]
    if row["file"] == "dmesg/134.txt":
        assert "0 RAM and 1 other" in told[0]
    elif any(numbers.values()):
        assert f"{numbers['RAM']} RAM and {numbers['other']} other" in told[0]
    else:
        assert told == []


def _other_blocks():
    for row in LOGS:
        for oddity in oddities(row):
            match = re.match(r"(extended|modified|user-defined) map (\d+)", oddity)
            if match:
                block = match[1].removesuffix("-defined")
                yield pytest.param(
                    row, block, int(match[2]), id=f"{row['file']}-{block}"
                )


@pytest.mark.parametrize(("row", "block", "count"), list(_other_blocks()))
def test_the_other_maps_of_a_log_can_be_chosen(row, block, count):
    assert len(read(row, block=block)) == count


def test_the_kernel_dialects_are_all_among_the_maps():
    assert {row["dialect"] for row in LOGS} == {
        "2.4.0-2.4.x size@start",
        "pre-3.5",
        "3.5-6.19",
        "7.0+",
    }


def test_two_kernels_of_one_board_show_one_map():
    # 104 and 106: the same machine, start - end and size @ start.
    old, older = (read_map(str(MAPS / f"dmesg/{n}.txt")) for n in ("104", "106"))
    assert old.rows()[0] == older.rows()[0] == (0, 0x9F000, 1)


def test_the_sums_in_sources_md_are_those_of_the_files():
    text = (DATA / "SOURCES.md").read_text(encoding="utf-8")
    sums = dict(re.findall(r"^\| (maps/\S+) .* ([0-9a-f]{64}) \|$", text, re.MULTILINE))
    files = {f"maps/{row['file']}": MAPS / row["file"] for row in INDEX}
    assert sums == {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in files.items()
    }
    assert len(list(MAPS.rglob("*.txt"))) == len(files)
