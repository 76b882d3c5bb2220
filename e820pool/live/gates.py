"""Why this machine would not load a kernel, asked before anything is done."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from e820pool.errors import MachineError
from e820pool.loading.kexec_loaders import find_kexec
from e820pool.sources.live_machine import KexecGates, running_as_root, running_machine

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("obstacles", "validate_can_load", "validate_machine")

_MACHINE = "x86_64"


def validate_machine() -> None:
    """Raise MachineError unless this is an x86-64 machine."""
    if (machine := running_machine()) != _MACHINE:
        raise MachineError(
            f"this machine is {machine}: e820 tables and kexec as built here are for "
            f"{_MACHINE}"
        )


def validate_can_load(gates: KexecGates, loader: str) -> None:
    """Raise MachineError with the first reason why nothing can be loaded."""
    for reason in obstacles(gates, loader):
        raise MachineError(reason)


def obstacles(gates: KexecGates, loader: str) -> Iterator[str]:
    """Yield each reason, and what to do about it."""
    if not running_as_root():
        yield "not root: loading a kernel needs CAP_SYS_BOOT, run it with sudo"
    if not gates.has_kexec:
        yield (
            "this kernel has no kexec (/sys/kernel/kexec_loaded is not there): it "
            "needs CONFIG_KEXEC"
        )
    if gates.load_disabled:
        yield (
            "kernel.kexec_load_disabled is 1: no kernel can be loaded until the "
            "machine is booted without that setting"
        )
    if gates.lockdown != "none":
        secure = "Secure Boot is on" if gates.secure_boot else "lockdown= or its LSM"
        yield (
            f"the kernel is locked down ({gates.lockdown}; {secure}): it refuses "
            "kexec_load(2), and kexec_file_load(2) takes no table of ours. What is "
            "deposited since this boot is RAM in the kernel's own table: withdraw "
            "that, and 'kexec -s' keeps what was inherited; the plan, without --load, "
            "says what applies here (specs/kexec.md)"
        )
    if loader == "kexec-load":
        yield from _without_tools()


def _without_tools() -> Iterator[str]:
    try:
        find_kexec()
    except MachineError as exc:
        yield f"{exc}, or use --loader ours"
    if shutil.which("unshare") is None:
        yield "unshare is not installed: install util-linux, or use --loader ours"
