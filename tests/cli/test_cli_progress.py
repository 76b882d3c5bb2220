"""Progress: on a terminal, of what takes long, and never in what others read."""

import json
import math
import re
import subprocess

import pytest
from rawhandoff import map_file
from terminal import E820POOL, EAGER, on_terminal

from e820pool.cli.console import Console
from e820pool.cli.progress import Progress, seconds_left

CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
CURSOR = "\x1b[?25l"
RECORD = {"id": "x", "kernel": "6.1", "e820": [[0, 0x9F000, 1], [1 << 20, 1 << 30, 1]]}
# A second of work, about.
STRESS = ("stress", "--ram", "64G", "--guests", "24", "--days", "40",
    "--policy", "scattered", "--policy", "top-down", "--seeds", "1")  # fmt: skip


@pytest.fixture
def records(tmp_path):
    """Return a file of so many records that the bulk form takes some time."""
    path = tmp_path / "records"
    path.write_text((json.dumps(RECORD) + "\n") * 3_000, encoding="utf-8")
    return path


def test_the_rest_takes_as_long_as_what_is_done():
    assert seconds_left(2, 6, at=10, now=10) == 20
    assert seconds_left(2, 6, at=10, now=13) == 17
    assert seconds_left(2, 6, at=10, now=99) == 0
    assert seconds_left(0, 6, at=0, now=13) == math.inf
    assert seconds_left(5, None, at=10, now=10) == math.inf


def test_a_long_command_says_how_far_it_is_and_how_long_the_rest_takes():
    shown = on_terminal(*STRESS, program=EAGER)
    assert shown.code == 0
    assert re.search(r"simulating .* [01]/2", shown.text)
    assert re.search(r"\d+ s, \d+ s left", shown.text)
    # Room for the ^C of a terminal, behind which the line must not wrap.
    drawn = [CODES.sub("", part) for part in re.split(r"[\r\n]", shown.text)]
    assert max(len(part) for part in drawn if "simulating" in part) <= 77
    # The cursor comes back, and the line is gone before the result.
    assert shown.text.rindex("\x1b[?25h") < shown.text.rindex("scattered")


def test_a_pipe_gets_nothing_of_it():
    done = subprocess.run(
        [*E820POOL, *STRESS], capture_output=True, text=True, check=True
    )
    assert (done.stderr, "\x1b" in done.stdout) == ("", False)


def test_no_color_leaves_the_line_and_takes_the_colours():
    text = on_terminal(*STRESS, NO_COLOR="1", program=EAGER).text
    assert CURSOR in text
    assert not re.search(r"\x1b\[[0-9;]*m", text)


@pytest.mark.parametrize("command", ["predict", "check"])
def test_a_stream_of_records_shows_how_much_is_read(command, records, tmp_path):
    with (tmp_path / "answers").open("wb") as answers:
        shown = on_terminal(
            command, "--jsonl", records, piped_out=answers, program=EAGER
        )
    assert shown.code == 0
    assert re.search(r"reading records .* \d+ %.* left", shown.text)
    lines = (tmp_path / "answers").read_bytes().splitlines()
    assert len(lines) == 3_000
    assert all(json.loads(line)["id"] == "x" for line in lines[::999])


def test_answers_that_scroll_by_are_progress_enough(records):
    shown = on_terminal("predict", "--jsonl", records)
    assert (shown.code, "\x1b" in shown.text) == (0, False)
    assert shown.text.count("\n") == 3_000


def test_a_quick_command_draws_nothing(machine):
    assert "\x1b" not in on_terminal("show", machine).text


def test_a_fleet_counts_its_hosts(tmp_path):
    maps = tmp_path / "maps"
    maps.mkdir()
    for at in range(12):
        map_file(maps / f"{at}.json")
    shown = on_terminal("fleet", maps, columns=100, program=EAGER)
    assert shown.code == 0
    assert re.search(r"judging hosts .* \d+/12", shown.text)


class Screen:
    """A terminal that keeps what it gets."""

    encoding = "utf-8"

    def __init__(self):
        self.text = ""

    def isatty(self):
        return True

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_notes_stand_above_the_line_and_nothing_is_left_of_it(monkeypatch):
    monkeypatch.setattr("e820pool.cli.progress._DELAY_SECONDS", 0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    console = Console(out=Screen(), err=Screen())
    with Progress(console, "working [on it]", 2) as progress:
        progress._timer.join()
        console.note("a remark [with brackets]")
        progress.step()
    assert "working [on it]" in console.err.text
    assert "a remark [with brackets]\n" in console.err.text
    assert console.above is None
    console.note("afterwards")
    assert console.err.text.endswith("\x1b[2Kafterwards\n")


def test_an_error_takes_the_line_away_too(monkeypatch):
    monkeypatch.setattr("e820pool.cli.progress._DELAY_SECONDS", 0)
    monkeypatch.setenv("TERM", "xterm")
    console = Console(out=Screen(), err=Screen())

    def fail():
        with Progress(console, "working") as progress:
            progress._timer.join()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert "\x1b[?25h" in console.err.text
    assert console.above is None


@pytest.mark.parametrize(
    ("how", "term"),
    [({}, "dumb"), ({"quiet": True}, "xterm"), ({}, None)],
    ids=["dumb", "quiet", "no TERM"],
)
def test_nothing_is_drawn_for_those_who_cannot_or_will_not_see_it(
    monkeypatch, how, term
):
    monkeypatch.delenv("TERM", raising=False)
    if term:
        monkeypatch.setenv("TERM", term)
    console = Console(out=Screen(), err=Screen(), **how)
    with Progress(console, "working") as progress:
        assert progress._timer is None
    assert console.err.text == ""
