"""The units say what the command takes, systemd takes them, and a failure is seen."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from e820pool.cli.main import build_parser

FOLDER = Path(__file__).parents[2] / "contrib" / "systemd"
AGENT = FOLDER.parent / "agent" / "e820pool-agent.service"
CHECK, LOAD = (
    (FOLDER / f"{name}.service").read_text(encoding="utf-8")
    for name in ("e820pool-kexec-check", "e820pool-kexec")
)
SCRIPT = FOLDER / "e820pool-unit"
DEFAULTS = (FOLDER / "e820pool-kexec.default").read_text(encoding="utf-8")


def settings():
    pairs = (line.partition("=") for line in DEFAULTS.splitlines() if line)
    return {name: value for name, _, value in pairs if not name.startswith("#")}


class Machine:
    """Programs of the system, played: each writes down how it was called."""

    def __init__(self, folder):
        self.folder = folder
        self.log = folder / "log"
        self.loaded = folder / "kexec_loaded"
        self.loaded.write_text("0\n")
        self.program("e820pool", "exit $STATUS")
        self.program("kexec", "exit 0")
        self.program("systemctl", "echo 42 kexec.target $JOB waiting")
        self.program("systemd-notify")

    def program(self, name, end="exit 0"):
        path = self.folder / name
        call = f'echo {name} >>{self.log}; printf "<%s>" "$@" >>{self.log}'
        path.write_text(f"#!/bin/sh\n{call}\necho >>{self.log}\n{end}\n")
        path.chmod(0o755)

    def run(self, word, status=0, **more):
        self.log.write_text("")
        env = os.environ | settings() | {"PATH": f"{self.folder}:/usr/bin:/bin"}
        env |= {"E820POOL": str(self.folder / "e820pool"), "STATUS": str(status)}
        env |= {"LOADED": str(self.loaded), "JOB": "start", "NOTIFY_SOCKET": ""}
        return subprocess.run(
            [SCRIPT, word], env=env | more, capture_output=True, text=True, check=False
        )

    def calls(self):
        lines = self.log.read_text().splitlines()
        words = (re.findall("<(.*?)>", line) for line in lines[1::2])
        return list(zip(lines[::2], words, strict=True))


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.mark.parametrize("word", ["check", "load", "stop"])
@pytest.mark.parametrize("more", [{}, {"CMDLINE": "a b", "INITRD": "/i"}])
def test_what_is_run_is_a_command_line_that_the_parser_takes(machine, word, more):
    assert machine.run(word, **more).returncode == 0
    name, words = machine.calls()[-1]
    assert name == "e820pool"
    args = build_parser().parse_args(words)
    assert (args.command, args.kernel, args.agent_wait) == ("kexec", "newest", 60)
    # At boot it only looks.
    assert args.load is (word != "check")
    assert not args.execute
    assert not args.force
    assert args.append == (more.get("CMDLINE"))
    assert args.reuse_cmdline is ("CMDLINE" not in more)
    assert args.initrd == more.get("INITRD")


def test_own_is_the_boot_loader_s_command_line(machine):
    machine.run("check", CMDLINE="own")
    args = build_parser().parse_args(machine.calls()[-1][1])
    assert (args.append, args.reuse_cmdline) == (None, False)


@pytest.mark.parametrize("word", ["check", "load", "stop"])
@pytest.mark.parametrize(
    ("status", "code"),
    [(0, 0), (1, 1), (2, 64), (3, 65), (4, 69), (70, 70), (127, 69)],
)
def test_the_journal_says_what_a_status_means_and_systemd_names_it_rightly(
    machine, word, status, code
):
    """By itself systemd calls 3 NOTIMPLEMENTED and 4 NOPERMISSION."""
    done = machine.run(word, status)
    assert done.returncode == code
    assert f"e820pool: status {status}: " in done.stderr.splitlines()[-1]


def test_systemd_is_told_the_same(machine):
    machine.run("check", 4, NOTIFY_SOCKET="/run/x")
    (told,) = [words for name, words in machine.calls() if name == "systemd-notify"]
    text = "the next kernel would not be loaded: no verdict, or this machine cannot"
    assert told == [f"--status={text}"]


@pytest.mark.parametrize("word", ["load", "stop"])
def test_a_command_that_does_not_even_start_leaves_nothing_loaded(machine, word):
    machine.loaded.write_text("1\n")
    machine.run(word, 127)
    assert [name for name, _ in machine.calls()][-3:] == ["e820pool"] * 2 + ["kexec"]
    assert machine.calls()[-1][1] == ["-u"]
    machine.program("kexec", "exit 1")
    assert "STAYS LOADED" in machine.run(word, 127).stderr


def test_at_a_stop_that_is_no_kexec_nothing_is_done(machine):
    assert machine.run("stop", JOB="stop").returncode == 0
    assert [name for name, _ in machine.calls()] == ["systemctl"]


def test_a_check_that_fails_is_a_failed_unit_and_the_load_still_has_its_turn():
    """ExecStop= is run of a unit only that has been started."""
    (start,) = re.findall("^ExecStart=(.*)$", CHECK, re.MULTILINE)
    assert start == "/usr/lib/e820pool/e820pool-unit check"
    found = dict(re.findall(r"^(Exec\w+)=(.*)$", LOAD, re.MULTILINE))
    assert found == {
        "ExecStart": "/bin/true",
        "ExecReload": "/usr/lib/e820pool/e820pool-unit load",
        "ExecStop": "/usr/lib/e820pool/e820pool-unit stop",
    }


def test_both_are_ordered_behind_the_agent_which_a_shutdown_does_not_stop():
    for unit in (CHECK, LOAD):
        assert re.search(r"^After=.*e820pool-agent\.service", unit, re.MULTILINE)
    agent = AGENT.read_text(encoding="utf-8")
    assert "\nType=notify\n" in agent
    assert "\nDefaultDependencies=no\n" in agent
    # Each of these makes it require a mount, with which it would be stopped.
    assert not re.search("^(Requires|State|Cache|Logs|Runtime)", agent, re.MULTILINE)


@pytest.mark.parametrize(
    "path", [*sorted(FOLDER.glob("*.service")), AGENT], ids=lambda path: path.stem
)
def test_systemd_finds_no_fault_in_it(tmp_path, path):
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed: install systemd")
    # Neither the programs nor their manual page are installed where tests run.
    text = re.sub(
        "/usr/lib/e820pool/(e820pool-unit|python)",
        shutil.which("true"),
        path.read_text(encoding="utf-8"),
    )
    text = re.sub("^Documentation=.*\n", "", text, flags=re.MULTILINE)
    copy = tmp_path / path.name
    copy.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [analyze, "verify", copy], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
