"""The distribution's archive, through apt with a configuration of its own."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from e820pool.errors import LabError
from e820pool.lab.apt import IsolatedApt, system_archive
from e820pool.lab.fetch import list_available
from e820pool.lab.images import cached_images, find_image

SYSTEM = ("/etc/apt", "/var/lib/apt/lists", "/var/cache/apt")


def state_of_the_system():
    """Return name, size and time of every file of the system's own apt."""
    return {
        path: (path.stat().st_size, path.stat().st_mtime_ns)
        for folder in SYSTEM
        for path in Path(folder).rglob("*")
        if path.is_file()
    }


@pytest.fixture
def apt_folder(tmp_path):
    # apt drops its rights for downloads where it can: the way there must be open.
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    return tmp_path


def test_listing_and_downloading_leave_the_systems_apt_as_it_was(apt_folder):
    before = state_of_the_system()
    try:
        apt = IsolatedApt(apt_folder / "apt")
        apt.update()
    except LabError as error:
        pytest.skip(f"the archive cannot be reached: {error}")
    names = apt.names("^linux-base$")
    (apt_folder / "got").mkdir()
    (file,) = apt.download(names, apt_folder / "got")
    told = subprocess.run(
        ["dpkg-deb", "-f", file, "Package"], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "linux-base"
    assert state_of_the_system() == before


def test_a_package_that_is_not_there_is_a_lab_error_with_apts_words(apt_folder):
    try:
        apt = IsolatedApt(apt_folder / "apt")
        apt.update()
    except LabError as error:
        pytest.skip(f"the archive cannot be reached: {error}")
    (apt_folder / "got").mkdir()
    with pytest.raises(LabError, match=r"download of no-such-kernel: E: "):
        apt.download(("no-such-kernel",), apt_folder / "got")


def test_the_archive_has_the_releases_that_every_run_boots():
    try:
        available = [kernel.release for kernel in list_available()]
    except LabError as error:
        pytest.skip(f"the archive cannot be reached: {error}")
    assert {"5.10", "6.1", "6.12"} <= set(available)
    assert available[-1].startswith("7.")
    numbers = [tuple(map(int, release.split("."))) for release in available]
    assert numbers == sorted(numbers)


def test_no_apt_says_what_to_do_instead(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="pass --kernel the path of a bzImage instead"):
        system_archive()


def test_cached_images_are_kernels_with_their_configuration(image_of):
    image_of("6.1")
    for image in cached_images():
        assert hashlib.sha256(image.read()).hexdigest() == image.image_sha256
        config = image.read_config()
        assert not config or "CONFIG_X86_64=y" in config
        assert os.fspath(image.path).endswith(image.version)
    assert "CONFIG_NODES_SHIFT=10" in find_image("6.1").read_config()
