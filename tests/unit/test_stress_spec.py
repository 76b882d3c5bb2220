"""The numbers of specs/exhaustion.md are what the simulation says today."""

import json
import re
from pathlib import Path

import pytest

from e820pool.cli import main
from e820pool.report.table import human_size

SPEC = Path(__file__).parents[2] / "specs" / "exhaustion.md"
TEXT = SPEC.read_text(encoding="utf-8")
LIMITS = ("zero-page", "table-320", "kexec-tools", "table-3200")


def told(host):
    """Return {policy: cells} of one host; a row without a host goes on."""
    table = TEXT.split("\n## The numbers")[1].split("\n## ")[0]
    found, at = {}, ""
    for line in re.findall(r"^\|(.*)\|$", table, re.MULTILINE):
        name, policy, *cells = (one.strip() for one in line.split("|"))
        at = name or at
        if at == host:
            found[policy] = cells
    return found


def cells_of(result):
    falls = [result["limits"][name] for name in LIMITS]
    shown = ["never" if f is None else f"{f['call']} ({f['created']})" for f in falls]
    lost = result["budgets"]["given_up"]["128"]
    return [*shown, str(result["peak"]["split"]), human_size(lost) if lost else "0"]


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("16 GiB", ("--ram", "16G", "--guests", "10")),
        ("256 GiB", ("--ram", "256G", "--guests", "50")),
    ],
)
def test_the_table_is_what_stress_says(host, words, capsys):
    assert main(["stress", *words, "--format", "json", "-q"]) in {0, 1}
    results = json.loads(capsys.readouterr().out)["results"]
    said = {one["policy"]: cells_of(one) for one in results if not one["reason"]}
    table = told(host)
    assert len(table) >= 4
    assert {policy: said[policy] for policy in table} == table
