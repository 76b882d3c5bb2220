"""Where much work runs: in this process, on its machine's cores, on a cluster."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import threading
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any, TypeVar

from e820pool.errors import MachineError, missing_package
from e820pool.report.output import STOPPING, undisturbed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

__all__ = ("BACKENDS", "JobOptions", "results_of")

BACKENDS = ("loky", "threading", "dask")
"""Names that joblib knows: processes or threads here, or a cluster that is there."""

_T = TypeVar("_T")
_CLUSTERS = ("dask",)
_PACKAGES = {
    "loky": ("joblib",),
    "threading": ("joblib",),
    "dask": ("distributed", "joblib"),
}
# Whose exceptions say that the backend failed, and not the work.
_BACKENDS_OWN = ("joblib", "distributed", "dask", "tornado", "concurrent")
# joblib's word for all workers there are.
_ALL = -1
# The name of the thread that fills a queue of joblib's, and its time to end.
_FEEDER = "QueueFeederThread"
_FEEDER_SECONDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """Where work runs, and how much of it at one time.

    Attributes:
        jobs: workers; None takes one here, and on a cluster all that it has.
        backend: one of :data:`BACKENDS`.
        scheduler: the address of the cluster, None for a cluster of
            processes on this machine.
        tell: hears of such a cluster as it is started.
    """

    jobs: int | None = None
    backend: str = "loky"
    scheduler: str | None = None
    tell: Callable[[str], None] | None = None

    @property
    def is_cluster(self) -> bool:
        """Return whether the work goes to other machines."""
        return self.backend in _CLUSTERS

    @property
    def is_here(self) -> bool:
        """Return whether the work needs no other process or thread."""
        return self.jobs in (None, 1) and not self.is_cluster


def results_of(
    work: Callable[[Any], dict[str, Any]],
    items: Iterable[Any],
    options: JobOptions,
    *,
    in_order: bool = False,
) -> Generator[dict[str, Any], None, None]:
    """Yield ``work(item)`` of every item as it is finished, or in the items' order.

    Only some items more than there are workers are taken from ``items`` at one time.

    Args:
        work: a function of a module, so that other processes can import it.
        items: plain values.
        options: where.
        in_order: whether results come in the order of the items.

    Raises:
        MachineError: a backend is not installed, fails, or its cluster is not there.
    """
    if options.is_here:
        yield from map(work, items)
        return
    joblib = _module("joblib", options.backend)
    jobs = options.jobs or _ALL
    with (
        _failing_as_machine(options.backend),
        _cluster(options),
        joblib.parallel_config(backend=options.backend),
    ):
        if options.backend == "loky":
            _start_workers(joblib, jobs)
        form = "generator" if in_order else "generator_unordered"
        run = joblib.Parallel(n_jobs=jobs, return_as=form)
        if options.backend == "loky":
            work = partial(_in_worker, os.getpid(), work)
        yield from _until_closed(run(joblib.delayed(work)(item) for item in items))


# Of a process that is killed with -9 joblib's workers wait five minutes for more work,
# and as long their semaphores are in /dev/shm.
def _in_worker(parent: int, work: Callable[[_T], dict[str, Any]], item: _T) -> Any:
    _watch(parent)
    return work(item)


@cache
def _watch(parent: int) -> None:
    def until_it_is_gone() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=until_it_is_gone, daemon=True).start()


@contextmanager
def _failing_as_machine(backend: str) -> Iterator[None]:
    try:
        yield
    except Exception as exc:
        owner = type(exc).__module__.partition(".")[0]
        is_late = backend in _CLUSTERS and isinstance(exc, TimeoutError)
        if owner not in _BACKENDS_OWN and not is_late:
            raise
        reason = ": ".join(filter(None, (type(exc).__name__, str(exc)[:120])))
        raise MachineError(
            f"--backend {backend} failed: {reason}; what was finished is kept where "
            "--results says"
        ) from exc


# joblib keeps the workers of one call for the next. What they inherit stays blocked in
# them: Ctrl-C, a terminal that closes and a service that is stopped signal every
# process of a group, and this one ends its workers itself. A worker, or the process
# that unlinks their semaphores, would end with a traceback of its own; and so does a
# worker whose parent is stopped while it starts it.
def _start_workers(joblib: Any, jobs: int) -> None:
    _end_feeders_at_exit()
    with undisturbed():
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        try:
            # Where Python starts it, it unblocks signals afterwards.
            resource_tracker.ensure_running()
            signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
            joblib.Parallel(n_jobs=jobs)([joblib.delayed(int)()])
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


# joblib waits for its other threads as Python ends, but not for those that fill queues
# (loky's queues.py, _start_thread). Each unlinks a semaphore and then tells the process
# that looks for leaked ones, which warns of it where Python ended in between.
@cache
def _end_feeders_at_exit() -> None:
    atexit.register(_end_feeders)


def _end_feeders() -> None:
    for thread in threading.enumerate():
        if thread.name == _FEEDER:
            thread.join(_FEEDER_SECONDS)


# Whoever closes the answers early knows that work is cancelled, joblib need not warn.
def _until_closed(answers: Generator[_T, None, None]) -> Iterator[_T]:
    try:
        for answer in answers:  # noqa: UP028  `yield from` would close them itself
            yield answer
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            answers.close()


def _module(name: str, backend: str) -> Any:
    try:
        return import_module(name)
    except ImportError as exc:
        packages = dict.fromkeys((str(exc.name), *_PACKAGES[backend]))
        others = f"--jobs 1 needs nothing, --backend is one of {', '.join(BACKENDS)}"
        raise missing_package(
            f"--backend {backend}",
            *packages,
            otherwise=others,
        ) from exc


# What goes wrong with the cluster is told once, by our own error: its log would add
# tracebacks of tasks that are cancelled as this command ends.
def _hush(package: str) -> None:
    for name in logging.root.manager.loggerDict:
        if name.partition(".")[0] == package:
            logging.getLogger(name).setLevel(logging.CRITICAL)


# Workers started here write to the same stderr, and have a log of their own: of each
# heartbeat that is late it would have a traceback.
_QUIET_WORKERS = {
    "distributed.nanny.pre-spawn-environ.DASK_LOGGING__DISTRIBUTED": "critical"
}


# The cluster at an address; without one dask starts processes on this machine.
@contextmanager
def _cluster(options: JobOptions) -> Iterator[None]:
    if not options.is_cluster:
        yield
        return
    asked = f"--scheduler {options.scheduler!r}: no {options.backend} cluster there"
    if options.scheduler is None:
        asked = f"--backend {options.backend}: its processes did not start here"
    distributed = _module("distributed", options.backend)
    _hush("distributed")
    try:
        with _module("dask", options.backend).config.set(_QUIET_WORKERS):
            # Any free port: the usual one may be somebody's, of which dask would warn.
            own = {} if options.scheduler else {"dashboard_address": ":0"}
            cluster = distributed.Client(options.scheduler, **own)
    # On a machine under load dask gives up on its own processes by an assertion.
    except (AssertionError, OSError, RuntimeError, ValueError) as exc:
        reason = str(exc)[:120] or type(exc).__name__
        raise MachineError(f"{asked}: {reason}") from exc
    with cluster:
        if options.scheduler is None and options.tell is not None:
            options.tell(
                f"dask started a scheduler ({cluster.scheduler.address}) and worker "
                "processes on this machine, which end with this command"
            )
        yield
