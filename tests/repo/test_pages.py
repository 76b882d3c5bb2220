"""Commands, links, paths and lists that the pages print are true."""

import re
import shlex
from argparse import _SubParsersAction
from pathlib import Path

import pytest
from test_layers import ROOMS

from e820pool.cli.main import build_parser
from e820pool.cli.status import UsageError

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "tests" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "specs").glob("*.md")),
]
# Whole, in a block that is indented or fenced; or as much as a sentence needs.
LINE = re.compile(r"^(?:    )?(?:\$ )?(e820pool .+)$", re.MULTILINE)
QUOTED = re.compile(r"`(e820pool [^`]+)`")
# What people read behind a command.
REMARK = re.compile(r" {2,}#.*$| {3,}[a-z#].*$")
LINK = re.compile(r"\]\(([^)\s]+)\)")
# A path of this tree in backquotes, without a pattern in it.
PATH = re.compile(r"`((?:e820pool|specs|tests|docs|tools|contrib)/[\w./-]*\w/?)`")
PAGE = re.compile(r"`([\w-]+\.md)`")


def name_of(path):
    return str(path.relative_to(ROOT))


def anchors_of(text):
    """Return what the headings of a page are linked by, as hosting sites do it."""
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        kept = re.sub(r"[^\w\- ]", "", heading.lower())
        yield kept.replace(" ", "-")


@pytest.fixture(params=PAGES, ids=name_of)
def page(request):
    return request.param


def commands_in(lines):
    for line in lines:
        for part in re.split(r" && | \| | > | & ", REMARK.sub("", line)):
            if part.startswith("e820pool ") and "..." not in part:
                yield part.strip()


def options_of_commands():
    parser = build_parser()
    named = next(a for a in parser._actions if isinstance(a, _SubParsersAction))
    return {
        name: set(command._option_string_actions)
        for name, command in named.choices.items()
    }


def test_printed_commands_are_commands(page):
    parser = build_parser()
    # A line that ends with a backslash goes on in the next.
    text = re.sub(r"\\\n +", "", page.read_text(encoding="utf-8"))
    for command in commands_in(LINE.findall(text)):
        try:
            parser.parse_args(shlex.split(command)[1:])
        except UsageError as exc:
            pytest.fail(f"{command}: {exc}")


def test_options_that_the_text_names_exist(page):
    known = options_of_commands()
    for command in commands_in(QUOTED.findall(page.read_text(encoding="utf-8"))):
        name, *words = shlex.split(command)[1:]
        assert name in known or name.startswith("-"), command
        options = {word for word in words if word.startswith("--")}
        assert options <= known.get(name, options), command


def test_links_lead_somewhere(page):
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), link
        if anchor:
            assert anchor in anchors_of(there.read_text(encoding="utf-8")), link


def test_paths_that_are_named_exist(page):
    text = page.read_text(encoding="utf-8")
    missing = [one for one in PATH.findall(text) if not (ROOT / one).exists()]
    beside = (page.parent, ROOT, ROOT / "specs", ROOT / "docs")
    missing += [
        one
        for one in PAGE.findall(text)
        if not any((place / one).exists() for place in beside)
    ]
    assert missing == []


def test_the_rooms_of_the_architecture_are_those_of_the_layers():
    text = (ROOT / "specs" / "architecture.md").read_text(encoding="utf-8")
    table = text.split("## The rooms")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)(?:\.py|/)` \|", table, re.MULTILINE)
    # data/ holds files and no code.
    assert rows == [room for room in ROOMS if room != "data"]


def test_every_folder_of_fixtures_says_where_it_is_from():
    data = ROOT / "tests" / "data"
    told = (data / "SOURCES.md").read_text(encoding="utf-8")
    folders = [one.name for one in data.iterdir() if one.is_dir()]
    assert [name for name in folders if f"{name}/" not in told] == []
