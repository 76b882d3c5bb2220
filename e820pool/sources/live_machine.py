"""This machine as the kernel that runs here shows it: all that a kexec builds on."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.abi.e820 import E820_TYPE_RAM
from e820pool.errors import BadImageError, InputError
from e820pool.kernel.view import KernelView
from e820pool.sources.elf_core import headers_size
from e820pool.sources.files import read_attribute, read_file
from e820pool.sources.handoff_dir import read_handoff, read_line
from e820pool.sources.iomem import named_ranges, read_iomem
from e820pool.sources.log_text import decode_text
from e820pool.sources.recognise import read_live

if TYPE_CHECKING:
    from e820pool.extents import ByteRangeSet
    from e820pool.handoff.model import Handoff
    from e820pool.memory_map import MemoryMap


__all__ = (
    "KexecGates",
    "LiveMachine",
    "read_crash_sources",
    "read_live_machine",
    "read_live_processor",
    "read_live_view",
    "reusable_cmdline",
    "running_as_root",
    "running_machine",
    "running_release",
)

_ROOT = Path("/")
_CMDLINE = "proc/cmdline"
_IOMEM = "proc/iomem"
_KCORE = "proc/kcore"
_ELF_HEADER_BYTES = 64
_BOOT_PARAMS = "sys/kernel/boot_params"
_VERSION = "proc/version"
_BOOT_ID = "proc/sys/kernel/random/boot_id"
_LOCKDOWN = "sys/kernel/security/lockdown"
_SECURE_BOOT = (
    "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
)
_SYSTAB = "sys/firmware/efi/systab"

# "Kernel code", "Kernel data", "Crash kernel" ... (kernel/resource.c and
# arch/x86/kernel/setup.c name them inside System RAM).
_OWN = ("Kernel ", "Crash kernel")

# What the boot loader adds and the next one adds anew.
_LOADERS_WORDS = re.compile(rb"^(BOOT_IMAGE|initrd|kexec_jump_back_entry)=")


@dataclass(frozen=True, slots=True, kw_only=True)
class KexecGates:
    """What the running kernel allows.

    Attributes:
        has_kexec: whether it has the system call (/sys/kernel/kexec_loaded is there).
        load_disabled: kernel.kexec_load_disabled, which only a reboot takes back.
        lockdown: ``none``, ``integrity`` or ``confidentiality``; both refuse
            kexec_load(2) (kernel/kexec.c kexec_load_check(), 5.4 to 7.3).
        secure_boot: whether the firmware checks signatures.
        has_efi: whether this kernel uses the firmware's EFI services.
        has_systemd: whether systemd is the init that runs.
        has_capture_kernel: whether a kernel is loaded that starts when this one
            crashes (/sys/kernel/kexec_crash_loaded).
    """

    has_kexec: bool
    load_disabled: bool
    lockdown: str
    secure_boot: bool
    has_efi: bool
    has_systemd: bool
    has_capture_kernel: bool = False

    @property
    def allows_kexec_load(self) -> bool:
        """Return whether kexec_load(2) is there and not refused."""
        return self.has_kexec and not self.load_disabled and self.lockdown == "none"

    @property
    def leaves_file_load(self) -> bool:
        """Return whether kexec_file_load(2) is all that is allowed.

        kernel.kexec_load_disabled forbids both (6.12, 7.3 kernel/kexec_core.c
        kexec_load_permitted(); 5.10, 6.1 kernel/kexec.c and kexec_file.c themselves).
        """
        return self.has_kexec and not self.load_disabled and self.lockdown != "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveMachine:
    """What the running kernel shows of itself.

    Attributes:
        table: the table that it was booted with; after a kexec by this package
            deposits are RESERVED in it already.
        view: the same kernel's view, to rebuild a pool from.
        handoff: its zero page, nodes and command line; None when it shows none.
        cmdline: its command line.
        own: ``(start, end, name)`` of what it uses itself, bytes, half-open; empty
            for readers that are not root.
        boot_id: names this boot, "" when it is not shown.
        version: what /proc/version says, else the release alone.
        has_five_levels: whether its page tables have five levels: then the CPU's
            flags name la57 (arch/x86/kernel/cpu/common.c early_identify_cpu(), 4.17
            to 7.3, takes it off where they have four).
        rsdp: the address of ACPI's root pointer, 0 when it is not shown.
    """

    table: MemoryMap
    view: KernelView
    handoff: Handoff | None
    cmdline: bytes
    own: tuple[tuple[int, int, str], ...]
    gates: KexecGates
    boot_id: str = ""
    version: str = ""
    has_five_levels: bool = False
    rsdp: int = 0


def read_live_machine(root: Path = _ROOT) -> LiveMachine:
    """Return this machine, or the one of which ``root`` holds copies of /proc and /sys.

    Raises:
        InputError: it shows no memory map.
        BadImageError: a file is not what a kernel writes.
    """
    path = root / _CMDLINE
    cmdline = read_line(path) if path.is_file() else b""
    view = read_live_view(root)
    version, has_five_levels = read_live_processor(root)
    return LiveMachine(
        table=read_live(root),
        view=view,
        handoff=_handoff(root, cmdline),
        cmdline=cmdline,
        own=_own_ranges(root / _IOMEM),
        gates=_gates(root),
        boot_id=_attribute(root / _BOOT_ID),
        version=version or view.kernel,
        has_five_levels=has_five_levels,
        rsdp=_rsdp(root / _SYSTAB),
    )


def read_live_processor(root: Path = _ROOT) -> tuple[str, bool]:
    """Return what /proc/version says, and whether page tables have five levels."""
    return _attribute(root / _VERSION), _has_flag(root / "proc/cpuinfo", "la57")


def read_crash_sources(root: Path = _ROOT) -> tuple[str, bytes]:
    """Return the text of /proc/iomem and the headers of /proc/kcore.

    What lies behind those headers is memory, and is not read.

    Raises:
        InputError: one of them cannot be read, as by who is not root.
        BadImageError: it is not what a kernel writes.
    """
    iomem = decode_text(read_file(root / _IOMEM), str(root / _IOMEM))
    path = root / _KCORE
    try:
        with path.open("rb", buffering=0) as file:
            start = file.read(_ELF_HEADER_BYTES) or b""
            missing = headers_size(start) - len(start)
            return iomem, start + (file.read(max(missing, 0)) or b"")
    except OSError as exc:
        reason = (exc.strerror or str(exc)).lower()
        raise InputError(f"cannot read {str(path)!r}: {reason}") from exc


def reusable_cmdline(line: bytes) -> bytes:
    """Return a command line without what its boot loader added.

    What follows ``--`` is init's and stays.
    """
    kernels, dashes, inits = line.partition(b" -- ")
    words = [word for word in kernels.split(b" ") if not _LOADERS_WORDS.match(word)]
    return (b" ".join(words) + dashes + inits).strip()


def _handoff(root: Path, cmdline: bytes) -> Handoff | None:
    path = root / _BOOT_PARAMS
    if not (path / "data").is_file():
        return None
    return replace(read_handoff(path), cmdline=cmdline)


def _own_ranges(iomem: Path) -> tuple[tuple[int, int, str], ...]:
    try:
        text = decode_text(read_file(iomem), str(iomem))
    except (InputError, BadImageError):
        return ()
    return tuple(
        row for row in named_ranges(text) if row[2].startswith(_OWN) and row[1] > 1
    )


def _gates(root: Path) -> KexecGates:
    return KexecGates(
        has_kexec=(root / "sys/kernel/kexec_loaded").exists(),
        load_disabled=_attribute(root / "proc/sys/kernel/kexec_load_disabled") == "1",
        lockdown=_chosen(_attribute(root / _LOCKDOWN)),
        secure_boot=_is_secure_boot(root / _SECURE_BOOT),
        has_efi=(root / "sys/firmware/efi").is_dir(),
        # sd_booted(3).
        has_systemd=(root / "run/systemd/system").is_dir(),
        has_capture_kernel=_attribute(root / "sys/kernel/kexec_crash_loaded") == "1",
    )


# The flags of the first processor; all have the same.
def _has_flag(cpuinfo: Path, flag: str) -> bool:
    try:
        text = decode_text(read_file(cpuinfo), str(cpuinfo))
    except (InputError, BadImageError):
        return False
    match = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return match is not None and flag in match[1].split()


def _attribute(path: Path) -> str:
    try:
        return read_attribute(path)
    except (InputError, BadImageError):
        return ""


# All the words that there are, the one in force in brackets.
def _chosen(text: str) -> str:
    match = re.search(r"\[(\w+)\]", text)
    return match[1] if match else "none"


# Four bytes of attributes, then the variable's one byte (Documentation/filesystems/
# efivarfs.rst).
def _is_secure_boot(path: Path) -> bool:
    try:
        return read_file(path)[4:5] == b"\x01"
    except (InputError, BadImageError):
        return False


# A line "ACPI20=0x7bfe014" (drivers/firmware/efi/efi.c systab_show(), 2.6.32 to 7.3).
def _rsdp(systab: Path) -> int:
    match = re.search(r"\bACPI(?:20)?=(0x[0-9a-f]{1,16})\b", _attribute(systab))
    return int(match[1], 16) if match else 0


def running_as_root() -> bool:
    """Return whether this process may load a kernel, as far as its user goes."""
    return os.geteuid() == 0


def running_release() -> str:
    """Return the running kernel's version, as ``uname -r`` has it."""
    return os.uname().release


