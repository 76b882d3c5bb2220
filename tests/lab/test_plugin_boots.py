"""The fixture ``boot``, as another project uses it, on a real kernel."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from compat_cases import check
from documented import ROOT, listings
from labbench import PATIENT, deposits, handoff_of

from e820pool.compat import diff
from e820pool.kernel.early_boot import predict
from e820pool.kernel.profiles import profile_for
from e820pool.lab.boot import BootOptions

PAGE, LISTING = "docs/for-your-code.md", "test_on_a_real_kernel"
RELEASE = "6.1"
OPTIONS = BootOptions(deadlines=PATIENT)


@pytest.fixture(autouse=True)
def fetched(image_of):
    # Looked up now: a run within a run has a home of its own.
    return image_of(RELEASE).path


def machines_here():
    """Return the QEMUs whose parent is this process."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue  # it has ended since
        if name.startswith("qemu") and int(rest.split()[1]) == os.getpid():
            found.append(stat.parent.name)
    return found


def test_the_view_is_the_machine_s_and_no_deposit_was_touched(boot):
    handoff = handoff_of(deposits(3))
    view = boot(handoff, kernel=RELEASE, options=OPTIONS)
    assert view.engine == "machine"
    assert view.kernel.startswith(RELEASE)
    assert view.touched.nr_pages > 1000
    assert not view.touched_deposits
    assert check(handoff, profile_for(RELEASE), view).verdict == "safe"


def test_it_was_booted_once_and_agrees_with_the_model(boot):
    made = boot.record(handoff_of(deposits(3)), RELEASE, options=OPTIONS)
    assert boot.record(handoff_of(deposits(3)), RELEASE, options=OPTIONS) is made
    assert diff(predict(made.handoff, profile_for(RELEASE)), made.view) == ()


def test_no_machine_is_left(boot):
    assert callable(boot)
    assert machines_here() == []


def test_the_listing_in_the_documentation_boots_a_kernel(pytester, fetched):
    """In a process and a home of its own, with the images of this one's cache."""
    pytester.makepyfile(**{LISTING: listings(PAGE)[LISTING]})
    pytester.makeini("[pytest]\ne820pool_deadline = 300\n")
    result = pytester.runpytest_subprocess(
        "--e820pool-require", "--e820pool-cache", fetched.parents[1]
    )
    result.assert_outcomes(passed=1)


def test_the_program_of_the_api_page_boots_a_kernel(tmp_path, fetched):
    for name, text in listings("docs/api-in-five-minutes.md").items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "tests/data/maps/dmesg/008.txt", tmp_path / "dmesg.txt")
    for words in (["first.py"], ["real.py", fetched]):
        done = subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{fetched} safe\n"
