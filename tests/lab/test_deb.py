"""The Debian package in clean systems: installed, used, removed, with nothing left.

The systems are made by debootstrap from the archive that apt is configured with, once,
and kept in the lab's cache. Needs root.
"""

import shutil

import pytest
from debiansystem import built_package, run, unpack_clean_system
from rawhandoff import map_file

pytestmark = pytest.mark.slow

# What dpkg itself writes, and what tools make of what is installed.
OF_DPKG = ("var/lib/dpkg/", "var/cache/", "var/log/", "var/lib/apt/", "root/")
SCRIPTS = (
    "/usr/share/bash-completion/completions/e820pool",
    "/usr/share/zsh/vendor-completions/_e820pool",
    "/usr/share/fish/vendor_completions.d/e820pool.fish",
    "/usr/share/man/man1/e820pool.1.gz",
)


@pytest.fixture(scope="module")
def package():
    return built_package()


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def system(request, tmp_path_factory):
    """Return the folder of a clean Debian with Python."""
    folder = tmp_path_factory.mktemp(request.param)
    unpack_clean_system(request.param, folder)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def everything(system):
    found = run("find", ".", "-xdev", "-printf", "%P %y %l\n", cwd=system).splitlines()
    return {one for one in found if one and not one.startswith(OF_DPKG)}


def test_it_installs_checks_and_leaves_nothing(system, package):
    def inside(*words):
        return run("chroot", system, "/usr/bin/env", "-i", "PATH=/usr/bin:/bin", *words)

    before = everything(system)
    shutil.copy(package, system / "root" / "e820pool.deb")
    map_file(system / "root" / "machine.json")
    sbin = ("PATH=/usr/sbin:/usr/bin:/sbin:/bin",)
    inside(*sbin, "dpkg", "-i", "/root/e820pool.deb")
    build = ("build", "/root/machine.json", "--deposit", "128M+64K", "-o", "/root/out")
    inside("e820pool", *build)
    told = inside("e820pool", "check", "/root/out", "--kernel", "5.10,6.1,7.3")
    assert told.count(" safe ") == 3
    # Nothing is started, and nothing is to be.
    wanted = system / "etc" / "systemd" / "system"
    assert not [one for one in wanted.rglob("*") if "e820pool" in one.name]
    for name in SCRIPTS:
        assert (system / name[1:]).stat().st_size > 500
    inside("bash", "-n", SCRIPTS[0])
    # The agent runs with the libraries that came with it.
    words = ("/usr/lib/e820pool/python", "/usr/lib/e820pool/e820pool_agent.py")
    assert "serve" in inside(*words, "--help")
    # Used, it has written nothing beside what dpkg knows but compiled Python.
    listed = set(inside("dpkg", "-L", "e820pool").split())
    made = {one.split()[0] for one in everything(system) - before}
    extra = {one for one in made if f"/{one}" not in listed}
    assert not [one for one in extra if "__pycache__" not in one]
    assert extra
    inside(*sbin, "dpkg", "--purge", "e820pool")
    assert everything(system) == before
