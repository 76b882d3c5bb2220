"""Start-up costs: what nobody asked for is not imported. Ratios, not seconds."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

LOG = Path(__file__).parents[1] / "data" / "maps" / "dmesg" / "008.txt"
E820POOL = (sys.executable, "-m", "e820pool")
NUMPY = (sys.executable, "-c", "import numpy")
ROUNDS = 12
# The help may not need these: they cost more than all the rest.
HEAVY = ("numpy", "construct", "rich", "jinja2", "hypothesis", "joblib", "shtab")
# As installed: compiled once, and numpy's algebra with one thread, as ours is.
ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
ENVIRONMENT.pop("PYTHONDONTWRITEBYTECODE", None)


def processor_time(words):
    """Return what a process costs, in seconds of the processor: load is no matter."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, check=True, capture_output=True, env=ENVIRONMENT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.fixture(scope="module")
def handoff(tmp_path_factory):
    out = tmp_path_factory.mktemp("handoff") / "out"
    words = ("build", str(LOG), "--deposit", "256M+64M", "-o", str(out))
    subprocess.run((*E820POOL, *words), check=True, capture_output=True)
    return out


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        ("--help", 1.5),
        ("show {log}", 2.25),
        ("build {log} --deposit 256M+64M -o {new}", 3.75),
        ("check {handoff} --kernel 6.1", 4),
    ],
    ids=["help", "show", "build", "check"],
)
def test_a_short_command_costs_a_few_imports_of_numpy(words, limit, handoff, tmp_path):
    """One takes 0.1 s; on the same machine these took 0.05, 0.15, 0.22 and 0.24 s.

    A busy processor makes both dearer, and not alike: the least of each counts.
    """
    costs, imports = [], []
    for at in range(ROUNDS):
        places = {"log": LOG, "handoff": handoff, "new": tmp_path / str(at)}
        filled = (word.format(**places) for word in words.split())
        costs.append(processor_time((*E820POOL, *filled)))
        imports.append(processor_time(NUMPY))
        if at and min(costs) < limit * min(imports):
            return
    pytest.fail(f"{min(costs):.3f} s, and to import numpy {min(imports):.3f} s")


def imported_by(*words):
    """Return the modules that a command has imported when it ends."""
    code = (
        "import sys; from e820pool.cli import main; main(sys.argv[1:]);"
        " print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], check=True, capture_output=True, text=True
    )
    return set(done.stderr.splitlines()[-1].split())


def test_the_help_imports_nothing_heavy():
    """The help of one command may: it is asked for once, by somebody who stays."""
    assert not imported_by("--help") & set(HEAVY)


def test_to_show_a_kernel_log_no_reader_of_binaries_or_documents_is_imported():
    found = imported_by("show", str(LOG))
    assert not found & {"construct", "msgspec", "numpy.ma", "e820pool.sources.iomem"}


def test_to_check_for_a_release_no_reader_of_logs_or_of_this_machine_is(handoff):
    found = imported_by("check", str(handoff), "--kernel", "6.1")
    ours = {"recognise", "dmesg", "live_machine", "live_devices", "iomem"}
    assert not found & {"numpy.ma", *(f"e820pool.sources.{name}" for name in ours)}
