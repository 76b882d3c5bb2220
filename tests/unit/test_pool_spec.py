"""specs/pool.md lists exactly the findings that the pool can state."""

import ast
import re
from pathlib import Path

import e820pool
from e820pool.abi import pool_record
from e820pool.pool.claims import FREE_OWNER, RECORD_OWNER

ROOT = Path(__file__).parents[2]
PACKAGE = Path(e820pool.__file__).parent
SPEC = (ROOT / "specs" / "pool.md").read_text(encoding="utf-8")
IDENT = re.compile(r"[a-z]+(-[a-z]+)+|inferred")


def idents_of_the_code():
    for path in (PACKAGE / "pool").glob("*.py"):
        if path.name == "designs.py":  # names loaders and others' findings
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and IDENT.fullmatch(text):
                yield text


def test_every_finding_is_in_the_specification_and_no_other():
    abi = {getattr(pool_record, n) for n in dir(pool_record) if n.startswith("RECORD_")}
    refusals = {one for one in abi if isinstance(one, str)}
    listed = re.findall(
        r"^\| `([a-z-]+)` \| (?:unsafe|degraded|note) ", SPEC, re.MULTILINE
    )
    assert len(listed) == len(set(listed))
    assert set(listed) == {*idents_of_the_code(), *refusals}


def test_the_specification_has_the_owners_numbers():
    for owner in (FREE_OWNER, RECORD_OWNER):
        assert f"{owner:#_x}" in SPEC
