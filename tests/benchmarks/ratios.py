"""Measure two things side by side, so that what holds is a ratio and not a time."""

import resource
import subprocess
import sys
import time


def processor_time(work):
    """Return what one call costs this process, whatever else the machine does."""
    started = time.process_time()
    work()
    return time.process_time() - started


def ratio(benchmark, ours, theirs, rounds=7):
    """Return our least time over theirs, taken in turns; our last time is recorded."""
    warm_up()
    pairs = [(processor_time(ours), processor_time(theirs)) for _ in range(rounds)]
    benchmark.pedantic(ours, rounds=1)
    found = min(mine for mine, _ in pairs) / min(other for _, other in pairs)
    benchmark.extra_info["ratio"] = round(found, 2)
    return found


def warm_up():
    """Let the C library learn that large blocks come and go, and keep them.

    Until it has, each array of a megabyte is fetched from the system page by page.
    (glibc adapts to blocks of up to 32 MiB, mallopt(3), M_MMAP_THRESHOLD.)
    """
    block = bytearray(24 << 20)
    del block


def peak_of(code, *words):
    """Return the most bytes that `python -c code words` has at one time."""
    return int(words_of(code, *words)[-1])


def words_of(code, *words, seconds=600):
    """Return what `python -c code words` prints; its peak in bytes is the last word."""
    measured = code + (
        "\nimport resource"
        "\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10)"
    )
    done = subprocess.run(
        [sys.executable, "-c", measured, *map(str, words)],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds,
        preexec_fn=_limit,  # a mistake must not take the machine down
    )
    return done.stdout.split()


def _limit():
    resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30))
