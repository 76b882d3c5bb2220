"""Debian as its tools install it: clean systems, and a machine's disk made of one.

What takes minutes is made once and kept in the lab's cache, `systems`: a system by its
suite, the machine by its recipe (`lab/debian`), the disk by recipe and package. Needs
root and debootstrap.
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from e820pool.errors import LabError
from e820pool.lab.apt import system_archive
from e820pool.lab.cache import cache_folder

ROOT = Path(__file__).parents[1]
RECIPE = Path(__file__).parent / "lab" / "debian"

# MiB. The rest of the disk is the root file system.
ESP, BOOT, DISK = 64, 512, 4096
ALIGN = 1
ENVIRONMENT = ("/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root")


def run(*words, **more):
    """Return what a program prints; anything but status 0 fails the test."""
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        **more,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


def built_package():
    """Return the Debian package, built from this tree unless E820POOL_DEB names it."""
    if named := os.environ.get("E820POOL_DEB"):
        return Path(named).resolve()
    run("make", "deb", cwd=ROOT)
    (made,) = (ROOT / "build" / "deb").glob("*.deb")
    return made


def unpack_clean_system(suite, folder):
    """Put a minimal Debian with Python into a folder; make it where it is not kept."""
    archive = debian_archive()
    packed = cache_folder("systems") / f"{suite}.tar"
    if packed.exists():
        run("tar", "-C", folder, "-xf", packed)
        return
    words = ("--variant=minbase", "--include=python3", suite, folder)
    run("debootstrap", *words, archive)
    _pack(folder, packed)


def debian_archive():
    """Return the archive that apt is configured with; skip without what it needs."""
    if os.geteuid() or shutil.which("debootstrap") is None:
        pytest.skip("needs root and debootstrap: apt-get install debootstrap")
    try:
        return system_archive().uri
    except LabError as error:
        pytest.skip(str(error))


def debian_disk(package, scratch):
    """Return the disk of a Debian 12 machine with the package installed.

    EFI with GRUB, /boot on a partition of its own, systemd, kernels 5.10, 6.1 and 6.12
    of Debian with initrds of 60 MB, kdump-tools.
    """
    recipe = hashlib.sha256()
    for path in sorted(path for path in RECIPE.rglob("*") if path.is_file()):
        recipe.update(str(path.relative_to(RECIPE)).encode() + path.read_bytes())
    recipe.update(Path(__file__).read_bytes())
    key = recipe.hexdigest()[:16]
    folder = cache_folder("systems")
    machine = folder / f"machine-{key}.tar"
    recipe.update(package.read_bytes())
    disk = folder / f"disk-{recipe.hexdigest()[:16]}.raw"
    if not disk.exists():
        root = scratch / "machine"
        root.mkdir()
        try:
            if machine.exists():
                run("tar", "-C", root, "-xf", machine)
            else:
                _forget(folder, "machine-*.tar")
                _make_machine(root, machine)
            _forget(folder, "disk-*.raw")
            _make_disk(root, package, disk)
        finally:
            shutil.rmtree(root, ignore_errors=True)
    return disk


def _forget(folder, pattern):
    for path in folder.glob(pattern):
        path.unlink()


def _pack(folder, packed):
    run("tar", "-C", folder, "-cf", f"{packed}.new", ".")
    Path(f"{packed}.new").replace(packed)


def _inside(root, *words):
    """Run a program in a folder's Debian, with /proc.

    The mount is the process's own: nothing stays mounted, however it ends.
    """
    script = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
    run("unshare", "-m", "sh", "-ec", script, root, *ENVIRONMENT, *words)


def _make_machine(root, packed):
    archive = debian_archive()
    unpack_clean_system("bookworm", root)
    shutil.copy("/etc/resolv.conf", root / "etc" / "resolv.conf")
    run("cp", "-rT", RECIPE / "root", root)
    run("chown", "-R", "0:0", root / "etc", root / "usr" / "local")
    shutil.copy(RECIPE / "recipe.sh", root / "root" / "recipe.sh")
    _inside(root, "sh", "/root/recipe.sh", archive)
    _pack(root, packed)


def _make_disk(root, package, disk):
    shutil.copy(package, root / "root" / "e820pool.deb")
    shutil.copy(RECIPE / "disk.sh", root / "root" / "disk.sh")
    table = root / "tmp" / "table"
    table.touch()
    os.truncate(table, DISK << 20)
    _inside(root, "dpkg", "-i", "/root/e820pool.deb")
    _inside(root, "sh", "/root/disk.sh", str(ESP), str(BOOT))
    new = disk.with_suffix(".new")
    shutil.move(table, new)
    _copy_into(new, root / "tmp" / "esp", ALIGN)
    (root / "tmp" / "esp").unlink()
    # mke2fs -d needs no mount and no loop device.
    for name, start, size in (
        ("boot", ALIGN + ESP, BOOT),
        ("root", ALIGN + ESP + BOOT, DISK - ESP - BOOT - 2 * ALIGN),
    ):
        source = root / "boot" if name == "boot" else root
        part = root.parent / f"{name}.part"
        run(
            "mke2fs",
            "-q",
            "-t",
            "ext4",
            "-L",
            f"lab-{name}",
            "-d",
            source,
            part,
            f"{size}M",
        )
        if name == "boot":
            shutil.rmtree(source)
            source.mkdir()
            (source / "efi").mkdir()
        _copy_into(new, part, start)
        part.unlink()
    new.replace(disk)


def _copy_into(disk, part, start):
    words = (f"if={part}", f"of={disk}", "bs=1M", f"seek={start}")
    run("dd", *words, "conv=sparse,notrunc")
