"""Every finding has a section with its cause, consequence, remedy and source."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "specs" / "findings.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^### (\S+)\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
SECTIONS = dict(SECTION.findall(TEXT))
PARTS = ("Cause", "Consequence", "Remedy", "Source")
ONE_WORD = "decorated|inferred|overlap|touched|truncated|unaligned"
IDENT = re.compile(rf"[a-z]+(-[a-z0-9]+)+|{ONE_WORD}")
# Functions that make a finding of the id that they are given first.
MAKERS = re.compile(
    r"(.*\.)?(Finding|note|_note|_?finding_about|pool_finding|_degraded|refusal)$"
)
# Rooms in which ids also stand in rows and constants of a module.
TOLD_IN_ROWS = {"pool/agreement.py", "abi/pool_record.py"}


def strings(node):
    for one in ast.walk(node):
        if isinstance(one, ast.Constant) and isinstance(one.value, str):
            yield one.value


def ids_of_call(call):
    given = [word.value for word in call.keywords if word.arg in ("id", "ident")]
    for value in (given or call.args)[:1]:
        yield from (text for text in strings(value) if IDENT.fullmatch(text))


def ids_of_module(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path.relative_to(ROOT / "e820pool").as_posix() in TOLD_IN_ROWS:
        yield from (text for text in strings(tree) if IDENT.fullmatch(text))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and MAKERS.match(ast.unparse(node.func)):
            yield from ids_of_call(node)
        # A helper of the module that passes an id on: _about_rows("truncated", ..)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).startswith("_"):
            yield from (i for i in ids_of_call(node) if i in SECTIONS)


IDS = sorted({i for p in (ROOT / "e820pool").rglob("*.py") for i in ids_of_module(p)})


def test_the_ids_are_found_in_the_code():
    assert len(IDS) > 90
    assert {"usable-as-ram", "record-bad-crc", "overlap", "type-lost"} <= set(IDS)


@pytest.mark.parametrize("ident", IDS)
def test_a_finding_says_cause_consequence_remedy_and_source(ident):
    assert ident in SECTIONS, f"specs/findings.md has no section ### {ident}"
    found = re.findall(r"^- \*\*(\w+):\*\* \S", SECTIONS[ident], re.MULTILINE)
    assert tuple(found) == PARTS


def test_no_section_is_of_a_finding_that_nothing_makes():
    assert sorted(set(SECTIONS) - set(IDS)) == []
