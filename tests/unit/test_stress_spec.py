"""The numbers of specs/exhaustion.md are what the simulation says today."""

import json
import re
from pathlib import Path

import pytest

from e820pool.cli import main
from e820pool.report.map_table import human_size

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


def span(spread, beyond="never", shown=str):
    ends = [spread["low"], spread["high"]]
    words = [beyond if end is None else shown(end) for end in ends]
    return " to ".join(dict.fromkeys(words))


def size(nr_bytes):
    return human_size(nr_bytes) if nr_bytes else "0"


def cells_of(band):
    falls = [band["limits"][name] for name in LIMITS]
    shown = [
        f"{span(fall['call'])} ({span(fall['created'])})" if fall["fell"] else "never"
        for fall in falls
    ]
    costs = [band["given_up"]["128"], band["beside"]]
    return [
        *shown,
        span(band["most"]),
        *(span(one, "does not fit", size) for one in costs),
        span(band["as_scattered"]),
    ]


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("16 GiB", ("--ram", "16G", "--guests", "10")),
        pytest.param(
            "256 GiB", ("--ram", "256G", "--guests", "50"), marks=pytest.mark.slow
        ),
    ],
)
def test_the_table_is_what_stress_says(host, words, capsys):
    assert main(["stress", *words, "--format", "json", "-q"]) in {0, 1}
    bands = json.loads(capsys.readouterr().out)["bands"]
    said = {one["policy"]: cells_of(one) for one in bands if one["answered"]}
    table = told(host)
    assert len(table) >= 4
    assert {policy: said[policy] for policy in table} == table
