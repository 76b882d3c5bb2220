"""As a process among others: pipes, full disks, closed streams, signals."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rawhandoff import map_file

E820POOL = (sys.executable, "-m", "e820pool")
FULL = Path("/dev/full")
TEXT = {"text": True, "encoding": "utf-8"}


def shell(script, **more):
    """Run a line of shell in which $E is the command."""
    words = " ".join(E820POOL)
    # Unbuffered, Python itself forgets what a pipe did not take.
    env = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    return subprocess.run(
        ["bash", "-c", script],
        env=env | {"E": words},
        capture_output=True,
        check=False,
        **TEXT,
        **more,
    )


@pytest.mark.parametrize("reader", ["head -1", "true"])
def test_a_reader_that_leaves_is_no_error(machine, reader):
    many = machine.with_name("many.json")
    map_file(many, [(i << 20, 1 << 19, 1) for i in range(20_000)])
    told = "echo ${PIPESTATUS[0]}"
    done = shell(f"$E show {many} --format dmesg -q | {reader}; {told}")
    *shown, status = done.stdout.splitlines()
    assert done.stderr == ""
    assert status == "141", shown


@pytest.mark.parametrize("rows", [6, 20_000])
def test_a_full_disk_is_one_line(machine, rows):
    if not FULL.exists():
        pytest.skip("needs /dev/full: run on Linux")
    path = machine.with_name("some.json")
    map_file(path, [(i << 20, 1 << 19, 1) for i in range(rows)])
    done = shell(f"$E show {path} --format dmesg -q > {FULL}; echo $? >&2")
    assert done.stderr == "e820pool: standard output: no space left on device\n3\n"


def test_closed_streams_are_no_crash(machine):
    done = shell(f"$E show {machine} >&-; echo $?")
    assert (done.stdout, done.stderr) == ("0\n", "")
    done = shell("$E show /no/such/file 2>&-; echo $?")
    assert done.stdout == "3\n"
    done = shell("$E show - <&-; echo $? >&2")
    assert done.stderr == (
        "e820pool: standard input is closed: SOURCE - has nothing to read\n3\n"
    )


def test_a_name_that_the_terminal_cannot_spell_is_escaped(machine, tmp_path):
    out = os.fsencode(tmp_path) + b"/\xff\xc3\xa9"
    words = [*E820POOL, "build", machine, "-o", out, "--deposit", "1G+4K"]
    for encoding in ("utf-8", "ascii"):
        env = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
        done = subprocess.run(words, env=env, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"\\udcff" in done.stdout


def test_pictures_have_a_form_for_terminals_without_blocks(machine):
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    words = [*E820POOL, "show", machine, "--format", "picture"]
    done = subprocess.run(words, env=env, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"# usable" in done.stdout


def blocked_build(out, fifo):
    """Start a build that waits for its list of deposits."""
    os.mkfifo(fifo)
    words = [*E820POOL, "build", fifo.with_name("machine.json"), "-o", out]
    child = subprocess.Popen(
        [*words, "--deposit", f"@{fifo}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **TEXT,
    )
    # Opening the other end succeeds once the child reads.
    return child, os.open(fifo, os.O_WRONLY)


def told_after(child, number):
    """Return what a child says that waits for input, and then for a signal.

    One that comes between Python's look for signals and its read() waits for the next.
    """
    for _ in range(3):
        child.send_signal(number)
        try:
            return child.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            continue
    child.kill()
    return child.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_one_line_and_leaves_nothing(machine, out, number):
    child, end = blocked_build(out, machine.with_name("fifo"))
    told = told_after(child, number)
    os.close(end)
    assert told == ("", "e820pool: interrupted: nothing was left half-made\n")
    assert child.returncode == 128 + number
    assert list(out.parent.iterdir()) == []


def test_what_nohup_ignores_stays_ignored(machine, out):
    words = ["nohup", *E820POOL, "build", machine, "--deposit", "1G+4K", "-o", out]
    fifo = machine.with_name("fifo")
    os.mkfifo(fifo)
    words[-3] = f"@{fifo}"
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with fifo.open("wb") as stream:
        child.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        stream.write(b"1G+4K\n")
    child.communicate(timeout=60)
    assert child.returncode == 0
    assert (out / "manifest.json").exists()


TURNED = """
import os, signal, sys
from e820pool.cli import main
from e820pool.cli.commands import show
def run(args, console):
    try:
        os.kill(os.getpid(), signal.{0})
    except KeyboardInterrupt:
        raise ImportError("numpy.core failed to import")
show.run = run
sys.exit(main(["show", "x"]))
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP", "SIGTERM"])
def test_a_signal_that_a_library_turns_into_its_own_error_is_still_one(name):
    """NumPy's import does so with Ctrl-C, and dask's loop with a hang-up."""
    words = [sys.executable, "-c", TURNED.format(name)]
    done = subprocess.run(words, capture_output=True, check=False, **TEXT)
    assert done.returncode == 128 + signal.Signals[name]
    assert done.stderr == "e820pool: interrupted: nothing was left half-made\n"


@pytest.mark.parametrize(
    ("words", "code"),
    [(["show", "/nowhere"], 3), (["show", "machine.json"], 0), (["bogus"], 2)],
)
def test_stderr_that_cannot_be_written_does_not_change_the_status(machine, words, code):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*E820POOL, *words],
            cwd=machine.parent,
            stdout=subprocess.DEVNULL,
            stderr=full,
            check=False,
        )
    assert done.returncode == code


EARLY = """
import runpy, signal, sys
class Hook:
    def find_spec(self, name, path=None, target=None):
        if name == "e820pool.cli.status":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Hook())
runpy.run_module("e820pool", run_name="__main__")
"""


def test_ctrl_c_before_it_has_begun_is_no_crash():
    words = [sys.executable, "-c", EARLY]
    done = subprocess.run(words, capture_output=True, check=False, **TEXT)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


STEPS = """
import signal, sys, os
from e820pool.cli import main
from e820pool.report import output
steps = int(sys.argv[1])
real = output.Path.write_bytes
def write(self, data):
    global steps
    steps -= 1
    if steps == 0:
        os.kill(os.getpid(), signal.SIGTERM)
    return real(self, data)
output.Path.write_bytes = write
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 9])
def test_a_signal_between_two_files_leaves_the_old_or_nothing(
    machine, out, older, steps
):
    words = ["build", str(machine), "-o", str(out), "--deposit", "1G+4K"]
    if older:
        subprocess.run([*E820POOL, *words], check=True, capture_output=True)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    done = subprocess.run(
        [sys.executable, "-c", STEPS, str(steps), *words],
        capture_output=True,
        check=False,
        **TEXT,
    )
    assert done.returncode == 143, done.stderr
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert [path.name for path in out.parent.iterdir()] == ["out"] * older


def test_a_demo_that_is_ended_leaves_nothing(tmp_path):
    """It sends itself the signal once its folder is there."""
    code = STEPS.replace("steps = int(sys.argv[1])", "steps = 3")
    code = code.replace("sys.argv[2:]", "sys.argv[1:]")
    done = subprocess.run(
        [sys.executable, "-c", code, "demo"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        check=False,
        **TEXT,
    )
    assert done.returncode == 143, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_handlers_are_the_caller_s_again_afterwards(run):
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)]
    run("--version")
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)] == before


def test_a_command_can_run_beside_the_main_thread():
    import threading

    from e820pool.cli import main

    codes = []
    thread = threading.Thread(target=lambda: codes.append(main(["show", "/no/file"])))
    thread.start()
    thread.join()
    assert codes == [3]
