"""man: one page of all that --help says, as man(1) shows it."""

import os
import re
import shutil
import subprocess

import pytest

from e820pool.cli.commands import COMMANDS, load_command
from e820pool.cli.main import build_parser

# Bold is a letter over itself, and an underscore under one is a slant.
OVERSTRIKE = re.compile(r".\x08|\x1b\[[0-9;]*m")


@pytest.fixture
def page(ok, tmp_path):
    path = tmp_path / "e820pool.1"
    path.write_text(ok("man").out, encoding="utf-8")
    return path


def rendered(words, page):
    """Return what a formatter makes of the page and what it complains of."""
    if shutil.which(words[0]) is None:
        pytest.skip(f"needs {words[0]}: apt-get install man-db groff mandoc")
    done = subprocess.run(
        [*words, page],
        env=os.environ
        | {"MANWIDTH": "100", "LC_ALL": "C.UTF-8", "MAN_KEEP_FORMATTING": ""},
        capture_output=True,
        text=True,
        check=False,  # mandoc has a status for warnings
    )
    return OVERSTRIKE.sub("", done.stdout), done.stderr


FORMATTERS = [
    ("man", "-l"),
    ("groff", "-man", "-ww", "-Tutf8"),
    ("mandoc", "-Wwarning"),
]


@pytest.mark.parametrize("words", FORMATTERS, ids=lambda words: words[0])
def test_the_page_is_shown_without_a_complaint(page, words):
    text, complaints = rendered(words, page)
    # The page has no date: it would be another one with every build.
    expected = ("missing date", "see above the output")
    for line in complaints.splitlines():
        assert any(words in line for words in expected), line
    assert all(f"\n   {name}\n" in text for name in COMMANDS)
    for title in (
        "NAME",
        "SYNOPSIS",
        "OPTIONS",
        "COMMANDS",
        "EXIT STATUS",
        "ENVIRONMENT",
    ):
        assert f"\n{title}\n" in text or text.startswith(title)


def test_every_option_and_example_is_in_it(page):
    text = page.read_text(encoding="utf-8").replace(r"\-", "-").replace(r"\&", "")
    text = text.replace(r"\e", "\\")
    for name in COMMANDS:
        assert f"\n{load_command(name).EXAMPLE}\n" in text
    subs = build_parser()._subparsers._group_actions[0].choices
    for name, parser in subs.items():
        part = text.split(f"\n.SS {name}\n")[1].split("\n.SS ")[0]
        for action in parser._actions:
            told = (
                part if not {"--help", "--quiet"} & set(action.option_strings) else text
            )
            assert all(rf"\fB{one}\fR" in told for one in action.option_strings)


def test_no_line_of_text_is_taken_for_a_request(page):
    known = re.compile(r"\.(TH|SH|SS|TP|PP|RS|RE|nf|fi|nh|ad)\b")
    for line in page.read_text(encoding="utf-8").splitlines():
        assert not line.startswith("'")
        assert not line.startswith(".") or known.match(line), line


def test_the_page_is_the_same_every_time(ok):
    assert ok("man").out == ok("man").out
