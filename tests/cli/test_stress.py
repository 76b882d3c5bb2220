"""stress and budget: the answer in every form, kept results, refusals."""

import csv
import io
import json
from xml.etree import ElementTree as ET

import pytest

from e820pool.stress.limits import LIMITS, Sample

QUICK = ("--guests", "4", "--days", "0.5", "--policy", "scattered", "--seeds", "1")
HOST = ("stress", "--ram", "8G", *QUICK)
DEPOSITS = ("--deposit", "1G+4K", "--deposit", "1025M+4K", "--deposit", "5G+1M")


def test_the_answer_is_one_table_and_a_sentence_a_policy(ok):
    done = ok(*HOST, "--policy", "arenas:2M")
    head, names, *rows = done.out.splitlines()
    assert head.startswith("4 guests of 4 processors for 0.5 days")
    assert names.split()[:4] == ["host", "policy", "seed", "memmap-cmdline"]
    assert [row.split()[1] for row in rows[:2]] == ["scattered", "arenas:2M"]
    assert rows[2].startswith("scattered on 8G (seed 0): first zero-page (128) after ")
    assert rows[3].startswith("arenas:2M on 8G (seed 0): never out of entries: at most")


def test_the_table_and_its_json_say_the_same(ok):
    done, table = ok(*HOST, "--format", "json"), ok(*HOST).out
    (one,) = done.json["results"]
    assert done.json["kind"] == "exhaustion"
    assert set(one["limits"]) == {limit.name for limit in LIMITS}
    fall = one["limits"]["zero-page"]
    assert f"{fall['call']} ({fall['created']})" in table
    assert done.json["workload"]["guests"] == 4
    assert one["samples"][-1] == list(one["end"].values())
    assert done.json["sample_fields"] == list(Sample._fields)


def test_json_says_what_fitting_costs(ok):
    (one,) = ok(*HOST, "--format", "json").json["results"]
    costs = one["budgets"]["given_up"]
    assert costs["3195"] == 0
    assert costs["128"] > costs["315"] >= 0
    assert one["budgets"]["entries"] == one["end"]["split"]


def test_seeds_are_a_band_in_the_table_and_in_json(ok):
    words = (*HOST, "--seeds", "3")
    done = ok(*words, "--format", "json").json
    (band,) = done["bands"]
    falls = [one["limits"]["zero-page"]["call"] for one in done["results"]]
    assert band["seeds"] == band["answered"] == [0, 1, 2]
    assert band["limits"]["zero-page"]["fell"] == 3
    told = band["limits"]["zero-page"]["call"]
    assert [told[name] for name in ("low", "middle", "high")] == sorted(falls)
    assert told["low"] < told["high"]
    _, _, row, sentence = ok(*words).out.splitlines()
    assert row.split()[:3] == ["8G", "scattered", "0-2"]
    assert f" {told['low']}-{told['high']} (" in row
    assert sentence.startswith(
        "scattered on 8G (seeds 0-2): first zero-page (128) after "
        f"{told['low']} to {told['high']} calls, with guest "
    )
    for call, low, middle, high in band["curve"]:
        assert call
        assert low <= middle <= high


def test_five_seeds_are_simulated_unless_told_otherwise(ok):
    words = ("--guests", "2", "--days", "0.2", "--policy", "scattered")
    done = ok("stress", "--ram", "4G", *words, "--format", "json").json
    assert [one["seed"] for one in done["results"]] == [0, 1, 2, 3, 4]


