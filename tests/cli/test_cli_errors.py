"""Errors of a new user: one line that says what was wrong and what to do next."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpexamples import fill
from rawhandoff import MIB, ROWS


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fill(tmp_path, ROWS, ((128 * MIB >> 12, 16),))
    (tmp_path / "hello.txt").write_text("hello world", encoding="ascii")
    (tmp_path / "empty").touch()
    (tmp_path / "noise").write_bytes(bytes(range(256)))
    return tmp_path


BUILD = "build machine.txt --deposit 1G+2M"


@pytest.mark.parametrize(
    ("line", "code", "wrong", "then"),
    [
        ("shwo machine.txt", 2, "'shwo'", "did you mean 'show'?"),
        ("show machine.txt --fromat json", 2, "--fromat", "did you mean --format?"),
        ("show machine.txt --format jsn", 2, "'jsn'", "did you mean 'json'?"),
        ("show machine.txt --block bois", 2, "'bois'", "did you mean 'bios'?"),
        ("stress --ram 4G --guets 3", 2, "--guets", "did you mean --guests?"),
        ("show machine.txt more", 2, "more", "see 'e820pool show --help'"),
        ("kernels", 2, "required: action", "see 'e820pool kernels --help'"),
        ("kernels fetsh", 2, "'fetsh'", "did you mean 'fetch'?"),
        ("show machne.txt", 3, "cannot read 'machne.txt'", "is it 'machine.txt'?"),
        ("show nowhere/x", 3, "cannot read", "no folder 'nowhere'"),
        ("show hello.txt", 3, "without a memory map", "the output of dmesg"),
        ("show empty", 3, "is empty", "the output of dmesg"),
        ("diff machine.txt noise", 3, "binary data", "the output of dmesg"),
        (f"{BUILD} --deposit 1T+2M -o x", 3, "RAM", "'e820pool show machine.txt'"),
        ("build machine.txt --deposit 1G -o x", 3, "'1G'", "want START-END (END incl"),
        ("build machine.txt --deposit 1X+2M -o x", 3, "'1X'", "want 4096, 0x1000, 4K"),
        ("build machine.txt --deposit 1G+1 -o x", 3, "'1G+1'", "the nearest is 0x4"),
        (f"{BUILD} -o machine.txt", 3, "no directory", "give another name"),
        (f"{BUILD} -o maps", 3, "is not of e820pool", "give another name"),
        (f"{BUILD} -o nowhere/x", 3, "cannot write", "no folder 'nowhere', make it"),
        (f"{BUILD} --encoding best -o x", 3, "'best'", "is not one of: guarded, split"),
        ("check machine.txt", 3, "a boot_params has", "e820pool build machine.txt"),
        ("check handoff", 3, "cannot read 'handoff'", "-o handoff' makes a handoff"),
        ("predict out --kernel 9.9", 4, "'9.9'", "known are 2.6.32, 3.10"),
        ("predict out --kernel vmlinuz", 4, "'vmlinuz'", "as ./vmlinuz"),
        ("boot out --kernel 6.1", 4, "no kernel image", "'e820pool kernels fetch 6.1'"),
        ("check out --boot", 4, "no kernel images", "'e820pool kernels fetch'"),
        ("chain machine.txt --kernel out", 4, "'out'", "'e820pool kernels fetch out'"),
        ("compare machine.txt", 3, "nothing is deposited", "--deposit says what"),
        ("stress --ram 1G", 3, "0x40000000 bytes", "the limits are 0x100000000"),
        ("stress --ram 64G --policy top", 3, "'top'", "top-down, cma:NxSIZE"),
        ("rebuild out --no-record", 2, "--no-record", "--firmware-map"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_an_error_is_one_line_that_says_what_to_do_next(run, line, code, wrong, then):
    done = run(*line.split())
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("e820pool: ")
    assert done.err.count("\n") == 1
    assert wrong in done.err
    assert then in done.err[done.err.index(wrong) :]


def test_what_is_like_nothing_is_only_refused(run):
    done = run("frobnicate")
    assert "did you mean" not in done.err
    assert "(choose from show, diff, build" in done.err


def test_an_unknown_kernel_s_verdict_says_how_to_name_an_image(run, folder):
    done = run("check", folder / "out", "--kernel", "vmlinuz")
    assert done.code == 4
    assert "as ./vmlinuz" in done.out


def test_the_next_step_is_in_the_json_error_too(run, folder):
    done = run("show", folder / "machne.txt", "--format", "json")
    assert "machine.txt'?" in done.err
    assert done.err.startswith('{"schema": 1, "error": ')


@pytest.fixture
def nobody(run, folder):
    """Return a function that runs a command as a user who owns nothing."""
    if os.geteuid():
        pytest.skip("needs root, to become another user")
    assert run(*f"{BUILD} -o loaded".split()).code == 0  # all is imported

    def call(*words):
        os.seteuid(65534)
        try:
            return run(*words)
        finally:
            os.seteuid(0)

    (folder / "machine.txt").chmod(0)
    return call


def test_what_only_root_may_read_is_said(nobody):
    done = nobody("show", "machine.txt")
    assert (done.code, done.out) == (3, "")
    assert done.err == (
        "e820pool: cannot read 'machine.txt': permission denied (root may read it)\n"
    )


def test_a_place_that_is_another_s_is_said(nobody, folder):
    folder.chmod(0o755)
    (folder / "machine.txt").chmod(0o644)
    done = nobody(*f"{BUILD} -o x".split())
    assert (done.code, done.out) == (3, "")
    assert "'x': permission denied; choose a place that is yours" in done.err


def test_a_fault_of_ours_is_one_line_and_its_own_status(run, folder, monkeypatch):
    """Python's own way ends with 1, which says unsafe."""

    def break_down(*_args):
        raise ZeroDivisionError("by \x1b[2Jnought")

    monkeypatch.setattr("e820pool.cli.commands.show.map_lines", break_down)
    done = run("show", folder / "machine.txt")
    assert (done.code, done.out) == (70, "")
    assert done.err.startswith("e820pool: a fault of e820pool itself")
    assert "ZeroDivisionError: by \\x1b[2Jnought; please report it" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    "end", [BaseException("panicked"), SystemExit("words"), SystemExit(1)]
)
def test_nothing_that_escapes_ends_as_unsafe(run, folder, monkeypatch, end):
    """A panic of Rust is no Exception, and sys.exit() of others no status of ours."""

    def escape(*_args):
        raise end

    monkeypatch.setattr("e820pool.cli.commands.show.map_lines", escape)
    done = run("show", folder / "machine.txt")
    assert (done.code, done.out) == (70, "")
    assert done.err.startswith("e820pool: a fault of e820pool itself")


