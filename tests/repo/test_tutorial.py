"""The tutorial's commands print what it shows, on the machine that it tells of."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import rawbytes

from e820pool.cli import main

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
# A block, and the remark above it that says where it runs: a reader's own machine,
# or the lab; the others run here.
BLOCK = re.compile(
    r"(<!-- [\w ]+ -->\n)?^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
ELSEWHERE = {"<!-- on your machine -->\n", "<!-- lab -->\n"}


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Make a folder with the tutorial's map and image the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    shutil.copy(ROOT / "tests/data/maps/dmesg/008.txt", "map.txt")
    Path("vmlinuz").write_bytes(rawbytes.bzimage())
    # What a distribution's has of the options that matter here.
    Path("config").write_text("CONFIG_RANDOMIZE_BASE=y\nCONFIG_NODES_SHIFT=10\n")


def steps():
    for place, block in BLOCK.findall(TEXT):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield place, command, output


@pytest.mark.usefixtures("machine")
def test_each_command_prints_what_is_shown(capsys):
    ran = [(c, o) for place, c, o in steps() if place not in ELSEWHERE]
    assert len(ran) >= 6
    for command, output in ran:
        capsys.readouterr()
        program, *words = shlex.split(command)
        assert program == "e820pool"
        assert main(words) in {0, 1}, command
        assert capsys.readouterr().out == output, command


def test_what_runs_elsewhere_says_so():
    assert {place for place, _, _ in steps()} == {"", *ELSEWHERE}