def running_machine() -> str:
    """Return the processor's architecture, ``x86_64``."""
    return os.uname().machine


_RELEASE = "proc/sys/kernel/osrelease"


def read_live_view(root: Path = _ROOT) -> KernelView:
    """Return the view of the kernel that runs here.

    Its table is what /sys/firmware/memmap shows (the table before mem= and memmap=);
    its memory is the System RAM of /proc/iomem, which needs root, else the RAM of
    the table. Which pages it touched is not known.

    Args:
        root: where /proc and /sys are; another folder is a copy of a machine's.

    Raises:
        InputError: this machine shows no map.
    """
    table = read_live(root)
    memory = _system_ram(root / _IOMEM) or table.bytes_of(E820_TYPE_RAM)
    return KernelView(
        kernel=_release(root),
        engine="machine",
        bios_map=tuple(table.rows()),
        table=tuple(table.rows()),
        firmware_map=tuple(table.rows()),
        memory=tuple(memory),
    )


def _release(root: Path) -> str:
    try:
        return read_attribute(root / _RELEASE)
    except (InputError, BadImageError):
        return os.uname().release


def _system_ram(iomem: Path) -> ByteRangeSet | None:
    # Not root: all addresses are zero, and the reader refuses the file.
    try:
        text = decode_text(read_file(iomem), str(iomem))
        return read_iomem(text, origin=str(iomem)).bytes_of(E820_TYPE_RAM)
    except (InputError, BadImageError):
        return None
