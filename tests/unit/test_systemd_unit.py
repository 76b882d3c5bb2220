"""The systemd unit says what the command takes, and systemd takes the unit."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from e820pool.cli.main import build_parser

FOLDER = Path(__file__).parents[2] / "contrib" / "systemd"
UNIT = (FOLDER / "e820pool-kexec.service").read_text(encoding="utf-8")
DEFAULTS = (FOLDER / "e820pool-kexec.default").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^(Exec\w+)=.*/usr/bin/e820pool (.*?)'?$", UNIT, re.MULTILINE)


def settings():
    pairs = (line.partition("=") for line in DEFAULTS.splitlines() if line)
    return {name: value for name, _, value in pairs if not name.startswith("#")}


@pytest.mark.parametrize(("when", "words"), COMMANDS)
def test_a_command_of_the_unit_is_one_that_the_parser_takes(when, words):
    for name, value in settings().items():
        words = words.replace(f"${{{name}}}", value).replace(f"${name}", value)
    assert "$" not in words
    args = build_parser().parse_args(shlex.split(words))
    assert args.command == "kexec"
    # At boot it only looks.
    assert args.load is (when != "ExecStart")
    assert not args.execute
    assert not args.force


def test_it_loads_on_the_way_to_a_kexec_only():
    assert [when for when, _ in COMMANDS] == ["ExecStart", "ExecReload", "ExecStop"]
    (stop,) = [line for line in UNIT.splitlines() if line.startswith("ExecStop=")]
    assert "kexec.target | grep -q start || exit 0;" in stop


def test_systemd_finds_no_fault_in_it(tmp_path):
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed: install systemd")
    # Neither the program nor its manual page is installed where tests run.
    text = UNIT.replace("/usr/bin/e820pool", shutil.which("true"))
    text = re.sub("^Documentation=.*\n", "", text, flags=re.MULTILINE)
    path = tmp_path / "e820pool-kexec.service"
    path.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [analyze, "verify", path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
