"""What changes on a terminal: colours and width, and what may never change."""

import io
import json
import re

import pytest
import rawbytes
from rawhandoff import ROWS, map_file, with_reserved
from terminal import on_terminal

from e820pool.cli.commands import COMMANDS
from e820pool.cli.console import Console, folded

CODES = re.compile(r"\x1b\[[0-9;]*m")
GREEN = "\x1b[32m"


@pytest.fixture
def words(machine, run, tmp_path):
    """Return commands whose result has colours."""
    handoff = tmp_path / "out"
    run("build", machine, "-o", handoff, "--deposit", "1G+2M")
    after = map_file(tmp_path / "after.json", with_reserved(ROWS, ((1 << 18, 512),)))
    return {
        "show": ("show", machine, "--format", "picture"),
        "diff": ("diff", machine, after),
        "demo": ("demo",),
        "check": ("check", handoff, "--kernel", "6.1,9.9"),
    }


@pytest.mark.parametrize("name", ["show", "diff", "demo", "check"])
def test_colours_are_all_that_a_terminal_adds(words, run, monkeypatch, name):
    shown = on_terminal(*words[name], columns=100)
    assert CODES.search(shown.text)
    monkeypatch.setenv("COLUMNS", "100")
    plain = run(*words[name])
    assert CODES.sub("", shown.text) == plain.out
    assert shown.code == plain.code


@pytest.mark.parametrize("name", ["show", "diff", "demo", "check"])
@pytest.mark.parametrize(
    "env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": None}], ids=str
)
def test_who_asks_for_no_colour_gets_none(words, name, env):
    assert "\x1b" not in on_terminal(*words[name], **env).text


def test_no_color_counts_only_when_it_says_something(words):
    assert GREEN in on_terminal(*words["show"], NO_COLOR="").text


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_what_is_said_on_the_command_line_wins(words, env):
    assert GREEN in on_terminal(*words["show"], "--color", "always", **env).text
    assert "\x1b" not in on_terminal(*words["show"], "--color", "never").text


def test_a_pipe_gets_colours_only_when_asked(run, words):
    assert "\x1b" not in run(*words["show"]).out
    assert GREEN in run(*words["show"], "--color=always").out


def test_a_file_gets_no_colours_because_of_the_terminal(words, tmp_path):
    path = tmp_path / "picture"
    shown = on_terminal(*words["show"], "-o", path)
    assert (shown.code, shown.text) == (0, "")
    assert "\x1b" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("columns", [60, 80, 140])
def test_a_picture_is_as_wide_as_the_terminal(words, columns):
    shown = CODES.sub("", on_terminal(*words["show"], columns=columns).text)
    assert max(map(len, shown.splitlines())) == columns


def test_verdicts_have_colours_of_their_own(words):
    text = on_terminal(*words["check"]).text
    assert "\x1b[32msafe\x1b[0m" in text
    assert "\x1b[35munknown\x1b[0m" in text


def test_a_legend_names_each_colour_that_is_seen(words):
    *picture, legend = on_terminal(*words["show"]).text.splitlines()
    used = set(CODES.findall("".join(picture)))
    assert used == set(CODES.findall(legend))
    for style, word in ((GREEN, "usable"), ("\x1b[33m", "reserved")):
        assert re.search(rf"{re.escape(style)}.\x1b\[0m {word}", legend)


# What would clear the screen, by C0 or by C1, and what turns a line's direction.
HOSTILE = "\x1b[2J\x9b2J\x07\u202e"


@pytest.mark.parametrize("color", ["never", "always"])
def test_no_file_moves_the_cursor(run, tmp_path, color):
    name = tmp_path / f"map{HOSTILE}.txt"
    map_file(name)
    other = map_file(tmp_path / "other.json", with_reserved(ROWS, ((1 << 18, 512),)))
    for words in (("diff", name, other), ("show", name), ("show", f"{name}x")):
        done = run(*words, "--color", color)
        for stream in (CODES.sub("", done.out), done.err):
            assert not set(stream) & set(HOSTILE[0] + HOSTILE[4] + HOSTILE[7:])


FORGED = "x\nFORGED: safe"


@pytest.fixture
def forged(machine, run, tmp_path):
    """Return commands that are given names with a line break in them, by command."""
    name = tmp_path / FORGED
    map_file(name)
    kernel = tmp_path / f"k{FORGED}"
    kernel.write_bytes(rawbytes.bzimage())
    out, keep = tmp_path / "out", ("--keep", tmp_path / f"d{FORGED}")
    run("build", machine, "-o", out, "--deposit", "1G+2M")
    hosts = tmp_path / "hosts"
    hosts.mkdir()
    map_file(hosts / FORGED)
    (hosts / f"y{FORGED}").write_text("junk")
    rows = [list(row) for row in ROWS]
    bad = [{"id": FORGED, "e820": rows}, {"id": FORGED, "e820": rows}, {"id": FORGED}]
    lines = tmp_path / "lines.jsonl"
    lines.write_text("".join(json.dumps(one) + "\n" for one in bad))
    return {
        "diff": ("diff", name, machine),
        "diff the same": ("diff", name, name),
        "build": ("build", name, "--deposit", "1G+2M", "-o", f"{out}{FORGED}"),
        "check": ("check", out, "--kernel", f"6.1{FORGED}"),
        "check another": ("check", out, "--kernel", f"no{FORGED}"),
        "check an image": ("check", out, "--kernel", kernel),
        "compare": ("compare", machine, "--deposit", "1G+2M", "--kernel", kernel),
        "predict": ("predict", out, "--kernel", kernel),
        "report": ("report", out, "--format", "mail", "--title", FORGED),
        "a folder of hosts": ("fleet", hosts, "--kernel", "6.1"),
        "lines of hosts": ("fleet", lines, "--kernel", "6.1"),
        "dry run": ("boot", out, "--kernel", kernel, "--dry-run", *keep),
    }


