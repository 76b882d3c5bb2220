"""specs/sources.md names every note that a reader or a writer makes, and no other."""

import ast
import re
from pathlib import Path

import e820pool

ROOT = Path(__file__).parents[2]
PACKAGE = Path(e820pool.__file__).parent
SPEC = (ROOT / "specs" / "sources.md").read_text(encoding="utf-8")


def _noted():
    for path in (PACKAGE / "sources").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "note":
                yield node.args[0].value


def test_every_note_is_in_the_table_and_the_table_has_no_other():
    listed = set(
        re.findall(r"^\| `([a-z0-9-]+)` \| (?:log|iom|mem|blo|any)", SPEC, re.MULTILINE)
    )
    assert listed == set(_noted())


def test_the_losses_are_named():
    source = (PACKAGE / "report/forms.py").read_text(encoding="utf-8")
    for id_ in set(re.findall(r'"([a-z]+-lost)"', source)):
        assert f"`{id_}`" in SPEC
