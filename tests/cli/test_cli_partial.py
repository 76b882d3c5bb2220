"""A map of which entries cannot be read is refused, and which map was read is said."""

import json

import pytest

LINES = [
    "Linux version 6.12.1 (u@h) #1 SMP",
    "BIOS-provided physical RAM map:",
    "BIOS-e820: [mem 0x0000000000000000-0x000000000009efff] usable",
    "BIOS-e820: [mem 0x0000000000100000-0x000000007fffffff] usable",
    "BIOS-e820: [mem 0x00000000fec00000-0x00000000fecfffff] reserved",
    "BIOS-e820: [mem 0x0000000100000000-0x000000017fffffff] usable",
    "NX (Execute Disable) protection: active",
]
CUT = [*LINES[:4], LINES[4][:40], *LINES[5:]]
CAPTURE = [LINES[0], "Command line: elfcorehdr=0x1000", *LINES[1:5], LINES[6]]


@pytest.fixture
def folder(tmp_path):
    for name, lines in (("cut", CUT), ("two", [*LINES, *CAPTURE])):
        (tmp_path / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def test_build_and_budget_refuse_a_map_that_is_not_whole(run, folder):
    for words in (("build", "-o", folder / "out"), ("budget",)):
        asked = (*words, folder / "cut.txt", "--deposit", "4G+1M")
        done = run(*asked)
        assert done.code == 3
        assert "only pieces of 1 entry can be read" in done.err
        assert "line 5" in done.err
        assert "--partial" in done.err
        assert run(*asked, "--partial").code == 0


def test_check_refuses_what_was_built_from_it(run, folder):
    out = folder / "out"
    built = run(
        *("build", folder / "cut.txt", "--deposit", "4G+1M", "-o", out, "--partial")
    )
    assert "[line-cut]" in built.err
    assert run("check", out, "--kernel", "6.1").code == 3
    assert run("check", out, "--kernel", "6.1", "--partial").code == 0


def test_fleet_has_no_verdict_on_it(run, folder):
    (folder / "two.txt").unlink()
    done = run("fleet", folder, "--kernel", "6.1", "--format", "jsonl")
    assert "can be read" in json.loads(done.out)["error"]
    asked = ("fleet", folder, "--kernel", "6.1", "--format", "jsonl", "--partial")
    assert "verdicts" in json.loads(run(*asked).out)


def test_a_refusal_says_which_boot_was_read(run, folder):
    asked = ("build", folder / "two.txt", "--deposit", "4G+1M", "-o", folder / "out")
    assert run(*asked).code == 0
    done = run(*asked, "--log-boot", "2")
    assert done.code == 3
    assert "is not inside RAM" in done.err
    assert "read was number 2" in done.err
    assert "boot 2 is a capture kernel's" in done.err
    assert done.err.count("\n") == 1


def test_a_boot_that_is_not_there_is_an_error(run, folder):
    done = run("show", folder / "two.txt", "--log-boot", "3")
    assert done.code == 3
    assert "no boot 3: it shows 2" in done.err
