"""The machine for a boot, with KVM only where a kernel was seen to boot with it."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from e820pool.deposits import DepositLedger
from e820pool.errors import E820PoolError, LabError
from e820pool.handoff.build import build_handoff
from e820pool.lab.cache import cache_folder, write_atomically
from e820pool.lab.guest import bind_guest
from e820pool.lab.guest_ram import GuestRam, layout_for
from e820pool.lab.guest_report import parse_guest_report
from e820pool.lab.machine import Deadlines, run_vm
from e820pool.lab.qemu import Accelerator, VmSpec, find_qemu
from e820pool.loading.bind import BoundKernel, backed_pages
from e820pool.memory_map import MemoryMap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e820pool.range_lists import StartEnd

__all__ = ("choose_accelerator", "probe_kvm", "vm_for")

# Hardware that works needs a second in all; one that hangs must not hold us up.
_PROBE_DEADLINES = Deadlines(firmware=5, kernel=15, report=10, pressure=10, end=5)

_DEVICE = Path("/dev/kvm")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_FILE = "accelerator.json"

# A small machine: conventional memory and 256 MiB.
_PROBE_ROWS = ((0, 0x9_F000, 1), (0x9_F000, 0x6_1000, 2), (0x10_0000, 0xFF0_0000, 1))

_lock = threading.Lock()
_known: dict[str, Accelerator] = {}


def choose_accelerator(image: bytes) -> Accelerator:
    """Return ``kvm`` if a probe boot with it succeeded on this host, else ``tcg``.

    The probe boots ``image`` once for each start of the host and version of QEMU;
    what it showed is kept in memory and in the cache folder.
    """
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        return "tcg"
    with _lock:
        key = _host_key()
        if key not in _known:
            _known[key] = _remembered(key) or _probed(key, image)
        return _known[key]


def vm_for(
    bound: BoundKernel,
    image: bytes,
    accelerator: Literal["auto", "kvm", "tcg"] = "auto",
    devices: Sequence[StartEnd] = (),
    cpu: str = "",
) -> VmSpec:
    """Return the machine for one boot, with the memory that it needs.

    ``auto`` takes KVM only where it was seen to boot a kernel, this ``image``;
    ``devices`` are ``[start, end)`` in bytes of each memory device.

    Raises:
        LabError: QEMU's PC has no RAM, or no memory device, there.
    """
    return VmSpec(
        ram=layout_for(backed_pages(bound), devices),
        parts=bound.parts,
        entry=bound.entry,
        stub_addr=bound.stub_addr,
        accelerator=choose_accelerator(image) if accelerator == "auto" else accelerator,
        cpu=cpu,
    )


def probe_kvm(image: bytes) -> bool:
    """Return whether a kernel boots with KVM as far as user space."""
    handoff = build_handoff(MemoryMap.of(_PROBE_ROWS), DepositLedger())
    spec = vm_for(bind_guest(handoff, image, pressure=False), image, "kvm")
    try:
        with GuestRam(spec.ram) as ram:
            run = run_vm(spec, ram, deadlines=_PROBE_DEADLINES)
        return parse_guest_report(run.report).is_complete
    except E820PoolError:
        return False


def _probed(key: str, image: bytes) -> Accelerator:
    accelerator: Accelerator = "kvm" if probe_kvm(image) else "tcg"
    try:
        data = json.dumps({"host": key, "accelerator": accelerator}).encode()
        write_atomically(cache_folder() / _FILE, data)
    except LabError:
        # Not to be kept is no reason not to boot.
        pass
    return accelerator


def _remembered(key: str) -> Accelerator | None:
    try:
        record = json.loads((cache_folder() / _FILE).read_bytes())
    except (OSError, ValueError, LabError):
        return None
    if not isinstance(record, dict) or record.get("host") != key:
        return None
    accelerator = record.get("accelerator")
    return "kvm" if accelerator == "kvm" else "tcg" if accelerator == "tcg" else None


# This start of the host, and this QEMU.
def _host_key() -> str:
    qemu = Path(find_qemu()).resolve()
    try:
        boot_id = _BOOT_ID.read_text(encoding="ascii").strip()
        return f"{boot_id} {qemu} {qemu.stat().st_mtime_ns}"
    except OSError as exc:
        raise LabError(f"this host: {exc}") from exc
