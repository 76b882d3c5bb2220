"""completion: the script of each shell, asked in that shell for what it offers."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from e820pool.cli.commands import COMMANDS
from e820pool.cli.commands.completion import NAMES, SHELLS
from e820pool.cli.main import build_parser

# Asks as bash does when TAB is pressed: words, the number of the last, and the line.
ASK = """
source "$1"; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
function=$(complete -p e820pool | sed 's/.*-F \\([^ ]*\\).*/\\1/')
$function e820pool "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """Return the script of each shell, in files."""
    folder = tmp_path_factory.mktemp("scripts")
    for shell in SHELLS:
        with (folder / shell).open("wb") as stream:
            words = (sys.executable, "-m", "e820pool", "completion", shell)
            subprocess.run(words, stdout=stream, check=True)
    return folder


@pytest.fixture
def offered(scripts, tmp_path, monkeypatch):
    """Return a function that presses TAB after some words, in an own folder."""
    program = Path(sys.executable).with_name("e820pool")
    if not program.exists():
        pytest.skip("the e820pool command is not beside python: pip install -e .")
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    (tmp_path / "machine.txt").touch()
    (tmp_path / "maps").mkdir()

    def press(*words):
        done = subprocess.run(
            ["bash", "-c", ASK, "bash", scripts / "bash", "e820pool", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return done.stdout.split()

    return press


def test_every_command_is_offered(offered):
    assert set(offered("")) >= set(COMMANDS)
    assert offered("di") == ["diff"]


@pytest.mark.parametrize(
    ("words", "some"),
    [
        (("show", "--fo"), {"--format"}),
        (("show", "--format", "dm"), {"dmesg", "dmesg-7.0", "dmesg-2.4"}),
        (("show", "m"), {"machine.txt", "maps"}),
        (("show", "l"), {"live"}),
        (("diff", "x", "mach"), {"machine.txt"}),
        (("build", "live", "--encoding", "s"), {"split"}),
        (("build", "live", "-o", "m"), {"maps"}),
        (("build", "live", "--deposit", "@m"), {"@machine.txt", "@maps"}),
        (("check", "out", "--kernel", "6."), {"6.1", "6.12", "6.18"}),
        (("check", "out", "--kernel", "5.10,6.1"), {"5.10,6.1", "5.10,6.12"}),
        (("check", "out", "--kernel", "mach"), {"machine.txt"}),
        (("kernels", "f"), {"fetch"}),
        (("kernels", "list", "7."), {"7.0", "7.3"}),
        (("stress", "--confirm", "zero"), {"zero-page"}),
        (("stress", "--policy", "top"), {"top-down"}),
        (("chain", "x", "--loader", "ours,kexec-l"), {"ours,kexec-load"}),
        (("completion", "z"), {"zsh"}),
    ],
    # A set has no order of its own, and processes that share the tests need one.
    ids=lambda words: " ".join(sorted(words) if isinstance(words, set) else words),
)
def test_bash_offers_what_may_come_next(offered, words, some):
    found = set(offered(*words))
    assert found >= some
    assert all(one.startswith(words[-1]) for one in found)


def test_folders_are_all_that_is_offered_where_a_folder_must_be(offered):
    assert offered("build", "live", "-o", "m") == ["maps"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_can_read_its_script(scripts, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}: apt-get install {shell}")
    done = subprocess.run(
        [shell, "-n", scripts / shell], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("words", "some"),
    [
        ("di", {"diff"}),
        ("show --fo", {"--format"}),
        ("show m", {"machine.txt", "maps/"}),
        ("show li", {"live"}),
        ("build live --encoding s", {"split"}),
        ("build live -o m", {"maps/"}),
        ("check out --kernel 6.", {"6.1", "6.12"}),
        ("check out --kernel mach", {"machine.txt"}),
    ],
)
@pytest.mark.usefixtures("offered")
def test_fish_offers_what_may_come_next(scripts, tmp_path, words, some):
    if shutil.which("fish") is None:
        pytest.skip("needs fish: apt-get install fish")
    ask = f"source {scripts / 'fish'}; complete -C 'e820pool {words}'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", ask],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    found = {line.partition("\t")[0] for line in done.stdout.splitlines()}
    assert found >= some, done.stderr


@pytest.mark.parametrize("what", NAMES)
def test_names_are_told_one_a_line(ok, what):
    names = ok("completion", "--list", what).out.splitlines()
    assert len(names) == len(set(names)) > 2
    assert all(name == name.strip() and " " not in name for name in names)


def test_every_argument_that_takes_a_file_or_a_name_is_completed():
    """A new option with a metavar of its own would have nothing to offer."""
    from e820pool.cli.commands import completion

    parser = build_parser()
    completion._completion_script(parser, "bash")
    # What only its user can know.
    free = {"N", "SECONDS", "SIZE", "TEXT", "ADDRESS", "CMDLINE", "PART=ADDR", "MODEL"}
    free |= {"SOCKET|COMMAND", "OPTION=VALUE"}
    for action in completion._actions(parser):
        if action.choices is None and action.nargs != 0:
            assert hasattr(action, "complete") != (action.metavar in free), action


@pytest.mark.parametrize("words", [(), ("bash", "--list", "kernels")])
def test_it_is_either_a_script_or_names(run, words):
    done = run("completion", *words)
    assert (done.code, done.out) == (2, "")
    assert "either a shell or --list WHAT" in done.err
