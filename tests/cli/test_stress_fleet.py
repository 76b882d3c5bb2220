"""fleet: hosts from folders, JSON Lines and Parquet; resumable, on more cores."""

import fcntl
import gzip
import json
import os
import signal
from pathlib import Path

import printers
import pytest
from rawhandoff import ROWS, map_file

FUZZ = Path(__file__).parents[1] / "data" / "fuzz"
KERNELS = ("--kernel", "4.19,6.1")


@pytest.fixture
def lines(tmp_path):
    """Return a file of five hosts, of which one is no host and one names deposits."""
    records = [
        {"id": "a", "e820": ROWS},
        {"id": "b", "e820": ROWS, "deposits": [[0x40000, 512]]},
        {"id": "c", "e820": [[0, 1]]},
        {"id": "d", "e820": ROWS, "deposits": [[0xC0000, 1]]},
        {"e820": ROWS},
    ]
    path = tmp_path / "fleet.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    return path


def answers(done):
    return [json.loads(line) for line in done.out.splitlines()]


def test_a_host_s_memory_devices_are_those_of_its_source(run, tmp_path):
    """A log's SRAT, a map's JSON, a record: what is known counts, and is said."""
    folder = tmp_path / "maps"
    folder.mkdir()
    for name, devices in (("with", [[4 << 30, 1 << 30]]), ("without", None)):
        map_file(folder / name)
        told = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(told | {"memory_devices": devices}))
    words = ("--kernel", "6.1", "--format")
    known = [
        one["verdicts"]["6.1"]["judged_on"]["memory_devices"]
        for one in answers(run("fleet", folder, *words, "jsonl"))
    ]
    assert known == ["known", "unknown"]
    whole = run("fleet", folder, *words, "json").json
    assert whole["kernels"][0]["judged_on"]["memory_devices"] == "unknown"
    record = {"e820": ROWS, "memory_devices": [], "hotplug_regions": [[1 << 40, 4096]]}
    lines = tmp_path / "lines"
    lines.write_text(
        json.dumps(record)
        + "\n"
        + json.dumps(record | {"id": 1, "memory_devices": [3]})
        + "\n"
    )
    one, bad = answers(run("fleet", lines, *words, "jsonl"))
    assert one["verdicts"]["6.1"]["judged_on"]["memory_devices"] == "known"
    assert "memory_devices" in bad["error"]


def test_a_host_a_line_in_order(run, lines):
    done = run("fleet", lines, *KERNELS, "--format", "jsonl")
    told = answers(done)
    assert done.code == 3
    assert [one["id"] for one in told] == ["a", "b", "c", "d", "4"]
    assert told[0]["deposits"] == 16
    assert (told[1]["deposits"], told[1]["entries"]) == (512, 8)
    verdict = told[1]["verdicts"]["6.1"]
    assert (verdict["verdict"], verdict["findings"]) == ("safe", [])
    assert (verdict["judged_on"]["release"], verdict["judged_on"]["by"]) == (
        "6.1",
        "model",
    )
    assert "3 whole numbers" in told[2]["error"]
    assert "not inside RAM" in told[3]["error"]


def test_the_table_sums_up(run, lines):
    done = run("fleet", lines, *KERNELS)
    head, old, new, known, last = done.out.splitlines()
    assert known.startswith("judged on: model; no image; configuration assumed")
    assert head.split()[:3] == ["kernel", "safe", "degraded"]
    assert (old.split()[0], new.split()[:2]) == ("4.19", ["6.1", "3"])
    assert last == "hosts without a verdict: 2"


def test_json_sums_up_the_same(run, lines):
    told = run("fleet", lines, *KERNELS, "--format", "json").json
    assert told["kind"] == "fleet"
    assert [one["kernel"] for one in told["kernels"]] == ["4.19", "6.1"]
    assert told["failed"] == 2
    assert told["kernels"][1]["judged_on"]["config"] == "assumed"
    assert sum(told["kernels"][1][word] for word in ("safe", "degraded")) == 3


def test_a_folder_is_a_fleet_of_its_files(ok, tmp_path):
    folder = tmp_path / "maps"
    folder.mkdir()
    for name in ("one", "two"):
        map_file(folder / f"{name}.json")
    told = answers(ok("fleet", folder, "--kernel", "6.1", "--format", "jsonl"))
    assert [one["id"] for one in told] == ["one.json", "two.json"]


def test_hosts_draw_pages_of_their_own_and_the_same_again(ok, tmp_path):
    folder = tmp_path / "maps"
    folder.mkdir()
    map_file(folder / "a")
    alone = ok("fleet", folder, "--kernel", "6.1", "--format", "jsonl")
    assert alone.out == ok("fleet", folder, "--kernel", "6.1", "--format", "jsonl").out


