"""specs/kernel-model.md names the steps, warnings and ends of the model."""

import re
from importlib import import_module
from pathlib import Path

import pytest

import e820pool
from e820pool.kernel.profiles import profile_for
from e820pool.kernel.view import BootEnd

SPEC = Path(__file__).parents[2] / "specs" / "kernel-model.md"
TEXT = SPEC.read_text(encoding="utf-8")
CODE = Path(e820pool.__file__).parent / "kernel"
SOURCE = "".join(path.read_text(encoding="utf-8") for path in CODE.glob("*.py"))
ENDS = [
    value
    for path in sorted(CODE.glob("*.py"))
    for value in vars(import_module(f"e820pool.kernel.{path.stem}")).values()
    if isinstance(value, BootEnd)
]
WARNED = sorted(set(re.findall(r'\bwarn\(\s*"([\w-]+)"', SOURCE)))


@pytest.mark.parametrize("end", ENDS, ids=[end.id for end in ENDS])
def test_each_end_of_a_boot_is_in_the_table(end):
    assert f"| `{end.id}` | `{end.words}` |" in TEXT
    assert re.match(r"\d.* \S+\.c \w+\(\)", end.source)


def test_an_end_has_an_id_of_its_own():
    assert len({end.id for end in ENDS}) == len(set(ENDS)) >= 15


@pytest.mark.parametrize("word", WARNED)
def test_each_warning_is_in_the_table(word):
    assert f"| `{word}` |" in TEXT


def test_each_step_names_a_module():
    steps = TEXT.split("\n## 2.")[1].split("\n## ")[0]
    rows = re.findall(r"^\|[^|]+\| ([^|]+) \|[^|]+\|$", steps, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert len(named) >= 8
    assert named <= {path.stem for path in CODE.glob("*.py")}


def test_the_options_that_change_an_outcome_are_listed():
    config = profile_for("6.1").config
    missing = [name for name in config if f"`{name}`" not in TEXT]
    assert missing == []