def test_csv_has_a_line_a_sample(ok):
    done = ok(*HOST, "--seeds", "2", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert {row["seed"] for row in rows} == {"0", "1"}
    assert int(rows[-1]["split"]) > 10
    calls = [int(row["call"]) for row in rows if row["seed"] == "0"]
    assert calls == sorted(calls)


def test_the_same_words_give_the_same_bytes(ok):
    assert ok(*HOST, "--format", "json").out == ok(*HOST, "--format", "json").out


def test_a_real_map_is_a_host_too(ok, machine):
    done = ok("stress", machine, *QUICK)
    assert f"scattered on {machine} (seed 0)" in done.out


def test_a_policy_that_the_host_has_no_room_for_is_told(ok):
    done = ok("stress", "--ram", "4G", "--policy", "cma:64x1G", "--days", "0.1")
    assert (
        "cma:64x1G on 4G (seeds 0-4): cannot be had: the host has no room" in done.out
    )


def test_guests_that_find_no_memory_are_no_answer(run, tmp_path):
    """A host of which hardly anything is free, which a page cache makes of any."""
    free = tmp_path / "buddyinfo"
    free.write_text("Node 0, zone   Normal  9 0 0 0 0 0 0 0 0 0 0\n")
    words = (*HOST, "--policy", "arenas:2M", "--buddyinfo", free)
    done = run(*words)
    assert done.code == 4
    _, _, *rows, first, second = done.out.splitlines()
    assert [set(row.split()[3:]) for row in rows] == [{"-"}] * 2
    assert (
        "scattered on 8G (seed 0): no answer: no guest found memory, 2 times" in first
    )
    assert second.endswith("--guests and --ram-share make guests smaller")


def test_guests_and_deposits_that_find_nothing_are_counted(run, tmp_path):
    free = tmp_path / "buddyinfo"
    free.write_text("Node 0, zone   Normal  0 0 0 0 0 0 0 0 0 0 600\n")
    words = ("--ram-share", "0.9", "--ramp", "0", "--policy", "arenas:4G")
    done = run(*HOST, *words, "--buddyinfo", free)
    first, last = done.out.splitlines()[-2:]
    assert done.code == 0
    assert "guests found no memory; " in first
    assert "arenas:4G on 8G (seed 0): no answer: none of " in last


def test_without_root_the_kinds_of_free_pages_are_assumed(run, monkeypatch):
    from e820pool.cli.commands import stress
    from e820pool.sources import buddyinfo

    told = buddyinfo.parse_free_blocks("Node 0, zone Normal 0 0 0 0 0 0 0 0 0 0 600\n")
    monkeypatch.setattr(stress, "read_free_blocks", lambda _: told)
    done = run(*HOST, "--buddyinfo", "live")
    assert done.code == 0
    assert done.err.startswith("/proc/pagetypeinfo is for root only: ")


def test_hybrid_counts_its_own_entries(ok):
    split, hybrid = (
        ok(*HOST, "--encoding", name, "--format", "json").json["results"][0]
        for name in ("split", "hybrid")
    )
    assert split["end"] == hybrid["end"]
    assert hybrid["limits"]["zero-page"] != split["limits"]["zero-page"]


class TestResultsFile:
    @pytest.fixture
    def kept(self, tmp_path):
        return tmp_path / "kept.json"

    def test_what_is_kept_is_not_run_again(self, ok, run, kept, monkeypatch):
        first = ok(*HOST, "--results", kept)
        monkeypatch.setattr("e820pool.stress.cells.simulate", None)
        again = run(*HOST, "--results", kept)
        assert (again.code, again.out) == (0, first.out)
        assert again.err == "1 of 1 are there already\n"

    def test_what_is_missing_is_added(self, ok, run, kept):
        ok(*HOST, "--results", kept)
        done = run(*HOST, "--seeds", "3", "--results", kept)
        assert done.err == "1 of 3 are there already\n"
        assert len(kept.read_text().splitlines()) == 1 + 3

    @pytest.mark.parametrize("key", ["reason", "limits", "peak"])
    def test_a_result_that_was_edited_is_refused(self, ok, run, kept, key):
        ok(*HOST, "--results", kept)
        head, line = kept.read_text().splitlines()
        row = json.loads(line)
        del row["result"][key]
        text = f"{head}\n{json.dumps(row)}\n"
        kept.write_text(text)
        done = run(*HOST, "--results", kept)
        assert done.code == 3
        assert "is not as it was written" in done.err
        assert kept.read_text() == text

    def test_other_arguments_are_other_results(self, ok, kept):
        ok(*HOST, "--results", kept)
        done = ok(*HOST, "--wear", "worn", "--results", kept)
        assert len(kept.read_text().splitlines()) == 1 + 2
        assert "scattered" in done.out

    def test_what_was_finished_stays_when_the_run_is_stopped(
        self, run, kept, monkeypatch
    ):
        from e820pool.stress import cells

        simulate = cells.simulate

        def stopped(*words, seed, **options):
            if seed == 2:
                raise KeyboardInterrupt
            return simulate(*words, seed=seed, **options)

        monkeypatch.setattr(cells, "simulate", stopped)
        done = run(*HOST, "--seeds", "4", "--results", kept)
        assert (done.code, done.out) == (130, "")
        _, *rows = map(json.loads, kept.read_text().splitlines())
        assert [row["result"]["seed"] for row in rows] == [0, 1]

    @pytest.mark.parametrize(
        "text", ["{}", "[1]", '{"kind": "x", "results": []}', "[" * 100_000]
    )
    def test_a_file_of_something_else_is_left_alone(self, refused, kept, text):
        kept.write_text(text)
        refused(3, *HOST, "--results", kept)
        assert kept.read_text() == text


@pytest.mark.extra
@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_curves_are_drawn_the_same_each_time(ok, tmp_path, suffix):
    pytest.importorskip("matplotlib", reason="pip install e820pool[plot]")
    one, two = tmp_path / f"one.{suffix}", tmp_path / f"two.{suffix}"
    for path in (one, two):
        ok(*HOST, "--plot", path)
    assert one.read_bytes() == two.read_bytes()
    assert one.stat().st_size > 5000


def words_of(path):
    """Return what an SVG says, of which the text is text."""
    root = ET.fromstring(path.read_text())  # noqa: S314  our own
    return ["".join(one.itertext()).strip() for one in root.iter() if is_text(one)]


def is_text(element):
    return element.tag.endswith("}text")


@pytest.mark.extra
class TestPlot:
    def test_a_legend_has_a_line_a_policy_whatever_the_seeds(self, ok, tmp_path):
        pytest.importorskip("matplotlib", reason="pip install e820pool[plot]")
        path = tmp_path / "one.svg"
        ok(*HOST, "--policy", "arenas:2M", "--seeds", "3", "--plot", path)
        words = words_of(path)
        assert [words.count(name) for name in ("scattered", "arenas:2M")] == [1, 1]
        title = "host 8G, median and range of 3 seeds, encoding split"
        assert f"entries of the next kernel's table: {title}" in words

    def test_hosts_are_named_where_there_is_more_than_one(self, ok, tmp_path):
        pytest.importorskip("matplotlib", reason="pip install e820pool[plot]")
        path = tmp_path / "one.svg"
        ok(*HOST, "--ram", "16G", "--plot", path)
        assert {"scattered, 8G", "scattered, 16G"} <= set(words_of(path))

    def test_what_has_no_outcome_has_a_picture_that_says_so(self, ok, tmp_path):
        pytest.importorskip("matplotlib", reason="pip install e820pool[plot]")
        path = tmp_path / "one.svg"
        ok("stress", "--ram", "4G", "--policy", "cma:64x1G", "--plot", path)
        assert "no simulation has an outcome" in words_of(path)


@pytest.mark.parametrize(
    ("code", "words", "message"),
    [
        (2, ("stress",), "either SOURCE or --ram"),
        (2, ("stress", "live", "--ram", "8G"), "either SOURCE or --ram"),
        (3, ("stress", "--ram", "1G"), "the limits are 0x100000000"),
        (3, ("stress", "--ram", "x"), "not a size"),
        (3, (*HOST, "--policy", "best"), "not one of: scattered"),
        (3, (*HOST, "--nodes", "0"), "0 nodes: the limits are 1"),
        (3, (*HOST, "--guests", "0"), "guests is 0: the limits are 1"),
        (2, (*HOST, "--seeds", "0"), "--seeds 0: the limit is 1"),
        (2, (*HOST, "--jobs", "0"), "--jobs 0: the limit is 1"),
        (2, (*HOST, "--wear", "new"), "invalid choice"),
        (3, (*HOST, "--buddyinfo", "/none"), "cannot read"),
        (3, (*HOST, "--plot", "x.txt"), "want .svg"),
    ],
)
def test_what_cannot_be_simulated_is_refused(refused, code, words, message):
    assert message in refused(code, *words)


class TestBudget:
    def test_a_line_is_a_budget_and_its_price(self, ok, machine):
        done = ok("budget", machine, *DEPOSITS)
        head, *rows = done.out.splitlines()
        assert head.split() == ["entries", "bytes", "given", "up", "what", "for"]
        assert rows[0].split()[:2] == ["12", "0"]
        assert rows[-1].endswith("the least that any choice reaches")

    def test_build_makes_the_choice_that_budget_prices(self, ok, run, machine, out):
        choices = ok("budget", machine, *DEPOSITS, "--format", "json").json["choices"]
        for at, (entries, given_up) in enumerate(choices[:-2]):
            words = ("-o", f"{out}{at}", "--max-entries", entries)
            done = run("build", machine, *DEPOSITS, *words, "--format", "json")
            assert done.code == 0, done
            assert done.json["nr_entries"] == entries
            assert sum(size for _, size in done.json["given_up"]) == given_up

    def test_csv_has_every_choice(self, ok, machine):
        as_json = ok("budget", machine, *DEPOSITS, "--format", "json").json
        as_csv = ok("budget", machine, *DEPOSITS, "--format", "csv").out
        rows = [list(map(int, line.split(","))) for line in as_csv.split()[1:]]
        assert rows == as_json["choices"]

    def test_hybrid_has_fewer_entries_to_begin_with(self, ok, machine):
        first = [
            ok(
                "budget", machine, *DEPOSITS, "--encoding", name, "--format", "json"
            ).json["choices"][0]
            for name in ("split", "hybrid")
        ]
        assert first == [[12, 0], [11, 0]]

    def test_build_tells_of_what_is_given_up(self, run, machine, out):
        done = run("build", machine, *DEPOSITS, "-o", out, "--max-entries", "10")
        assert done.code == 0
        assert "note: 1044480 bytes of RAM in 1 range are given up" in done.err


KEPT = {
    "kernel": "6.1.0",
    "ram_bytes": 512 << 20,
    "age": "used",
    "pages": 511,
    "calls": 20,
    "ended": "share",
    "free_pages": 80_000,
    "left_pages": 60_000,
    "before": {
        "buddyinfo": [
            "Node 0, zone DMA 0 0 0 0 0 0 0 0 1 1 2",
            "Node 0, zone DMA32 40 30 20 10 10 10 10 10 10 10 60",
        ],
        "pagetypeinfo": ["Node 0, zone DMA32, type Unmovable 2 1 1 1 1 1 1 1 1 1 10"],
    },
    "steps": {},
    "entries": [[call, 50 + call] for call in range(1, 21)],
}


def test_what_was_measured_is_compared_and_drawn_without_a_boot(ok, tmp_path):
    kept, picture = tmp_path / "measured.jsonl", tmp_path / "both.svg"
    kept.write_text(json.dumps(KEPT) + "\n")
    done = ok("stress", "--measured", kept, "--seeds", "3", "--plot", picture)
    head, names, *rows = done.out.splitlines()
    assert head == (
        "6.1.0, 512 MiB, used: 20 calls of 511 pages, 39.9 MiB of 312 MiB that were "
        "free (as much as asked for)"
    )
    assert names.split() == ["call", "measured", "simulated", "seeds", "error"]
    assert len(rows) == 11
    assert rows[9].split()[:2] == ["20", "70"]
    assert rows[10].startswith("within 15 %: ")
    assert "measured" in picture.read_text()
    again = ok("stress", "--measured", kept, "--seeds", "3", "--format", "json").json
    assert again["kind"] == "measured-deposits"
    assert [one["call"] for one in again["guests"][0]["tenths"]][-1] == 20


def test_each_of_several_guests_has_a_panel_and_a_policy_picks_some(ok, tmp_path):
    kept, picture = tmp_path / "measured.jsonl", tmp_path / "both.svg"
    rows = [KEPT | {"pages": pages} for pages in (511, 256, 1)]
    rows.append(KEPT | {"policy": "arenas:2M"})
    kept.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ("--measured", kept, "--seeds", "2", "--plot", picture)
    done = ok("stress", *words, "--policy", "scattered")
    assert done.out.splitlines()[-1].startswith("3 guests: within 15 % ")
    drawn = picture.read_text()
    for pages in ("511 pages", "256 pages", "1 page"):
        assert drawn.count(f"6.1.0, 512 MiB, used, {pages}<") == 1
    assert drawn.count(">measured<") == drawn.count(">simulated<") == 1


def test_a_measurement_is_asked_for_alone_and_with_a_size(refused):
    done = refused(2, "stress", "--measure", "--confirm", "table")
    assert "one of --confirm and --measure" in done
    assert "--ram SIZE" in refused(2, "stress", "--measure")
