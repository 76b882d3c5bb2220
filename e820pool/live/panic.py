"""plan_panic(): a capture kernel for a crash of this one, its dump without deposits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from e820pool.compat.capture_kernel import (
    findings_of_dump,
    findings_of_handed_over,
    of_capture_kernel,
)
from e820pool.compat.judge import judge_input
from e820pool.compat.verdict import Verdict, verdict_of, verdict_unknown
from e820pool.deposits import DepositLedger
from e820pool.errors import MachineError
from e820pool.extents import ByteRangeSet, Span
from e820pool.findings import LISTED, Finding
from e820pool.live.inherited import KeptHandoff, inherited_pool, kept_for
from e820pool.live.plan import KexecRequest, load_argv, merged_ledger, parsed_image
from e820pool.loading.capture import (
    CrashFiles,
    capture_by_tools,
    capture_window,
    crash_files,
    crash_ranges,
    dumped_by_tools,
)
from e820pool.loading.kernel_file import known_profile
from e820pool.sources.iomem import named_ranges

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from e820pool.loading.kexec_loaders import HandedOver
    from e820pool.memory_devices import MemoryDevices
    from e820pool.range_lists import StartEnd
    from e820pool.sources.live_machine import LiveMachine

__all__ = ("PanicPlan", "plan_panic")


@dataclass(frozen=True, slots=True, kw_only=True)
class PanicPlan:
    """Everything that loading a capture kernel would do, and whether it may.

    Attributes:
        ledger: what is deposited now.
        files: what kexec-tools read in place of /proc/iomem and /proc/kcore.
        own: ``[start, end)`` that this kernel keeps for a capture kernel, in bytes.
        dumped: what the capture kernel reads of RAM while it saves the dump.
        nr_entries: of the table that it is given.
        verdict: the model's on the capture kernel.
        load: the command that loads it.
    """

    request: KexecRequest
    release: str
    ledger: DepositLedger
    files: CrashFiles
    own: tuple[Span, ...]
    dumped: ByteRangeSet
    nr_entries: int
    verdict: Verdict
    load: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Return where kexec-tools find the files while they load."""
        return self.request.work / "panic"


def plan_panic(
    machine: LiveMachine,
    request: KexecRequest,
    sources: tuple[str, bytes],
    kept: Sequence[KeptHandoff] = (),
) -> PanicPlan:
    """Return the plan; nothing of this machine is changed.

    Args:
        machine: what the running kernel shows.
        request: the capture kernel, and what is deposited.
        sources: text of /proc/iomem, and the headers of /proc/kcore.
        kept: what was kept at the last loads.

    Raises:
        MachineError: this kernel keeps no memory for a capture kernel.
        BadImageError: the image is no bzImage, or /proc/kcore no kernel's.
        InputError: a deposit is named twice, or is withdrawn and was none.
    """
    parsed = parsed_image(request.kernel)
    iomem, kcore = sources
    own = crash_ranges(named_ranges(iomem))
    if not own:
        raise MachineError(
            "/proc/iomem has no 'Crash kernel': this kernel keeps no memory for a "
            "capture kernel, boot it with crashkernel=256M"
        )
    inherited = inherited_pool(machine, kept_for(kept, machine.table, machine.boot_id))
    before = inherited.ledger if inherited is not None else None
    ledger = merged_ledger(before or DepositLedger(), request.changes)
    files = crash_files(iomem, kcore, ledger.extents)
    ranges = named_ranges(files.iomem)
    handed = capture_by_tools(ranges)
    dumped = dumped_by_tools(ranges, files.text_bytes)
    findings = (
        *findings_of_handed_over(handed),
        *findings_of_dump(ledger.extents, dumped),
        *_in_crash_memory(ledger, own),
    )
    return PanicPlan(
        request=request,
        release=parsed.release,
        ledger=ledger,
        files=files,
        own=own,
        dumped=dumped,
        nr_entries=len(handed.table) + len(handed.ext),
        verdict=_verdict(
            request, ledger, handed, own, findings, devices=machine.table.devices
        ),
        load=load_argv(request, panic=True),
    )


def _verdict(
    request: KexecRequest,
    ledger: DepositLedger,
    handed: HandedOver,
    own: Sequence[Span],
    findings: tuple[Finding, ...],
    *,
    devices: MemoryDevices | None,
) -> Verdict:
    name = request.kernel.name
    profile = known_profile(request.kernel)
    if profile is None:
        unknown = verdict_unknown(name, f"no profile of the release of {name}")
        return replace(unknown, findings=(*unknown.findings, *findings))
    inp = handed.boot_input(request.cmdline.decode("latin-1"))
    # It works in the memory that is kept for it, the highest where there are two.
    size = parsed_image(request.kernel).init_size
    inp = replace(inp, load_window=capture_window(own, size), memory_devices=devices)
    judged = judge_input(ledger.extents, inp, profile, findings)
    capture_findings = of_capture_kernel(judged.findings)
    return verdict_of(name, capture_findings, judged.view, judged.judged_on)


# What is kept for a capture kernel is not free to be deposited: the list is suspect.
def _in_crash_memory(
    ledger: DepositLedger, own: Sequence[StartEnd]
) -> Iterator[Finding]:
    hit = ledger.extents & ByteRangeSet(own).pages_touched()
    if hit:
        yield Finding(
            id="deposit-in-crash-memory",
            level="unsafe",
            message=f"{hit.nr_pages:#x} deposited pages, the first PFN "
            f"{next(iter(hit))[0]:#x}, lie in memory kept for the capture kernel",
            source="/proc/iomem",
            extents=tuple(hit)[:LISTED],
        )
