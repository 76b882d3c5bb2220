"""A dask cluster of processes of its own, of which parts die or join while it works."""

import json
import signal
import subprocess
import sys
import time

import pytest

pytestmark = [pytest.mark.extra, pytest.mark.slow]

LONG = (
    *("stress", "--ram", "16G", "--guests", "8", "--days", "1", "--seeds", "24"),
    *("--policy", "scattered", "--format", "csv"),
)


class Cluster:
    """A scheduler and workers on the loopback device, each a process."""

    def __init__(self, folder):
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.processes = []

    def begin(self):
        host = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        self.scheduler = self.start("scheduler", *host)
        self.wait_for(self.file.exists)
        self.address = json.loads(self.file.read_text())["address"]

    def start(self, what, *words):
        words = (f"distributed.cli.dask_{what}", "--scheduler-file", self.file, *words)
        with (self.folder / f"{what}-{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(process)
        return process

    def worker(self):
        more = ("--no-nanny", "--nthreads", "1", "--no-dashboard")
        return self.start("worker", *more, "--local-directory", self.folder)

    def wait_for(self, is_so):
        deadline = time.monotonic() + 240
        while not is_so():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def end(self):
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    pytest.importorskip("distributed", reason="pip install e820pool[cluster]")
    pytest.importorskip("joblib", reason="pip install e820pool[cluster]")
    made = Cluster(tmp_path)
    try:
        made.begin()
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def whole():
    """Return the answer of a sweep in one process."""
    words = [sys.executable, "-m", "e820pool", *LONG]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


class Sweep:
    """The command on a cluster, with what it keeps."""

    def __init__(self, cluster, kept):
        self.kept = kept
        words = ("--backend", "dask", "--scheduler", cluster.address)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "e820pool", *LONG, *words, "--results", kept],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        cluster.processes.append(self.process)
        cluster.wait_for(lambda: self.nr_kept() >= 3 or self.process.poll() is not None)

    def keys(self):
        if not self.kept.exists():
            return []
        lines = self.kept.read_text().splitlines()[1:]
        return [json.loads(line)["key"] for line in lines if line.endswith("}")]

    def nr_kept(self):
        return len(self.keys())

    def end(self):
        out, err = self.process.communicate(timeout=240)
        return self.process.returncode, out, err


def is_complete(sweep, whole):
    code, out, err = sweep.end()
    assert (code, out) == (0, whole), err
    assert len(sweep.keys()) == len(set(sweep.keys())) == 24


def test_a_worker_that_is_killed_loses_no_result_and_doubles_none(
    cluster, whole, tmp_path
):
    workers = [cluster.worker(), cluster.worker()]
    sweep = Sweep(cluster, tmp_path / "kept.json")
    assert sweep.process.poll() is None
    workers[0].send_signal(signal.SIGKILL)
    is_complete(sweep, whole)


def test_a_worker_that_joins_loses_no_result_and_doubles_none(cluster, whole, tmp_path):
    cluster.worker()
    sweep = Sweep(cluster, tmp_path / "kept.json")
    cluster.worker()
    is_complete(sweep, whole)


def test_a_scheduler_that_goes_is_no_verdict_and_what_was_finished_is_kept(
    cluster, whole, tmp_path
):
    cluster.worker()
    cluster.worker()
    sweep = Sweep(cluster, tmp_path / "kept.json")
    cluster.scheduler.send_signal(signal.SIGKILL)
    code, out, err = sweep.end()
    assert (code, out) == (4, ""), err
    assert err.splitlines()[-1].startswith("e820pool: --backend dask failed: "), err
    assert 3 <= sweep.nr_kept() < 24
    words = [sys.executable, "-m", "e820pool", *LONG, "--results", sweep.kept]
    again = subprocess.run(words, capture_output=True, text=True, check=True)
    assert again.stdout == whole
    assert len(sweep.keys()) == len(set(sweep.keys())) == 24
