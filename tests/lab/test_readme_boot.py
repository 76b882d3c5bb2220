"""README of a real kernel is so, and a boot that is not safe leaves its console."""

import json
import re
import shlex
import tempfile
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


def test_what_a_boot_that_is_not_safe_printed_is_left_behind(
    image_of, tmp_path, capsys, monkeypatch
):
    image_of("6.1")
    source, out = tmp_path / "machine.txt", str(tmp_path / "out")
    source.write_text("BIOS-e820: [mem 0x100000-0x1fffffff] usable\n")
    kept = tmp_path / "kept"
    kept.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(kept))
    words = ["--deposit", "256M+16M", "--encoding", "kern-128", "-o", out]
    assert main(["build", str(source), *words]) == 0
    assert main(["boot", out, "--kernel", "6.1"]) == 1
    (folder,) = kept.glob("e820pool-boot-*")
    assert str(folder / "console.log") in capsys.readouterr().err
    assert b"Linux version 6.1" in (folder / "console.log").read_bytes()
    view = json.loads((folder / "view.json").read_text(encoding="utf-8"))
    assert view["verdict"]["verdict"] == "unsafe"
