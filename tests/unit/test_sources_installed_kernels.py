"""Kernels of /boot as Debian, Fedora and others lay them out."""

import os

import pytest

from e820pool.errors import InputError
from e820pool.sources.installed_kernels import (
    find_installed,
    installed_kernels,
    own_cmdline,
)

# As update-grub of Debian 12 writes it, shortened; /boot is a file system of its own.
GRUB = """\
set default="0"
menuentry 'Debian GNU/Linux' --class debian {
	search --no-floppy --fs-uuid --set=root 0b1e
	echo	'Loading Linux 6.1.0-56-cloud-amd64 ...'
	linux	/vmlinuz-6.1.0-56-cloud-amd64 root=UUID=11-22 ro quiet console=ttyS0
	initrd	/initrd.img-6.1.0-56-cloud-amd64
}
submenu 'Advanced options' {
	menuentry 'recovery' {
		linux	/vmlinuz-6.1.0-56-cloud-amd64 root=UUID=11-22 ro single
	}
	menuentry 'old' {
		linux	/vmlinuz-5.10.0-32-amd64 root=/dev/vda1 ro $more
	}
}
"""
ENTRY = """\
title Fedora
linux /vmlinuz-6.12.9-300.fc41.x86_64
initrd /initramfs-6.12.9-300.fc41.x86_64.img
options root=UUID=33 ro
options rhgb
"""


@pytest.fixture
def root(tmp_path):
    boot = tmp_path / "boot"
    (boot / "grub").mkdir(parents=True)
    (boot / "loader" / "entries").mkdir(parents=True)
    for name in (
        "vmlinuz-6.1.0-56-cloud-amd64",
        "vmlinuz-6.1.0-9-amd64",
        "vmlinuz-5.10.0-32-amd64",
        "vmlinuz-5.10.0-32-amd64.old",
        "vmlinuz-6.12.9-300.fc41.x86_64",
        "vmlinuz-6.12~rc7-amd64",
        "initrd.img-6.1.0-56-cloud-amd64",
        "initramfs-6.12.9-300.fc41.x86_64.img",
    ):
        (boot / name).write_bytes(b"x")
    (boot / "vmlinuz-0-dangling").symlink_to("nowhere")
    (boot / "grub" / "grub.cfg").write_text(GRUB)
    (boot / "loader" / "entries" / "f.conf").write_text(ENTRY)
    return tmp_path


def test_they_are_in_the_order_of_their_versions_whatever_was_installed_last(root):
    assert [one.version for one in installed_kernels(root)] == [
        "5.10.0-32-amd64",
        "6.1.0-9-amd64",
        "6.1.0-56-cloud-amd64",
        "6.12~rc7-amd64",
        "6.12.9-300.fc41.x86_64",
    ]
    assert find_installed("newest", root).version == "6.12.9-300.fc41.x86_64"


def test_each_has_its_own_initrd(root):
    debian = find_installed("6.1.0-56-cloud-amd64", root)
    assert debian.initrd == root / "boot" / "initrd.img-6.1.0-56-cloud-amd64"
    assert find_installed("newest", root).initrd.name.startswith("initramfs-6.12.9")
    assert find_installed("6.1.0-9-amd64", root).initrd is None


def test_the_running_one_is_named_by_the_kernel(root):
    release = os.uname().release
    (root / "boot" / f"vmlinuz-{release}").write_bytes(b"x")
    assert find_installed("running", root).version == release


def test_the_command_line_is_the_boot_loader_s(root):
    found = own_cmdline(find_installed("6.1.0-56-cloud-amd64", root), root)
    assert found == "root=UUID=11-22 ro quiet console=ttyS0"
    assert own_cmdline(find_installed("newest", root), root) == "root=UUID=33 ro rhgb"


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("5.10.0-32-amd64", r"no plain text \('root=/dev/vda1 ro \$more'\)"),
        ("6.1.0-9-amd64", r"no boot loader's file .* 6\.1\.0-9-amd64: say --reuse"),
    ],
)
def test_a_line_that_is_not_to_be_had_says_what_to_say_instead(root, version, said):
    with pytest.raises(InputError, match=said):
        own_cmdline(find_installed(version, root), root)


@pytest.mark.parametrize("name", ["6.1.0-57-amd64", "running", "6.1"])
def test_a_kernel_that_is_not_installed_says_which_are(root, name):
    with pytest.raises(InputError, match=r"vmlinuz-.*is not there; installed: 5\.10"):
        find_installed(name, root)
    with pytest.raises(InputError, match="installed: none"):
        find_installed("newest", root / "boot")
