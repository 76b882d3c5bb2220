"""stress and fleet on cores and on a cluster: the same answer, and refusals."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rawhandoff import ROWS

CELLS = ("stress", "--ram", "8G", "--guests", "4", "--days", "0.5")
SWEEP = (*CELLS, "--policy", "scattered", "--seeds", "3", "--format", "csv")


@pytest.fixture
def hosts(tmp_path):
    """Return the file of nine hosts."""
    path = tmp_path / "fleet.jsonl"
    records = [{"id": f"h{number}", "e820": ROWS} for number in range(9)]
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    return path


@pytest.fixture(scope="module")
def scheduler():
    """Return the address of a dask cluster of two processes on this machine."""
    distributed = pytest.importorskip(
        "distributed", reason="pip install e820pool[cluster]"
    )
    # Port 0: any, as the usual one may be somebody's; it is opened without a dashboard.
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0"
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def cores():
    pytest.importorskip("joblib", reason="pip install e820pool[sweep]")


def fleet(hosts):
    return ("fleet", hosts, "--kernel", "4.19,6.1", "--format", "jsonl")


@pytest.mark.extra
@pytest.mark.usefixtures("cores")
class TestCores:
    @pytest.mark.parametrize("backend", ["loky", "threading"])
    def test_two_workers_give_a_sweeps_answer(self, ok, backend):
        done = ok(*SWEEP, "--jobs", "2", "--backend", backend)
        assert done.out == ok(*SWEEP).out

    def test_two_workers_give_a_fleets_answer_in_its_order(self, run, hosts):
        done = run(*fleet(hosts), "--jobs", "2")
        assert done == run(*fleet(hosts))
        assert done.code == 0


@pytest.mark.extra
@pytest.mark.slow
class TestCluster:
    def test_a_dask_cluster_gives_a_sweeps_answer(self, ok, scheduler):
        words = ("--backend", "dask", "--scheduler", scheduler)
        assert ok(*SWEEP, *words).out == ok(*SWEEP).out

    def test_a_dask_cluster_gives_a_fleets_answer_in_its_order(
        self, run, scheduler, hosts
    ):
        words = ("--backend", "dask", "--scheduler", scheduler, "--jobs", "2")
        assert run(*fleet(hosts), *words) == run(*fleet(hosts))

    def test_what_is_finished_on_a_cluster_is_kept(self, ok, scheduler, tmp_path):
        kept = tmp_path / "kept.json"
        words = ("--backend", "dask", "--scheduler", scheduler, "--results", kept)
        first = ok(*SWEEP, *words)
        assert len(kept.read_text().splitlines()) == 1 + 3
        assert ok(*SWEEP, "--quiet", "--results", kept).out == first.out

    def test_an_address_without_a_cluster_is_refused(self, refused):
        words = ("--backend", "dask", "--scheduler", "bogus://here")
        assert "no dask cluster there" in refused(4, *CELLS, *words)


@pytest.mark.parametrize("command", [CELLS, ("fleet", "x.jsonl")])
def test_an_address_is_for_clusters_only(refused, command):
    message = refused(2, *command, "--scheduler", "tcp://here:1")
    assert "--scheduler 'tcp://here:1' needs --backend dask" in message


@pytest.mark.parametrize(
    ("backend", "missing", "install"),
    [
        ("loky", "joblib", "pip install joblib;"),
        ("dask", "distributed", "pip install distributed joblib;"),
    ],
)
@pytest.mark.extra
@pytest.mark.usefixtures("cores")
def test_a_backend_that_is_not_installed_says_what_to_install(
    refused, monkeypatch, backend, missing, install
):
    monkeypatch.setitem(sys.modules, missing, None)
    message = refused(4, *CELLS, "--jobs", "2", "--backend", backend)
    assert install in message
    assert "--backend is one of loky, threading, dask" in message


@pytest.mark.extra
@pytest.mark.parametrize(
    ("words", "missing"),
    [
        ((*SWEEP, "--plot", "curve.png"), "matplotlib"),
        (("fleet", "hosts.parquet"), "pyarrow.parquet"),
    ],
)
def test_a_package_that_is_missing_is_one_status_and_the_line_that_installs_it(
    refused, monkeypatch, tmp_path, words, missing
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hosts.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, missing, None)
    assert f"pip install {missing.partition('.')[0]}" in refused(4, *words)


@pytest.mark.extra
def test_a_dashboard_of_somebodys_at_dasks_usual_port_is_no_matter(run, hosts):
    """dask warned of it, and failed where warnings are errors, as in these tests."""
    pytest.importorskip("distributed", reason="pip install e820pool[cluster]")
    with socket.socket() as taken:
        with contextlib.suppress(OSError):  # somebody's indeed
            taken.bind(("", 8787))
            taken.listen()
        done = run(*fleet(hosts), "--backend", "dask")
    assert done.code == 0
    (line,) = done.err.splitlines()
    assert line.startswith("dask started a scheduler")


@pytest.mark.extra
def test_what_dask_starts_where_no_cluster_is_named_is_said(run, hosts):
    pytest.importorskip("distributed", reason="pip install e820pool[cluster]")
    done = run(*fleet(hosts)[:-2], "--backend", "dask")
    assert "note" not in done.out
    assert "dask started a scheduler (tcp://127.0.0.1:" in done.err


@pytest.mark.extra
@pytest.mark.parametrize(
    ("limit", "expected"),
    [("1ms", "its processes did not start here"), ("40ms", "dask")],
)
def test_a_dask_that_is_too_slow_for_itself_is_an_error_in_a_line(
    monkeypatch, limit, expected
):
    """As on a machine under load, where no time-out of dask's holds."""
    pytest.importorskip("distributed", reason="pip install e820pool[cluster]")
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", limit)
    code = "import sys; from e820pool.cli.main import main; sys.exit(main())"
    words = (*CELLS, "--backend", "dask")
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    *said, last = done.stderr.splitlines()
    if done.returncode:
        assert done.returncode == 4
        assert last.startswith("e820pool: --backend dask")
        assert expected in last
    else:
        said.append(last)
    # Workers have a log of their own, with tracebacks.
    assert [line for line in said if not line.startswith("dask started a ")] == []


