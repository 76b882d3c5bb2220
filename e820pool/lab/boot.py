"""boot(handoff, image): what a real kernel makes of a handoff, or several of theirs."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

from e820pool.errors import LabError
from e820pool.extents import PAGE_SIZE, ByteRangeSet, ExtentSet
from e820pool.lab.accel import vm_for
from e820pool.lab.guest import bind_guest
from e820pool.lab.guest_ram import GuestRam, validate_page_granularity
from e820pool.lab.guest_report import GuestReport, parse_guest_report
from e820pool.lab.machine import Deadlines, LostVmError, Phase, VmRun, run_vm
from e820pool.lab.machine_view import TouchedPages, view_of_machine
from e820pool.lab.qemu import VmSpec, write_dry_run
from e820pool.sources.kernel_console import OUT_OF_MEMORY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from e820pool.handoff.model import Handoff
    from e820pool.kernel.view import KernelView
    from e820pool.loading.bind import BoundKernel
    from e820pool.loading.kernel_file import KernelFile
    from e820pool.range_lists import StartEnd

__all__ = (
    "BootOptions",
    "BootOutcome",
    "BootRecord",
    "binder_of",
    "boot",
    "boot_pairs",
    "dry_run",
    "validate_host_memory",
)

# What deposited pages hold at the start when changes are to be told from reads.
_PATTERN = (b"e820pool deposit" * (PAGE_SIZE // 16))[:PAGE_SIZE]

# A guest that fills its memory needs that memory here, and QEMU some of its own.
_QEMU_BYTES = 256 << 20


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
    memory_devices: tuple[StartEnd, ...] = ()


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
    bound = bind_guest(handoff, image, pressure=options.pressure)
    validate_page_granularity(options.ram_folder)
    spec = vm_for(bound, image, options.accelerator, options.memory_devices)
    deposits = handoff.ledger.extents & spec.ram.pages()
    firmware = ExtentSet()
    if options.pressure:
        validate_host_memory(spec)
    with GuestRam(spec.ram, options.ram_folder) as ram:
        # Firmware is done, and no kernel has run.
        def prepare() -> None:
            nonlocal firmware
            ram.clear(deposits)
            if options.pattern:
                ram.fill(deposits, _PATTERN)
            firmware = ram.touched() - deposits

        run = run_vm(
            spec,
            ram,
            deadlines=options.deadlines,
            on_ready=prepare,
            on_phase=on_phase,
            cancel=cancel,
        )
        touched = _touched(ram, bound, deposits, firmware, pattern=options.pattern)
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
    bound = bind_guest(handoff, image, pressure=options.pressure)
    spec = vm_for(bound, image, options.accelerator, options.memory_devices)
    return write_dry_run(spec, folder)


# The pages that the loader filled count as the kernel's; those that only firmware
# used do not. A firmware page that the kernel used too cannot be told from them.
def _touched(
    ram: GuestRam,
    bound: BoundKernel,
    deposits: ExtentSet,
    firmware: ExtentSet,
    *,
    pattern: bool,
) -> TouchedPages:
    after = ram.touched()
    content = _PATTERN if pattern else bytes(PAGE_SIZE)
    changed = ram.differing(deposits & after, content)
    parts = ByteRangeSet((part.addr, part.end) for part in bound.parts).pages_touched()
    seen = changed if pattern else after & deposits
    others = (after - deposits) - (firmware - parts)
    return TouchedPages(
        all=others | seen, deposits=seen, changed=changed, pattern=pattern
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


@dataclass(frozen=True, slots=True, kw_only=True)
class BootOutcome:
    """A boot, or the failure of the lab in its place; never both."""

    kernel: KernelFile
    record: BootRecord | None = None
    failure: LabError | None = None


def binder_of(kernel: KernelFile, *, pressure: bool) -> Callable[[Handoff], Handoff]:
    """Return what completes a handoff as :func:`boot_pairs` does before it boots it.

    Raises, when it is called:
        BadImageError: it is no bzImage.
        LabError: busybox is missing.
    """
    return lambda handoff: bind_guest(handoff, kernel.image, pressure=pressure).handoff


def boot_pairs(
    pairs: Sequence[tuple[Handoff, KernelFile]],
    options: BootOptions | None = None,
    *,
    jobs: int = 1,
    on_start: Callable[[KernelFile], None] = lambda _: None,
    on_phase: Callable[[KernelFile, Phase], None] = lambda *_: None,
) -> Iterator[BootOutcome]:
    """Yield an outcome for each pair, in their order, ``jobs`` at a time.

    When the caller stops iterating or is interrupted, machines that run are ended
    and those that wait never start.

    Args:
        pairs: what to boot with what.
        options: how.
        jobs: machines at one time.
        on_start: called when a machine starts, in any thread.
        on_phase: called with each phase of a machine that is over, in any thread.

    Raises:
        BadImageError, CapacityError: as :func:`boot`.
    """
    cancel = threading.Event()

    def boot_pair(pair: tuple[Handoff, KernelFile]) -> BootOutcome:
        handoff, kernel = pair
        if cancel.is_set():
            return BootOutcome(
                kernel=kernel, failure=LabError("cancelled before it began")
            )
        on_start(kernel)
        try:
            record = boot(
                handoff,
                kernel.image,
                options or BootOptions(),
                on_phase=partial(on_phase, kernel),
                cancel=cancel,
            )
        except LabError as exc:
            return BootOutcome(kernel=kernel, failure=exc)
        return BootOutcome(kernel=kernel, record=record)

    with ThreadPoolExecutor(max_workers=max(jobs, 1)) as pool:
        futures = [pool.submit(boot_pair, pair) for pair in pairs]
        try:
            for future in futures:
                yield future.result()
        finally:
            cancel.set()
