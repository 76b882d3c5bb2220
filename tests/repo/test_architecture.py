"""The page on the architecture names files that are in the rooms."""

import re
from pathlib import Path

import pytest
from test_layers import PACKAGE, ROOMS

PAGE = (Path(__file__).parents[2] / "specs" / "architecture.md").read_text("utf-8")
INSIDE = PAGE.partition("## What is in each room")[2].partition("\n## ")[0]
FOLDERS = [room for room in ROOMS if (PACKAGE / room).is_dir() and room != "data"]


@pytest.mark.parametrize("room", FOLDERS)
def test_what_is_said_to_be_in_a_room_is_there(room):
    told = INSIDE.partition(f"- **`{room}/`**:")[2].partition("\n- **")[0]
    names = re.findall(r"`([\w/*]+)`", told)
    assert names
    there = {path.stem for path in (PACKAGE / room).rglob("*")}
    for name in names:
        if name != "specs/kernels":
            stem = re.compile(name.rstrip("/").replace("*", r"\w*"))
            assert any(map(stem.fullmatch, there)), name
