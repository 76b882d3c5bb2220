"""Every finding has a section that says its cause and remedy."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SPECS = ("findings.md", "pool.md", "sources.md")
# Calls that make a finding, and the id as their first word.
MADE = re.compile(
    r"(?:\bid=|\b_about\(\s*|\bnote\(\s*|\b_note\(\s*|\byield\s+)\"([a-z]+(?:-[a-z]+)+)\""
)


def documented():
    text = "".join(
        (ROOT / "specs" / name).read_text(encoding="utf-8") for name in SPECS
    )
    return set(re.findall(r"^### ([a-z-]+)$|^\| `([a-z-]+)` \|", text, re.MULTILINE))


def ids_in_code():
    for path in (ROOT / "e820pool").rglob("*.py"):
        for ident in MADE.findall(path.read_text(encoding="utf-8")):
            yield ident, path.name


def test_every_finding_is_documented():
    known = {one or two for one, two in documented()}
    assert len(known) > 20
    assert [(i, name) for i, name in ids_in_code() if i not in known] == []
