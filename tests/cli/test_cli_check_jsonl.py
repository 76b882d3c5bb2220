"""check --jsonl: files, standard input, and the status of a whole stream."""

import io
import json

import pytest
from rawhandoff import GIB, ROWS, RawHandoff, with_reserved

PAGES = [[0x40000, 2]]
SAFE = {"id": 1, "kernel": "6.1", "e820": with_reserved(ROWS, PAGES), "deposits": PAGES}
UNSAFE = SAFE | {"id": 2, "e820": ROWS}
UNKNOWN = SAFE | {"id": 3, "kernel": "9.9"}


@pytest.fixture
def judge(run, tmp_path):
    """Return a function that checks records and returns status and answers."""

    def call(*records):
        path = tmp_path / "records.jsonl"
        lines = [r if isinstance(r, str) else json.dumps(r) for r in records]
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        done = run("check", "--jsonl", path)
        assert done.err == ""
        return done.code, [json.loads(line) for line in done.out.splitlines()]

    return call


@pytest.mark.parametrize(
    ("records", "code"),
    [
        ((SAFE,), 0),
        ((SAFE, UNSAFE), 1),
        ((UNKNOWN, UNSAFE, SAFE), 1),
        ((SAFE, UNKNOWN), 4),
        ((SAFE, "nonsense"), 4),
    ],
    ids=["safe", "unsafe", "unsafe beside unknown", "unknown", "bad line"],
)
def test_the_worst_line_decides_the_status(judge, records, code):
    assert judge(*records)[0] == code


def test_answers_are_in_order(judge):
    _, told = judge(UNSAFE, "nonsense", SAFE)
    assert [one["id"] for one in told] == [2, None, 1]
    assert [one.get("verdict") for one in told] == ["unsafe", None, "safe"]


def test_the_bulk_form_says_what_check_says_of_the_same_handoff(judge, run, tmp_path):
    over = (*ROWS, (GIB, 0x2000, 2))
    path = RawHandoff(rows=over, deposits=PAGES).write(tmp_path / "h")
    one = run("check", path, "--kernel", "6.1", "--format", "json").json["verdicts"][0]
    _, told = judge(SAFE | {"e820": over})
    assert told[0]["findings"] == one["findings"]
    assert told[0]["verdict"] == one["verdict"]


def test_standard_input_is_read(run, monkeypatch):
    class Stdin:
        buffer = io.BytesIO(json.dumps(SAFE).encode())

    monkeypatch.setattr("sys.stdin", Stdin)
    done = run("check", "--jsonl", "-")
    assert (done.code, json.loads(done.out)["verdict"]) == (0, "safe")


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["h", "--jsonl", "f"], "either HANDOFF or --jsonl"),
        (["--jsonl", "f", "--boot"], "for HANDOFF"),
        (["--jsonl", "f", "--console", "c"], "for HANDOFF"),
        (["--jsonl", "f", "--deposit", "1G+4K"], "for HANDOFF"),
    ],
)
def test_what_does_not_go_together_is_refused(run, words, shown):
    done = run("check", *words)
    assert (done.code, done.out) == (2, "")
    assert shown in json.loads(done.err)["error"]


def test_a_file_that_is_not_there_is_bad_input(run, tmp_path):
    done = run("check", "--jsonl", tmp_path / "none")
    assert (done.code, done.out) == (3, "")
    assert "cannot read" in json.loads(done.err)["error"]


def test_a_finding_that_quotes_half_a_surrogate_pair_does_not_end_the_run(judge):
    code, answers = judge(SAFE | {"kernel": "\ud800"}, SAFE)
    assert code == 4
    assert [one["verdict"] for one in answers] == ["unknown", "safe"]
