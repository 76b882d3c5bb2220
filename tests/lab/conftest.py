"""Kernel images, machines small enough to be quick, and handoffs to boot.

E820POOL_LAB_RELEASES names the releases to boot, separated by commas; without it those
in the cache are booted, and at least those that every run has to show.
"""

import os
import shutil

import pytest

from e820pool.errors import LabError
from e820pool.lab.fetch import fetch_images
from e820pool.lab.guest import find_busybox
from e820pool.lab.images import NEWEST, find_image

# Whole chains and matrices: `make lab` runs them, `make test` leaves them out.
MINUTES = {"test_chains", "test_kernel_build", "test_rivals", "test_upstream"}
NEEDED = ("5.10", "6.1", "6.12", "6.18", "newest")


def releases():
    named = os.environ.get("E820POOL_LAB_RELEASES", "")
    return tuple(filter(None, named.split(","))) or NEEDED


def pytest_generate_tests(metafunc):
    if "release" in metafunc.fixturenames:
        metafunc.parametrize("release", releases())


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/lab" in item.path.as_posix():
            item.add_marker(pytest.mark.lab)
            if item.path.stem in MINUTES:
                item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def tools():
    """Skip where there is no machine to boot: CI turns that into a failure."""
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("QEMU is not installed: install qemu-system-x86")
    try:
        find_busybox()
    except LabError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def image_of():
    """Return a function from a release to its bzImage; fetches what is not there."""
    read = {}

    def get(release):
        if release not in read:
            # In the cache the newest is the newest of those that are there.
            ways = [find_image, lambda name: fetch_images((name,))[0]]
            reasons = []
            for way in reversed(ways) if release == NEWEST else ways:
                try:
                    read[release] = way(release)
                    break
                except LabError as error:
                    reasons.append(str(error))
            else:
                pytest.skip(f"'e820pool kernels fetch {release}': {reasons}")
        return read[release]

    return get


@pytest.fixture
def kernel(release, image_of):
    return image_of(release)