@pytest.mark.extra
class TestParquet:
    RECORDS = (
        {"id": "a", "e820": [list(row) for row in ROWS], "deposits": None},
        {"id": "b", "e820": [list(row) for row in ROWS], "deposits": [[0x40000, 512]]},
    )

    @staticmethod
    def write(path, records):
        pyarrow = pytest.importorskip("pyarrow", reason="pip install e820pool[fleet]")
        parquet = pytest.importorskip("pyarrow.parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pyarrow.Table.from_pylist(list(records)), path)

    def test_a_file_says_what_json_lines_say(self, run, lines, tmp_path):
        path = tmp_path / "fleet.parquet"
        self.write(path, self.RECORDS)
        words = (*KERNELS, "--format", "jsonl")
        found = answers(run("fleet", path, *words))
        assert found == answers(run("fleet", lines, *words))[:2]

    @pytest.mark.parametrize("parts", ["{n}.parquet", "site={n}/year=1/0.parquet"])
    def test_a_data_set_is_a_folder_of_files(self, run, lines, tmp_path, parts):
        folder = tmp_path / "fleet"
        for number, record in enumerate(self.RECORDS):
            self.write(folder / parts.format(n=number), [record])
        words = (*KERNELS, "--format", "jsonl")
        found = answers(run("fleet", folder, *words))
        assert found == answers(run("fleet", lines, *words))[:2]

    def test_what_is_no_parquet_is_refused(self, refused, tmp_path):
        pytest.importorskip("pyarrow", reason="pip install e820pool[fleet]")
        path = tmp_path / "fleet.parquet"
        path.write_text("{}")
        assert "cannot read" in refused(3, "fleet", path, *KERNELS)
        assert "cannot read" in refused(3, "fleet", "/none.parquet", *KERNELS)


def test_hidden_files_of_a_folder_are_no_hosts(ok, tmp_path):
    folder = tmp_path / "maps"
    folder.mkdir()
    map_file(folder / "one.json")
    (folder / ".gitattributes").write_text("* text\n")
    told = answers(ok("fleet", folder, "--kernel", "6.1", "--format", "jsonl"))
    assert [one["id"] for one in told] == ["one.json"]


class TestKept:
    @pytest.fixture
    def kept(self, tmp_path):
        return tmp_path / "kept.jsonl"

    def test_a_stopped_run_goes_on_where_it_was(self, run, lines, kept):
        words = ("fleet", lines, *KERNELS, "--format", "jsonl")
        whole = run(*words)
        assert run(*words, "--results", kept).out == whole.out
        finished = kept.read_text()
        head, first, second, _ = finished.split("\n", 3)
        kept.write_text(f"{head}\n{first}\n{second[:20]}")
        assert run(*words, "--results", kept).out == whole.out
        assert kept.read_text() == finished

    def test_what_is_finished_is_not_judged_again(self, run, lines, kept, monkeypatch):
        words = ("fleet", lines, *KERNELS, "--results", kept)
        first = run(*words)
        monkeypatch.setattr("e820pool.stress.captured.judge_each", None)
        assert run(*words) == first

    def test_a_kept_answer_is_of_this_very_question(self, run, lines, kept):
        """Verdicts for 6.1 were given when 4.4 was asked for, and those of old maps."""
        words = ("fleet", lines, "--format", "jsonl")
        run(*words, "--kernel", "6.1", "--results", kept)
        for more in (
            ("--kernel", "4.4"),
            ("--kernel", "6.1", "--scatter", "3"),
            ("--kernel", "6.1", "--seed", "3"),
        ):
            assert run(*words, *more, "--results", kept) == run(*words, *more)
        changed = json.loads(lines.read_text().splitlines()[1])
        changed["deposits"] = [[0x40000, 16]]
        lines.write_text(json.dumps(changed) + "\n")
        words = (*words, "--kernel", "6.1")
        again = run(*words, "--results", kept)
        assert again == run(*words)
        assert answers(again)[0]["deposits"] == 16

    def test_two_runs_do_not_share_a_file(self, refused, lines, kept):
        kept.touch()
        with kept.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            message = refused(3, "fleet", lines, *KERNELS, "--results", kept)
        assert "is in use: another run keeps results there" in message

    @pytest.mark.parametrize(
        "text",
        ["hello\n", "hello", "{}", "[" * 100_000 + "\n", '{"schema": 1}', "a\nb"],
    )
    def test_a_file_of_something_else_is_refused(self, refused, lines, kept, text):
        kept.write_text(text)
        message = refused(3, "fleet", lines, *KERNELS, "--results", kept)
        assert "is not a file of kept results" in message
        assert kept.read_text() == text

    @pytest.mark.parametrize("torn", ["{", '{"key": "b", "entr'])
    def test_what_a_stopped_run_left_of_a_line_is_cut_off(self, run, lines, kept, torn):
        words = ("fleet", lines, *KERNELS, "--results", kept)
        first, whole = run(*words), kept.read_text()
        kept.write_text(whole + torn)
        assert run(*words) == first
        assert kept.read_text() == whole


@pytest.mark.parametrize("form", ["folder", "lines"])
def test_a_fleet_without_a_host_is_no_success(refused, tmp_path, form):
    source = tmp_path / "nothing"
    source.mkdir() if form == "folder" else source.touch()
    assert "has no host" in refused(3, "fleet", source, "--kernel", "6.1")


@pytest.mark.parametrize("command", ["check", "predict"])
def test_no_record_is_no_success(run, tmp_path, command):
    (tmp_path / "nothing").touch()
    done = run(command, "--jsonl", tmp_path / "nothing")
    assert (done.code, done.out) == (3, "")
    assert "no record" in done.err


def test_a_host_that_is_named_twice_is_counted_once(run, tmp_path):
    path = tmp_path / "twice.jsonl"
    record = json.dumps({"id": "a", "e820": ROWS}) + "\n"
    path.write_text(2 * record)
    done = run("fleet", path, "--kernel", "6.1", "--format", "jsonl")
    assert "the id 'a' is there twice" in answers(done)[1]["error"]


@pytest.mark.parametrize(
    ("code", "words", "message"),
    [
        (3, ("/none.jsonl",), "cannot read '/none.jsonl'"),
        (2, ("maps.jsonl", "--scatter", "-1"), "--scatter -1: the limit is 0"),
        (4, ("maps.jsonl", "--kernel", "6.1,9.9"), "'9.9'"),
        (2, ("maps.jsonl", "--jobs", "0"), "--jobs 0"),
    ],
)
def test_what_is_no_fleet_is_refused(refused, code, words, message):
    assert message in refused(code, "fleet", *words)


def test_a_line_that_is_no_json_is_a_host_without_a_verdict(run, tmp_path):
    path = tmp_path / "f.jsonl"
    path.write_bytes(b"{\n[]\n\xff\n")
    words = ("fleet", path, "--kernel", "6.1", "--format", "jsonl")
    done = run(*words)
    assert done.code == 3
    assert run(*words, "--skip-unreadable").code == 4
    assert ["no JSON" in one["error"] for one in answers(done)] == [True, False, True]


def test_why_hosts_are_not_judged_is_told_for_the_first_few(run, tmp_path):
    path = tmp_path / "fleet.jsonl"
    record = json.dumps({"e820": ROWS, "deposits": [[0xC0000, 1]]})
    path.write_text(f"{record}\n" * 5)
    done = run("fleet", path, "--kernel", "6.1")
    assert done.code == 4
    *told, rest = done.err.splitlines()
    assert [line.split(":")[0] for line in told] == [f"host {n}" for n in range(3)]
    assert rest == "and more: --format jsonl has every host"


class TestUnreadable:
    @pytest.fixture
    def maps(self, tmp_path):
        """Return a folder of ten hosts: five have maps, and five do not."""
        maps = tmp_path / "maps"
        maps.mkdir()
        for at in range(4):
            map_file(maps / f"{at}.json")
        (maps / "xen.txt").write_text(printers.xen_new(printers.ROWS))
        (maps / "meminfo").write_text("MemTotal:   16316412 kB\n")
        (maps / "empty.log").write_text("")
        (maps / "photo.png").write_bytes(bytes(range(256)) * 20)
        (maps / "boot.log").write_text("[    5.000000] usb 1-1: new device\n" * 1000)
        (maps / "cut.gz").write_bytes(gzip.compress(bytes(range(200)))[:80])
        return maps

    def test_every_file_without_a_map_is_named_with_why(self, run, maps):
        done = run("fleet", maps, "--kernel", "6.1")
        assert done.code == 3
        told = dict(line.split(": ", 1) for line in done.err.splitlines())
        assert list(told) == [
            f"host {name}"
            for name in ("boot.log", "cut.gz", "empty.log", "meminfo", "photo.png")
        ]
        assert "kernel log without the lines" in told["host boot.log"]
        assert "cut short" in told["host cut.gz"]
        assert "is empty" in told["host empty.log"]
        assert "/proc/meminfo" in told["host meminfo"]
        assert "binary data" in told["host photo.png"]
        assert done.out.endswith("hosts without a verdict: 5\n")

    @pytest.mark.parametrize("form", ["table", "json", "jsonl"])
    def test_they_are_left_out_where_that_is_asked_for(self, run, maps, form):
        words = ("fleet", maps, "--kernel", "6.1", "--format", form)
        assert run(*words).code == 3
        assert run(*words, "--skip-unreadable").code == 0

    def test_json_names_them(self, run, maps):
        told = run("fleet", maps, "--kernel", "6.1", "--format", "json").json
        assert [one["id"] for one in told["unreadable"]][:2] == ["boot.log", "cut.gz"]
        assert all(one["error"] for one in told["unreadable"])

    def test_jsonl_tells_them_from_hosts_that_are_not_judged(self, run, maps):
        done = run("fleet", maps, "--kernel", "6.1", "--format", "jsonl")
        told = {one["id"]: one.get("unreadable", False) for one in answers(done)}
        assert sum(told.values()) == 5
        assert not told["xen.txt"]


class TestNotes:
    @pytest.fixture
    def maps(self, tmp_path):
        """Return a folder with a map whose kernel saw more RAM than it has."""
        maps = tmp_path / "maps"
        maps.mkdir()
        log = printers.linux(printers.PAGES)
        log += "[    0.000000] last_pfn = 0x28c0000 max_arch_pfn = 0x400000000\n"
        (maps / "host1.txt").write_text(log)
        map_file(maps / "host2.json")
        return maps

    def test_jsonl_has_the_notes_of_each_host(self, run, maps):
        done = run("fleet", maps, "--kernel", "6.1", "--format", "jsonl")
        first, second = answers(done)
        assert "ram-missing" in [one["id"] for one in first["notes"]]
        assert second["notes"] == []

    def test_the_table_names_the_hosts_whose_map_may_not_be_whole(self, run, maps):
        done = run("fleet", maps, "--kernel", "6.1")
        assert "\nram-missing: host1.txt" in done.out

    def test_json_names_them_too(self, run, maps):
        told = run("fleet", maps, "--kernel", "6.1", "--format", "json").json
        assert told["notes"] == {"ram-missing": ["host1.txt"]}


@pytest.mark.parametrize("where", ["maps/b", "maps/tree/0/end", "maps/out/cmdline.txt"])
def test_a_pipe_in_a_fleet_is_waited_for_by_nobody(run, tmp_path, where):
    (tmp_path / "maps").mkdir()
    map_file(tmp_path / "maps" / "a.json")
    tree = tmp_path / "maps" / "tree" / "0"
    tree.mkdir(parents=True)
    for name, text in (("start", "0x0"), ("end", "0xfff"), ("type", "System RAM")):
        (tree / name).write_text(f"{text}\n")
    words = ("--deposit", "1G+4K", "-o", tmp_path / "maps" / "out")
    assert run("build", tmp_path / "maps" / "a.json", *words).code == 0
    (tmp_path / where).unlink(missing_ok=True)
    os.mkfifo(tmp_path / where)

    def waited(*_):
        pytest.fail("the pipe was waited for")

    usual, before = signal.signal(signal.SIGALRM, waited), signal.alarm(60)
    try:
        done = run("fleet", tmp_path / "maps", "--kernel", "6.1")
    finally:
        signal.alarm(before)
        signal.signal(signal.SIGALRM, usual)
    assert done.code == 3
    assert "pipe" in done.out + done.err


def test_pyarrow_s_own_errors_are_one_line(run, tmp_path):
    """Found by mutation: a page whose header is damaged."""
    pytest.importorskip("pyarrow", reason="needs pyarrow: install e820pool[fleet]")
    path = tmp_path / "fleet.parquet"
    path.write_bytes((FUZZ / "fuzz_parquet-header").read_bytes())
    done = run("fleet", path, "--kernel", "6.1")
    assert (done.code, done.out) == (3, "")
    assert done.err.count("\n") == 1
    assert "cannot read" in done.err


def test_a_host_whose_name_is_no_utf_8_has_its_verdict(run, tmp_path):
    folder = tmp_path / "maps"
    folder.mkdir()
    map_file(folder / os.fsdecode(b"h\xff.json"))
    done = run("fleet", folder, "--kernel", "6.1", "--format", "jsonl")
    assert done.code == 0
    assert json.loads(done.out)["id"] == os.fsdecode(b"h\xff.json")


def test_a_host_without_a_map_whose_name_is_no_utf_8_is_named(run, tmp_path):
    folder = tmp_path / "maps"
    folder.mkdir()
    (folder / os.fsdecode(b"h\xff.json")).write_text("no map")
    done = run("fleet", folder, "--kernel", "6.1", "--format", "json")
    assert done.code == 3
    assert done.json["unreadable"][0]["id"] == os.fsdecode(b"h\xff.json")