def children_of(pid):
    """Return the processes of a session: all that a command left running."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stat = Path(f"/proc/{entry.name}/stat").read_text(encoding="ascii")
            except (FileNotFoundError, ProcessLookupError):
                continue
            fields = stat.rpartition(")")[2].split()
            if int(fields[3]) == pid and fields[0] != "Z":
                found.append(int(entry.name))
    return found


LONG = (
    *("stress", "--ram", "16G", "--guests", "8", "--days", "1", "--seeds", "40"),
    *("--policy", "scattered", "--format", "csv"),
)


def python_of(words):
    return [sys.executable, "-m", "e820pool", *words]


@pytest.fixture(scope="module")
def whole():
    """Return the answer of a sweep that nobody stopped."""
    done = subprocess.run(python_of(LONG), capture_output=True, text=True, check=True)
    return done.stdout


INTERRUPTED = "e820pool: interrupted: nothing was left half-made\n"


def started(*words):
    return subprocess.Popen(
        python_of((*LONG, *words)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process):
    """Return status and outputs of a command whose workers are gone."""
    out, err = process.communicate(timeout=100)
    deadline = time.monotonic() + 60
    while children_of(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert children_of(process.pid) == []
    return process.returncode, out, err


def lines_of(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


# Ctrl-C goes to all processes of a terminal, a kill to one, a service's stop to all.
@pytest.mark.extra
@pytest.mark.slow
@pytest.mark.usefixtures("cores")
@pytest.mark.parametrize(
    "stop",
    [
        (os.killpg, signal.SIGINT),
        (os.kill, signal.SIGTERM),
        (os.killpg, signal.SIGTERM),
        (os.killpg, signal.SIGHUP),
    ],
)
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_stopped_sweep_leaves_no_worker_and_goes_on_where_it_was(
    run, whole, tmp_path, stop, jobs
):
    send, number = stop
    kept = tmp_path / "kept.json"
    process = started("--results", str(kept), "--jobs", jobs)
    while lines_of(kept) < 2 and process.poll() is None:
        time.sleep(0.01)
    send(process.pid, number)
    assert ended(process) == (128 + number, "", INTERRUPTED)
    finished = lines_of(kept) - 1
    assert 0 < finished < 40
    again = run(*LONG, "--results", str(kept))
    assert again.out == whole
    assert again.err == f"{finished} of 40 are there already\n"


@pytest.mark.extra
@pytest.mark.slow
@pytest.mark.usefixtures("cores")
def test_a_sweep_killed_without_a_word_leaves_no_worker_and_no_semaphore(tmp_path):
    """joblib's workers lived on for five minutes, with eleven files in /dev/shm."""
    kept = tmp_path / "kept.json"
    process = started("--results", str(kept), "--jobs", "2")
    while lines_of(kept) < 2 and process.poll() is None:
        time.sleep(0.01)
    assert len(children_of(process.pid)) > 2
    os.kill(process.pid, signal.SIGKILL)
    ended(process)
    left = [one.name for one in Path("/dev/shm").iterdir()]  # noqa: S108
    assert not [name for name in left if str(process.pid) in name]


@pytest.mark.extra
@pytest.mark.slow
@pytest.mark.usefixtures("cores")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("later", [0, 0.01, 0.1, 0.3])
def test_a_sweep_stopped_while_its_workers_start_says_only_that(number, later):
    process = started("--jobs", "2")
    while len(children_of(process.pid)) < 2 and process.poll() is None:
        time.sleep(0.002)
    time.sleep(later)
    os.killpg(process.pid, number)
    assert ended(process) == (128 + number, "", INTERRUPTED)


SLOW_FEEDER = """
import sys, time
from joblib.externals.loky.backend.queues import Queue
from e820pool.experiments.jobs import JobOptions, results_of

feed = Queue._feed

def slowly(*args):
    feed(*args)
    time.sleep(0.3)
    print("ended", file=sys.stderr)

Queue._feed = slowly
answers = results_of(abs, range(99), JobOptions(jobs=2))
next(answers)
answers.close()
"""


@pytest.mark.extra
@pytest.mark.usefixtures("cores")
def test_the_end_waits_for_the_threads_that_fill_joblibs_queues():
    """One stopped sweep of a hundred warned of a semaphore that had leaked."""
    done = subprocess.run(
        [sys.executable, "-c", SLOW_FEEDER], capture_output=True, text=True, check=True
    )
    assert done.stderr == "ended\n"
