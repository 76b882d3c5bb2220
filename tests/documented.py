"""The listings and the commands that a page of the documentation shows."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
LISTING = re.compile(r"^```python\n(# (\w+)\.py\n.*?)^```$", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def listings(page):
    """Return the text of each listing whose first line is a file's name, by that."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return {name: code for code, name in LISTING.findall(text)}


def consoles(page):
    """Return the commands of each block that shows a terminal."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        [line[2:] for line in block.splitlines() if line.startswith("$ ")]
        for block in CONSOLE.findall(text)
    ]
