"""Every finding of check has a section with its remedy and source."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "specs" / "findings.md").read_text(encoding="utf-8")
PATTERN = re.compile(r"^### (\S+)\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
SECTIONS = dict(PATTERN.findall(TEXT))
MAKERS = {"Finding", "finding_about", "_degraded", "_about_rows"}
# What these rest on is the handoff, or what was asked for, and no kernel's source.
WITHOUT_SOURCE = {"no-deposits", "no-verdict", "profile-between", "model-differs"}
WITHOUT_SOURCE |= {"boot-fails", "touched", "not-reserved", "dropped-entry"}


def made(path):
    """Yield the ids of findings that a module makes."""
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(call, ast.Call) or ast.unparse(call.func) not in MAKERS:
            continue
        values = [word.value for word in call.keywords if word.arg == "id"]
        for value in (values or call.args)[:1]:
            if isinstance(value, ast.Constant):
                yield value.value


IDS = sorted({i for p in (ROOT / "e820pool/compat").glob("*.py") for i in made(p)})


def test_the_ids_are_found_in_the_code():
    assert len(IDS) > 25


@pytest.mark.parametrize("ident", IDS)
def test_a_finding_has_a_section_with_remedy_and_source(ident):
    assert ident in SECTIONS
    if ident not in WITHOUT_SOURCE:
        assert "Source:" in SECTIONS[ident]
        assert "Remedy:" in SECTIONS[ident]