@pytest.mark.parametrize("words", ["predict --jsonl z", "fleet z --kernel 6.1"])
def test_a_line_that_never_ends_is_left(run, folder, monkeypatch, words):
    monkeypatch.setattr("e820pool.sources.files._SKIP_LIMIT", 1 << 26)
    (folder / "z").symlink_to("/dev/zero")
    done = run(*words.split())
    assert done.code == 3
    assert "a line does not end" in done.err


def test_too_little_memory_is_no_verdict(run, folder, monkeypatch):
    def run_out(*_args):
        raise MemoryError

    monkeypatch.setattr("e820pool.cli.commands.show.map_lines", run_out)
    done = run("show", folder / "machine.txt")
    assert done.code == 4
    assert done.err.startswith("e820pool: out of memory")


def test_stderr_that_cannot_be_written_changes_no_status(folder):
    words = [sys.executable, "-m", "e820pool"]
    with Path("/dev/full").open("w") as full:
        for command, code in (("show nothing.txt", 3), ("frobnicate", 2)):
            argv = [*words, *command.split()]
            done = subprocess.run(argv, check=False, cwd=folder, stderr=full)
            assert done.returncode == code


def test_a_processor_that_numpy_was_not_built_for_is_one_line(tmp_path):
    """What NumPy 2.4 raises as it is imported by a processor without x86-64-v2."""
    package = tmp_path / "numpy"
    package.mkdir()
    (package / "__init__.py").write_text(
        "raise RuntimeError('NumPy was built with baseline optimizations: \\n(X86_V2) "
        "but your machine doesn\\'t support:\\n(X86_V2).')"
    )
    done = subprocess.run(
        [sys.executable, "-m", "e820pool", "show", "live"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.count("\n") == 1
    assert "x86-64-v2, with cx16" in done.stderr
    assert "numpy<2.4" in done.stderr