NAMED = (
    *("diff", "diff the same", "build", "check", "check another", "check an image"),
    *("compare", "predict", "report", "a folder of hosts", "lines of hosts", "dry run"),
)


@pytest.mark.parametrize("named", NAMED)
def test_no_name_begins_a_line_of_its_own(run, forged, named):
    done = run(*forged[named])
    assert done.code in (0, 1, 3, 4), done
    lines = (done.out + done.err).splitlines()
    assert [line for line in lines if line.startswith("FORGED")] == []


def test_a_record_s_name_reaches_no_terminal_as_it_is(run, tmp_path):
    lines = tmp_path / "lines"
    lines.write_text(json.dumps({"id": HOSTILE, "kernel": HOSTILE, "e820": []}) + "\n")
    for command in ("check", "predict"):
        done = run(command, "--jsonl", lines)
        assert json.loads(done.out)["id"] == HOSTILE
        assert "\x1b" not in done.out + done.err


# What people copy stays in one piece.
COPIED = re.compile(r"^ *(?:e820pool |next: )|[{/]")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_has_room_in_sixty_columns(run, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "60")
    text = run(*([command] if command else []), "--help").out
    wide = [line for line in text.splitlines() if len(line) > 60]
    assert [line for line in wide if not COPIED.search(line)] == []


@pytest.mark.parametrize("columns", [60, 80])
def test_results_for_people_have_room_in_a_narrow_terminal(
    words, run, monkeypatch, columns
):
    monkeypatch.setenv("COLUMNS", str(columns))
    _, machine, after = words["diff"]
    _, handoff, *_ = words["check"]
    deposits = (machine, "--deposit", "1G+2M", "--deposit", "2G+4K")
    cells = ("--policy", "top-down", "--guests", "2", "--days", "0.5")
    asked = (
        *(words[name] for name in ("check", "demo", "show", "diff")),
        ("check", handoff, "--kernel", "all"),
        ("predict", handoff),
        ("rebuild", handoff),
        ("budget", *deposits),
        ("compare", *deposits, "--kernel", "3.10,5.10,6.1,6.12,6.18,7.3"),
        ("stress", "--ram", "16G", *cells),
        ("fleet", after.parent, "--kernel", "6.1,6.12"),
        ("kernels", "list"),
    )
    for command in asked:
        shown = run(*command)
        wide = [line for line in shown.out.splitlines() if len(line) > columns]
        assert [line for line in wide if not COPIED.search(line)] == [], command
    assert "kaslr: 4.4 to 7.3" in shown.out


@pytest.mark.parametrize("command", ["predict", "check"])
def test_a_line_of_the_bulk_form_is_one_line_however_narrow(
    run, tmp_path, monkeypatch, command
):
    monkeypatch.setenv("COLUMNS", "40")
    record = {"id": "a" * 30, "kernel": "6.1", "e820": [[0, 0x9F000, 1]]}
    bad = {"id": "b", "kernel": "of no release that is known"}
    lines = tmp_path / "lines"
    lines.write_text(f"{json.dumps(record)}\n{json.dumps(bad)}\n")
    shown = run(command, "--jsonl", lines).out.splitlines()
    assert [json.loads(line)["id"] for line in shown] == ["a" * 30, "b"]


def test_what_people_copy_stays_in_one_line():
    words = "load   unshare -m sh -c 'mount --bind \"$0\" /proc/iomem' and so on " * 3
    for line in (
        words,
        f"next: {words}",
        "a sentence with an option --kernel 6.1 " * 4,
    ):
        assert folded(line, 40) == line


def test_sentences_in_a_pipe_stay_in_one_line(words, run, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    lines = run(*words["check"]).out.splitlines()
    assert any(line.startswith("judged on") and len(line) > 80 for line in lines)


def test_a_long_sentence_is_broken_between_words_and_a_row_is_not():
    sentence = "     " + "a deposit lies in " * 10
    lines = folded(sentence.rstrip(), 40).split("\n")
    assert len(lines) > 3
    assert all(len(line) <= 40 and line.startswith("     ") for line in lines)
    assert " ".join(line.strip() for line in lines) == sentence.strip()
    row = "0x1000  " * 12
    assert folded(row, 40) == row


@pytest.mark.parametrize("painted", [False, True])
def test_no_result_has_a_control_character(painted):
    """All text goes out by one place, whatever has made it."""
    out = io.StringIO()
    console = Console(out=out, color="always" if painted else "never")
    console.result(f"a{HOSTILE}b")
    console.line(f"c{HOSTILE}d")
    assert not set(out.getvalue()) & {"\x1b", "\x9b", "\x07", "\u202e"}
