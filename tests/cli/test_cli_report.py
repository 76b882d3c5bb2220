"""report: what it reads, what it writes, and what it refuses."""

import io
import json
import sys

import pytest
import reportdocs
from rawhandoff import map_file

from e820pool.kernel.profiles import known_releases
from e820pool.report import output

DEPOSITS = ("--deposit", "1G+8K", "--deposit", "5G+1M")


@pytest.fixture
def handoff(ok, machine, out):
    ok(
        "build",
        machine,
        "-o",
        out,
        *DEPOSITS,
        "--cmdline",
        "a=<script>alert(1)</script>",
    )
    return out


@pytest.fixture
def result(tmp_path):
    """Return a function that writes a result by hand and returns its file."""

    def write(kind):
        path = tmp_path / f"{kind}.json"
        path.write_text(json.dumps(reportdocs.ALL[kind]()))
        return path

    return write


def said(run, code, *words):
    """Return the one line on stderr, nothing having been printed."""
    done = run("report", *words)
    assert (done.code, done.out) == (code, ""), done
    assert done.err.startswith("e820pool: ")
    assert done.err.count("\n") == 1
    return done.err


def test_a_handoff_is_checked_and_told_in_a_page(ok, handoff, tmp_path):
    page = tmp_path / "report.html"
    assert ok("report", handoff, "-o", page).out == ""
    text = page.read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert f"Safe on all {len(known_releases())} kernels asked." in text
    assert "<h1>Handoff " in text
    assert text.count("<script>") == 1
    assert "a=&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_only_the_kernels_that_were_asked_for_are_checked(ok, handoff):
    mail = ok("report", handoff, "--kernel", "6.1,7.3", "--format", "mail").out
    assert "\nsafe      6.1, 7.3\n" in mail


def test_the_page_can_be_piped(ok, result):
    assert ok("report", result("chain")).out.endswith("</html>\n")


def test_a_mail_goes_to_stdout_and_to_a_file_alike(ok, handoff, tmp_path):
    words = ("report", handoff, "--kernel", "6.1", "--format", "mail")
    mail = ok(*words).out
    assert max(map(len, mail.splitlines())) <= 72
    assert mail.isascii()
    assert mail.startswith("Handoff out\n===========\n")
    ok(*words, "-o", tmp_path / "mail.txt")
    assert (tmp_path / "mail.txt").read_text() == mail


def test_several_inputs_are_chapters_of_one_report(ok, result):
    inputs = [result(kind) for kind in reportdocs.ALL]
    page = ok("report", *inputs, "--title", "All").out
    assert page.count('<section class="chapter"') == len(inputs)
    assert "<h1>All</h1>" in page
    assert '<a href="#chapter-4">Chain of kexecs' in page


@pytest.mark.parametrize("kind", reportdocs.ALL)
@pytest.mark.parametrize("form", ["html", "mail"])
def test_every_kind_of_result_is_told(ok, result, kind, form):
    assert len(ok("report", result(kind), "--format", form).out) > 500


def test_what_check_writes_is_read_back(ok, handoff, tmp_path):
    told = ok("check", handoff, "--kernel", "6.1", "--format", "json").out
    (tmp_path / "check.json").write_text(told)
    mail = ok("report", tmp_path / "check.json", "--format", "mail").out
    assert "\nSafe on 6.1.\n" in mail


def test_what_stress_writes_is_read_back(ok, tmp_path):
    quick = ("--guests", "4", "--days", "0.5", "--policy", "scattered")
    told = ok("stress", "--ram", "8G", *quick, "--format", "json")
    (tmp_path / "stress.json").write_text(told.out)
    mail = ok("report", tmp_path / "stress.json", "--format", "mail").out
    call = told.json["results"][0]["limits"]["zero-page"]["call"]
    words = f"scattered on 8G (seed 0): first zero-page (128) at call {call} with"
    assert words in " ".join(mail.split())


def test_what_compare_writes_is_read_back(ok, machine, tmp_path):
    words = ("--kernel", "6.1", "--encoding", "split,overlaid", "--format", "json")
    told = ok("compare", machine, *DEPOSITS, *words).out
    (tmp_path / "compare.json").write_text(told)
    mail = ok("report", tmp_path / "compare.json", "--format", "mail").out
    rows = [line.split() for line in mail.splitlines()]
    assert ["split", "safe"] in rows
    assert ["overlaid", "BAD"] in rows


def test_what_chain_writes_is_read_back(ok, tmp_path):
    from test_cli_chain import LEDGER, hop, rebuilt, record

    from e820pool.report.chain_text import chain_json

    made = hop(made=LEDGER.extents, nr_made=1)
    kept = hop(entered="ours", given=LEDGER, nr_entries=4, rebuilt=rebuilt())
    (tmp_path / "chain.json").write_text(chain_json(record(made, kept)))
    mail = ok("report", tmp_path / "chain.json", "--format", "mail").out
    assert "Intact over 2 kernels" in mail
    assert "pool equal (inference)" in " ".join(mail.split())


def test_standard_input_is_read(ok, monkeypatch):
    raw = json.dumps(reportdocs.verdicts()).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
    assert "Verdicts of standard input" in ok("report", "-", "--format", "mail").out


def test_a_page_is_not_written_to_a_terminal(run, result, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert "give -o FILE, or a pipe" in said(run, 2, result("chain"))


def test_kernels_cannot_be_chosen_of_a_result(run, result):
    words = said(run, 2, result("verdicts"), "--kernel", "6.1", "--format", "mail")
    assert "--kernel is for a handoff" in words


def test_an_input_of_another_kind_says_what_is_wanted(run, tmp_path):
    path = map_file(tmp_path / "map.json")
    assert "'memory-map': want verdicts of 'check'" in said(run, 3, path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"BIOS-e820: nothing", "neither a handoff nor a JSON result"),
        (b"{", "is not JSON"),
        (b"", "is empty"),
        (b"\xff\xfe{}", "neither a handoff"),
    ],
)
def test_an_input_of_no_kind_is_refused(run, tmp_path, content, words):
    path = tmp_path / "input"
    path.write_bytes(content)
    assert words in said(run, 3, path)


def test_a_directory_that_is_no_handoff_is_refused(run, tmp_path):
    assert "no handoff" in said(run, 3, tmp_path)


def test_one_bad_input_of_several_leaves_no_file(run, result, tmp_path):
    page = tmp_path / "new" / "report.html"
    page.parent.mkdir()
    said(run, 3, result("chain"), tmp_path / "missing.json", "-o", page)
    assert list(page.parent.iterdir()) == []


def test_an_old_report_stays_when_the_new_one_cannot_be_written(
    run, result, tmp_path, monkeypatch
):
    page = tmp_path / "new" / "report.html"
    page.parent.mkdir()
    page.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(output.Path, "replace", full)
    assert "no space left" in said(run, 3, result("chain"), "-o", page)
    assert page.read_text() == "old"
    assert list(page.parent.iterdir()) == [page]


def test_jinja_is_not_imported_where_no_page_is_asked_for():
    import subprocess

    code = "import e820pool.cli.main, sys; print('jinja2' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
