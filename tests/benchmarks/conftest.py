"""What the benchmarks share."""

import shutil

import pytest
from compiled import Compiled


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """Return the functions of sanitize.c."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc: apt-get install gcc libc6-dev")
    return Compiled(tmp_path_factory.mktemp("compiled"))
