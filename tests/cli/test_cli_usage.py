"""Help, mistakes on the command line, and what every command has in common."""

import json
import re
import subprocess
import sys

import pytest

from e820pool import __version__
from e820pool.cli import main
from e820pool.cli.commands import COMMANDS, load_command
from e820pool.cli.main import build_parser

NAMES = list(COMMANDS)
HEAVY = (
    "numpy",
    "construct",
    "msgspec",
    "tabulate",
    "json",
    "tomllib",
    "subprocess",
    "tempfile",
)


def test_the_commands_of_the_design_are_there():
    assert {"show", "build", "predict", "check", "rebuild", "demo"} <= set(NAMES)


def test_help_lists_every_command_and_the_exit_statuses(ok):
    done = ok("--help")
    for name, text in COMMANDS.items():
        line = rf"^    {name}\s+{re.escape(text.split()[0])}"
        assert re.search(line, done.out, re.MULTILINE)
    assert (
        "exit status: 0 done or safe; 1 unsafe, degraded, or does not fit" in done.out
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_with_an_example(ok, name):
    done = ok(name, "--help")
    assert f"usage: e820pool {name}" in done.out
    assert "example:\n  e820pool " in done.out


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_one_that_the_parser_takes(name):
    program, *words = load_command(name).EXAMPLE.split()
    assert program == "e820pool"
    assert build_parser().parse_args(words).command == name


@pytest.mark.parametrize("name", NAMES)
def test_every_option_says_what_it_is_for(name):
    parser = build_parser()
    sub = parser._subparsers._group_actions[0].choices[name]
    for action in sub._actions:
        assert action.help or action.metavar or action.choices, action


def test_the_version_is_the_package_s(ok):
    assert ok("--version").out == f"e820pool {__version__}\n"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ([], "required: COMMAND (see 'e820pool --help')"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        (["show"], "required: SOURCE (see 'e820pool show --help')"),
        (["show", "x", "--format", "nope"], "invalid choice: 'nope'"),
        (["show", "x", "--block", "nope"], "invalid choice: 'nope'"),
        (["show", "x", "y"], "unrecognized arguments: y"),
        (["show", "x", "--frob"], "unrecognized arguments: --frob"),
        (["show", "x", "--form", "json"], "unrecognized arguments: --form json"),
        (["show", "x", "a\nb"], "unrecognized arguments: a\\nb"),
        (["build", "x"], "required: -o/--output"),
        (["build", "x", "-o"], "argument -o/--output: expected one argument"),
        (["build", "x", "-o", "y", "--carrier", "pigeon"], "invalid choice: 'pigeon'"),
        (["check"], "check takes either HANDOFF or --jsonl FILE"),
        (["check", "x", "--format", "svg"], "invalid choice: 'svg'"),
        (["rebuild"], "required: HANDOFF"),
        (["demo", "x"], "unrecognized arguments: x"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_help(run, words, shown):
    done = run(*words)
    assert (done.code, done.out) == (2, "")
    assert shown in done.err
    assert done.err.startswith("e820pool: ")
    assert done.err.count("\n") == 1
    assert "--help')" in done.err


def test_quiet_may_stand_before_the_command_or_behind_it(run, tmp_path):
    path = tmp_path / "log"
    path.write_text(" BIOS-e820: [mem 0x0-0x9fbff] usable\n", encoding="ascii")
    assert run("show", path).err.startswith("note: ")
    for words in (["-q", "show", path], ["show", path, "--quiet"]):
        done = run(*words)
        assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(
    "words",
    [
        ["build", "--format", "json"],
        ["check", "--format=json"],
        ["predict", "--jsonl", "x", "--frob"],
        ["predict", "--jsonl=x", "y", "z"],
    ],
)
def test_a_mistake_under_json_is_one_object(run, words):
    done = run(*words)
    assert (done.code, done.out) == (2, "")
    told = json.loads(done.err)
    assert set(told) == {"schema", "error"}
    assert done.err.count("\n") == 1


def test_main_without_arguments_takes_those_of_the_process(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["e820pool", "--version"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("e820pool ")


def imported_by(*words):
    code = (
        "import sys; from e820pool.cli import main; code = main(sys.argv[1:]);"
        f" print([n for n in {HEAVY!r} if n in sys.modules], file=sys.stderr);"
        " sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "code"), [(["--help"], 0), (["--version"], 0), ([], 2), (["bild"], 2)]
)
def test_help_and_mistakes_before_a_command_import_nothing_heavy(words, code):
    assert imported_by(*words) == (code, "[]")


def test_the_module_runs_as_the_command_does():
    done = subprocess.run(
        [sys.executable, "-m", "e820pool", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"e820pool {__version__}\n"
