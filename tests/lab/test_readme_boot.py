"""What README says of a real kernel is so."""

import re
import shlex
from pathlib import Path

from e820pool.cli import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAP = "tests/data/maps/dmesg/008.txt"


def test_the_kernel_of_the_readme_touches_no_deposit(image_of, tmp_path, capsys):
    image_of("6.1")
    build = re.search(r"^\$ e820pool (build .+)$", README, re.MULTILINE)[1]
    boot = re.search(r"e820pool (boot out [^`]+)`", README)[1]
    out = str(tmp_path / "out")
    for command in (build, boot):
        words = shlex.split(command.replace(MAP, str(ROOT / MAP)))
        assert main([out if word == "out" else word for word in words]) == 0
    assert "touched deposited pages: 0\n" in capsys.readouterr().out
    assert "\n    touched deposited pages: 0\n" in README
