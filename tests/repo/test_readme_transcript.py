"""What README shows is what the commands print."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

from e820pool.handoff.encodings import ENCODINGS

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def steps():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = BLOCK.search(text)[1]
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def printed(command, cwd):
    argv = shlex.split(command.partition(" | ")[0])
    assert argv[0] == "e820pool"
    argv[1:] = [str(ROOT / a) if a.startswith("tests/") else a for a in argv[1:]]
    done = subprocess.run(
        [sys.executable, "-m", "e820pool", *argv[1:]],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONUTF8": "1"},
    )
    cut = re.search(r"\| head -c (\d+)$", command)
    return done.stdout[: int(cut[1])] + "\n" if cut else done.stdout


def test_the_transcript_and_its_picture_are_true(tmp_path):
    shown = list(steps())
    assert len(shown) >= 3
    for command, output in shown:
        assert printed(command, tmp_path) == output, command
    drawn = (tmp_path / "picture.svg").read_text(encoding="utf-8")
    assert drawn == (ROOT / "specs/figures/handoff.svg").read_text(encoding="utf-8")


def test_the_transcript_stands_within_forty_lines():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    ends = [n for n, line in enumerate(lines) if line == "```"]
    assert ends[0] <= 40


def test_the_readme_does_not_boast_of_the_corpus():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    boots = 0
    for path in (ROOT / "specs" / "corpus").glob("outcomes-*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            boots += len(json.loads(line)["kernels"])
    listed = (ROOT / "specs" / "corpus" / "kernels.jsonl").read_text(encoding="utf-8")
    kernels = len(listed.splitlines())
    told = re.search(r"more than (\d+) boots of (\d+) kernels", text)
    assert int(told[1]) < boots
    assert int(told[2]) == kernels


def test_the_readme_counts_the_encodings():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert int(re.search(r"Of (\d+) ways to tell them", text)[1]) == len(ENCODINGS)


def test_the_readme_names_every_package_that_only_some_commands_need():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    needed = {
        re.match(r"[a-z0-9]+", line)[0]
        for name in ("lab", "plot", "sweep", "fleet", "cluster", "images")
        for line in extras[name]
    }
    assert [name for name in sorted(needed) if name not in text] == []
