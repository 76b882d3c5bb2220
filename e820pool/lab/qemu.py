"""The QEMU command line of a virtual machine."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from e820pool.errors import LabError
from e820pool.extents import round_up
from e820pool.loading.multiboot_stub import KernelEntry, build_stub_elf

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from e820pool.handoff.model import Segment
    from e820pool.lab.guest_ram import RamLayout

__all__ = (
    "Accelerator",
    "VmChannels",
    "VmSpec",
    "find_qemu",
    "qemu_argv",
    "write_dry_run",
)

Accelerator = Literal["kvm", "tcg"]
"""Hardware, or emulation."""

_GIB = 1 << 30
# Nodes begin at blocks of the kernel's highest order or above.
_NODE_STEP = 128 << 20
_QEMU = "qemu-system-x86_64"


@dataclass(frozen=True, slots=True, kw_only=True)
class VmSpec:
    """A machine, and what is in its memory when the kernel is entered.

    Attributes:
        parts: zero page, setup_data nodes, command line, kernel, initrd.
        stub_addr: a page with :data:`.STUB_BYTES` to spare.
        cpu: QEMU's name of the processor and its features, "" for its default.
        disk_bytes: an empty NVMe disk of that size, 0 for none.
        nodes: NUMA nodes, equal shares of RAM by address, each with a processor.
    """

    ram: RamLayout
    parts: tuple[Segment, ...]
    entry: KernelEntry
    stub_addr: int
    accelerator: Accelerator = "tcg"
    cpu: str = ""
    disk_bytes: int = 0
    nodes: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class VmChannels:
    """The files and character devices that a command line refers to.

    Attributes:
        devices: path of each memory device's file, in the layout's order.
        disk: path of the disk's file, "" without one.
        console: QEMU character device (without its id) of the first serial port.
        report: the same of the second.
    """

    ram: str
    stub: str
    parts: tuple[str, ...]
    console: str
    report: str
    devices: tuple[str, ...] = ()
    disk: str = ""


def find_qemu() -> str:
    """Return the path of QEMU.

    Raises:
        LabError: it is not installed; says which package has it.
    """
    path = shutil.which(_QEMU)
    if path is None:
        raise LabError(f"{_QEMU} is not installed: install qemu-system-x86")
    return path


def qemu_argv(spec: VmSpec, channels: VmChannels, *, qemu: str = _QEMU) -> list[str]:
    """Return the command line of the machine."""
    ram = spec.ram
    # Later machines want a memory backend for each node, and RAM here is one file.
    machine = "pc" if spec.nodes == 1 else "pc-i440fx-5.0"
    machine += ",memory-backend=ram"
    machine += "" if ram.has_acpi else ",acpi=off"
    if ram.high_bytes:
        # RAM above 4 GiB: where the part below ends is the handoff's matter.
        machine += f",max-ram-below-4g={ram.low_bytes}"
    # A fresh shared file: its holes are the pages that nobody touched.
    backend = (
        f"memory-backend-file,id=ram,size={ram.total_bytes}B,"
        f"mem-path={channels.ram},share=on"
    )
    argv = [qemu, "-machine", machine, "-accel", spec.accelerator]
    argv += ["-cpu", spec.cpu] if spec.cpu else []
    argv += [
        *("-m", f"size={ram.total_bytes}B{_slots(ram)}"),
        *("-object", backend),
        *_node_options(ram, spec.nodes),
        *_device_options(ram, channels.devices),
        *_disk_options(channels.disk),
        # No default devices: less to boot, and no option ROMs but the loader's.
        *("-nodefaults", "-display", "none"),
        # A reset is the end: panic=-1 and reboot -f make QEMU exit.
        "-no-reboot",
        *("-chardev", f"{channels.console},id=console", "-serial", "chardev:console"),
        *("-chardev", f"{channels.report},id=report", "-serial", "chardev:report"),
        *("-kernel", channels.stub),
    ]
    for part, path in zip(spec.parts, channels.parts, strict=True):
        # force-raw: a kernel or initrd must not be taken for an ELF file.
        loader = f"loader,file={path},addr={part.addr:#x},force-raw=on"
        argv += ["-device", loader]
    return argv


# Each device may be aligned to 1 GiB: QEMU wants as much room beyond its size.
def _slots(ram: RamLayout) -> str:
    if not ram.devices:
        return ""
    room = ram.devices[-1][1] - ram.device_base + ram.total_bytes
    return f",slots={len(ram.devices)},maxmem={round_up(room, _GIB)}B"


def _node_options(ram: RamLayout, nodes: int) -> list[str]:
    if nodes == 1:
        return []
    # The slack at the end of RAM is the last node's.
    share = ram.total_bytes // nodes // _NODE_STEP * _NODE_STEP
    sizes = [*[share] * (nodes - 1), ram.total_bytes - share * (nodes - 1)]
    argv = ["-smp", str(nodes)]
    for node, size in enumerate(sizes):
        argv += ["-numa", f"node,nodeid={node},cpus={node},mem={size}B"]
    return argv


# A pc-dimm is a PNP0C80 device in the tables that SeaBIOS passes on, present at boot.
def _device_options(ram: RamLayout, paths: Sequence[str]) -> list[str]:
    argv = []
    for number, ((start, end), path) in enumerate(zip(ram.devices, paths, strict=True)):
        backend = f"id=mem{number},size={end - start}B,mem-path={path},share=on"
        dimm = f"id=dimm{number},memdev=mem{number},addr={start:#x}"
        argv += ["-object", f"memory-backend-file,{backend}"]
        argv += ["-device", f"pc-dimm,{dimm}"]
    return argv


# NVMe is what distributions' cloud kernels have no module for.
def _disk_options(path: str) -> list[str]:
    if not path:
        return []
    backend = f"driver=file,node-name=disk,filename={path},locking=off"
    return ["-blockdev", backend, "-device", "nvme,drive=disk,serial=0"]


def write_dry_run(spec: VmSpec, folder: Path) -> str:
    """Write the machine's parts into a folder; return the command that boots them.

    The command needs nothing but QEMU: its stub does not wait for the lab, and the
    console and the guest's report go to files beside the parts.

    Raises:
        LabError: the folder cannot be written.
    """
    stub = build_stub_elf(addr=spec.stub_addr, entry=spec.entry, wait=False)
    names = [f"{n:02d}-{part.what}.bin" for n, part in enumerate(spec.parts)]
    files = [("stub.elf", stub)]
    files += zip(names, (part.data for part in spec.parts), strict=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files:
            (folder / name).write_bytes(data)
    except OSError as exc:
        raise LabError(f"dry run: {exc}") from exc
    channels = VmChannels(
        ram=_escaped(folder / "ram"),
        stub=str(folder / "stub.elf"),
        parts=tuple(_escaped(folder / name) for name in names),
        console=f"file,path={_escaped(folder / 'console.log')}",
        report=f"file,path={_escaped(folder / 'report.txt')}",
        devices=tuple(
            _escaped(folder / f"device-{number}")
            for number in range(len(spec.ram.devices))
        ),
    )
    return shlex.join(qemu_argv(spec, channels))


# QEMU splits option values at commas; a doubled one is a comma.
def _escaped(path: Path) -> str:
    return str(path).replace(",", ",,")
