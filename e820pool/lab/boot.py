"""boot(handoff, image): what a real kernel makes of a handoff."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from e820pool.abi.bzimage import parse_bzimage
from e820pool.errors import LabError
from e820pool.extents import PAGE_SIZE, ByteRangeSet, ExtentSet
from e820pool.lab.accel import choose_accelerator
from e820pool.lab.guest import LAB_CMDLINE, build_initramfs
from e820pool.lab.guest_ram import GuestRam, layout_for, validate_page_granularity
from e820pool.lab.guest_report import GuestReport, parse_guest_report
from e820pool.lab.machine import Deadlines, LostVmError, run_vm
from e820pool.lab.machine_view import TouchedPages, view_of_machine
from e820pool.lab.qemu import VmSpec, write_dry_run
from e820pool.loading.bind import backed_pages, bind_kernel, kernel_bytes
from e820pool.sources.console_fatal import OUT_OF_MEMORY

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from e820pool.handoff.model import Handoff
    from e820pool.kernel.view import KernelView
    from e820pool.lab.machine import Phase, VmRun
    from e820pool.loading.bind import BoundKernel

__all__ = (
    "BootOptions",
    "BootRecord",
    "boot",
    "dry_run",
    "validate_host_memory",
)

# What deposited pages hold at the start when changes are to be told from reads.
_PATTERN = (b"e820pool deposit" * (PAGE_SIZE // 16))[:PAGE_SIZE]

# A guest that fills its memory needs that memory here, and QEMU some of its own.
_QEMU_BYTES = 256 << 20

_SCRATCH_PAGE = b"\0" * PAGE_SIZE


@dataclass(frozen=True, slots=True, kw_only=True)
class BootOptions:
    """How a kernel is to be booted.

    Attributes:
        pressure: whether the guest fills its memory and reads /dev/mem.
        pattern: whether deposits are filled first, so that ``touched`` names the
            pages whose contents changed, reads left out.
        accelerator: ``auto`` takes KVM only where it was seen to boot a kernel.
        deadlines: seconds for each phase.
        ram_folder: a folder on a tmpfs for guest RAM, None for memory.
        memory_devices: ``[start, end)`` in bytes of each ACPI memory device that is
            plugged in at power-on. The guest onlines what its kernel adds.
    """

    pressure: bool = True
    pattern: bool = False
    accelerator: Literal["auto", "kvm", "tcg"] = "auto"
    deadlines: Deadlines = field(default_factory=Deadlines)
    ram_folder: Path | None = None
    memory_devices: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BootRecord:
    """What one boot showed.

    Attributes:
        view: what the kernel made of the handoff, and what it touched.
        handoff: as it was booted: with header, initrd and the lab's words on the
            command line; the model's counterpart of ``view`` is its prediction.
        console: bytes of the console.
        report: what the guest said of itself.
        run: phases and their times.
    """

    view: KernelView
    handoff: Handoff
    console: bytes
    report: GuestReport
    run: VmRun


def boot(
    handoff: Handoff,
    image: bytes,
    options: BootOptions | None = None,
    *,
    on_phase: Callable[[Phase], None] = lambda _: None,
    cancel: threading.Event | None = None,
) -> BootRecord:
    """Boot a kernel image with a handoff; return its view and what it touched.

    Args:
        handoff: what the kernel gets.
        image: the whole bzImage file.
        options: how.
        on_phase: called with each phase that is over.
        cancel: when set, the machine is ended and LostVmError raised.

    Raises:
        LostVmError: the machine hung, or ended with no reason that its kernel gave.
        LabError: it could not be built, QEMU or busybox are missing.
        BadImageError: the image is no bzImage.
        CapacityError: a part has no place in RAM.
    """
    options = options or BootOptions()
    bound = _bound(handoff, image, options)
    validate_page_granularity(options.ram_folder)
    spec = _spec(bound, image, options)
    deposits = handoff.ledger.extents & spec.ram.pages()
    if options.pressure:
        validate_host_memory(spec)
    with GuestRam(spec.ram, options.ram_folder) as ram:
        before = _Before(ram, deposits, options.pattern)
        run = run_vm(
            spec,
            ram,
            deadlines=options.deadlines,
            on_ready=before.take,
            on_phase=on_phase,
            cancel=cancel,
        )
        touched = _touched(ram, before, bound)
    report = parse_guest_report(run.report)
    console = run.console.decode("utf-8", "replace")
    view = view_of_machine(bound.handoff, console, report, touched)
    _validate_ended(view, run, report)
    return BootRecord(
        view=view,
        handoff=bound.handoff,
        console=run.console,
        report=report,
        run=run,
    )


def dry_run(
    handoff: Handoff, image: bytes, folder: Path, options: BootOptions | None = None
) -> str:
    """Write what a boot would load into ``folder``; return the QEMU command.

    Raises:
        as :func:`boot`, but nothing is started.
    """
    options = options or BootOptions()
    bound = _bound(handoff, image, options)
    return write_dry_run(_spec(bound, image, options), folder)


class _Before:
    """The RAM file as it is when firmware is done and no kernel has run."""

    def __init__(self, ram: GuestRam, deposits: ExtentSet, pattern: bool) -> None:
        self._ram = ram
        self.deposits = deposits
        self.content = _PATTERN if pattern else _SCRATCH_PAGE
        self.pattern = pattern
        self.firmware = ExtentSet()

    def take(self) -> None:
        self._ram.clear(self.deposits)
        if self.pattern:
            self._ram.fill(self.deposits, _PATTERN)
        self.firmware = self._ram.touched() - self.deposits


def _bound(handoff: Handoff, image: bytes, options: BootOptions) -> BoundKernel:
    parsed = parse_bzimage(image)
    return bind_kernel(
        handoff,
        parsed,
        kernel_bytes(parsed, image),
        initrd=build_initramfs(pressure=options.pressure),
        extra_cmdline=LAB_CMDLINE,
    )


def _spec(bound: BoundKernel, image: bytes, options: BootOptions) -> VmSpec:
    accelerator = options.accelerator
    if accelerator == "auto":
        accelerator = choose_accelerator(image)
    return VmSpec(
        ram=layout_for(backed_pages(bound), options.memory_devices),
        parts=bound.parts,
        entry=bound.entry,
        stub_addr=bound.stub_addr,
        accelerator=accelerator,
    )


# The pages that the loader filled count as the kernel's; those that only firmware
# used do not. A firmware page that the kernel used too cannot be told from them.
def _touched(ram: GuestRam, before: _Before, bound: BoundKernel) -> TouchedPages:
    after = ram.touched()
    changed = ram.differing(before.deposits & after, before.content)
    parts = ByteRangeSet(
        (part.addr, part.addr + len(part.data)) for part in bound.parts
    ).pages_touched()
    deposits = changed if before.pattern else after & before.deposits
    others = (after - before.deposits) - (before.firmware - parts)
    return TouchedPages(
        all=others | deposits,
        deposits=deposits,
        changed=changed,
        pattern=before.pattern,
    )


def validate_host_memory(spec: VmSpec) -> None:
    """Raise LabError unless this host has the memory that a guest is to fill."""
    have = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    fills = sum(spec.ram.file_sizes)
    need = fills + _QEMU_BYTES
    if need > have:
        raise LabError(
            f"a guest that fills {fills:#x} bytes needs {need:#x} here, "
            f"and {have:#x} are free: boot without memory pressure, or a smaller map"
        )


def _validate_ended(view: KernelView, run: VmRun, report: GuestReport) -> None:
    if report.is_complete:
        return
    if view.fatal is None or view.end == OUT_OF_MEMORY:
        reason = view.fatal or "no reason given"
        raise LostVmError(
            f"VM lost: it ended in phase {run.phase}: {reason}",
            console=run.console,
            report=run.report,
            phase=run.phase,
        )
