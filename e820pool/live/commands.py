"""The commands that load a kernel with kexec-tools, and that start a loaded one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ("FIRMWARE_MEMMAP", "execute_argv", "load_argv", "panic_argv")

FIRMWARE_MEMMAP = "/sys/firmware/memmap"
"""What kexec-tools read the table from."""

# In a mount namespace of its own, which ends with the process: nobody else ever sees
# the tree, and nothing stays mounted, whatever becomes of kexec.
_MOUNTED = f'mount --bind "$0" {FIRMWARE_MEMMAP} && exec "$@"'


def load_argv(
    kexec: str, tree: Path, *, kernel: str, initrd: str | None, cmdline: bytes
) -> tuple[str, ...]:
    """Return the command that makes kexec-tools load a kernel with our table.

    ``-c`` is kexec_load(2): kexec_file_load(2) takes the running kernel's own table.
    """
    mounted = ("unshare", "-m", "sh", "-c", _MOUNTED, str(tree))
    return (*mounted, kexec, "-c", "-l", kernel, *_options(initrd, cmdline))


# The files are in a folder of ours, whose name is the shell's $0.
_PANIC = (
    'mount --bind "$0/iomem" /proc/iomem && mount --bind "$0/kcore" /proc/kcore '
    f'&& mount --bind "$0/memmap" {FIRMWARE_MEMMAP} && exec "$@"'
)


def panic_argv(
    kexec: str, folder: Path, *, kernel: str, initrd: str | None, cmdline: bytes
) -> tuple[str, ...]:
    """Return the command that makes kexec-tools load a capture kernel.

    They make the ELF headers of the dump from the two files in ``folder``, and take
    places from the tree there. By kexec_file_load(2) the kernel would make them itself.
    """
    mounted = ("unshare", "-m", "sh", "-c", _PANIC, str(folder))
    return (*mounted, kexec, "-c", "-p", kernel, *_options(initrd, cmdline))


def _options(initrd: str | None, cmdline: bytes) -> tuple[str, ...]:
    line = f"--command-line={cmdline.decode('utf-8', 'surrogateescape')}"
    return (line,) if initrd is None else (f"--initrd={initrd}", line)


def execute_argv(*, has_systemd: bool, kexec: str | None) -> tuple[str, ...]:
    """Return the command that starts what is loaded; empty for reboot(2) itself."""
    if has_systemd:
        return ("systemctl", "kexec")
    return (kexec, "-e") if kexec is not None else ()
