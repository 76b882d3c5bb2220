"""plan_kexec(): the next kernel's handoff on this machine, and what is said of it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from e820pool.abi.bzimage import BzImage, parse_bzimage
from e820pool.abi.setup_header import XLF_KERNEL_64
from e820pool.compat import Verdict, judge_input, verdict_of, verdict_unknown
from e820pool.compat.file_load import FileLoad, file_load_of
from e820pool.compat.next_kexec import without_file_load
from e820pool.compat.paging import findings_of_start, running_kernel
from e820pool.compat.verdict import finding_about
from e820pool.deposits import DepositLedger
from e820pool.errors import BadImageError, InputError
from e820pool.extents import PAGE_SHIFT, ByteRangeSet, ExtentSet, Span
from e820pool.findings import LISTED, Finding
from e820pool.handoff.build import BuildOptions, build_handoff, encode_pool_record
from e820pool.kernel.boot_input import BootInput, boot_input
from e820pool.live.inherited import (
    KeptHandoff,
    firmware_map_of,
    inherited_pool,
    kept_for,
)
from e820pool.loading.bind import BoundKernel, bind_kernel
from e820pool.loading.kernel_file import KernelFile, known_profile
from e820pool.loading.kexec_loaders import by_kexec_tools
from e820pool.loading.kexec_segments import KexecImage, kexec_image
from e820pool.sources.deposits_file import DepositChanges

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from e820pool.handoff.model import Handoff
    from e820pool.memory_map import MemoryMap
    from e820pool.pool.rebuild import RebuildResult
    from e820pool.range_lists import Row
    from e820pool.sources.live_machine import KexecGates, LiveMachine

__all__ = (
    "KexecPlan",
    "KexecRequest",
    "LiveLoader",
    "execute_argv",
    "findings_of_firmware",
    "load_argv",
    "merged_ledger",
    "parsed_image",
    "plan_kexec",
    "with_platform",
)

LiveLoader = Literal["ours", "kexec-load"]
"""kexec_load(2) with exactly our parts; stock kexec-tools that read a tree of ours."""

# Where kexec is said to be on a machine that has none.
_KEXEC = "/sbin/kexec"


@dataclass(frozen=True, slots=True, kw_only=True)
class KexecRequest:
    """The kernel that is to be started, and with what.

    Attributes:
        kernel: the image with its configuration, and the path as its name.
        initrd_name: the path of the initrd, None without one.
        changes: what is deposited and withdrawn since this kernel was started.
        carries_record: whether the pool record goes into a setup_data node, which
            only our own loader can pass on.
        work: a folder for the tree that kexec-tools read.
    """

    kernel: KernelFile
    initrd_name: str | None = None
    initrd: bytes = b""
    cmdline: bytes = b""
    changes: DepositChanges = field(default_factory=DepositChanges)
    loader: LiveLoader = "ours"
    carries_record: bool = True
    work: Path = Path("/run/e820pool")


@dataclass(frozen=True, slots=True, kw_only=True)
class KexecPlan:
    """Everything that a load would do, and whether it may.

    Attributes:
        ledger: what the next kernel must leave alone: inherited, less what was
            withdrawn, and what this kernel deposited.
        inherited: the pool that this kernel was started with, None without one.
        table: what the next kernel will show as its own.
        tree_rows: what the tree for kexec-tools holds, empty for our own loader.
        verdict: the model's, with what there is to say of this machine.
        generation: handoffs so far, this one included.
        image: the segments for our own loader, None for kexec-tools.
        load: the command that loads it, empty where this process does so itself.
        execute: the command that starts it, empty for reboot(2).
        kept: what is to be on disk after the load, for the running kernel (should
            this one not be started) and the next.
        file_load: what kexec_file_load(2) would do, where this kernel refuses
            kexec_load(2) and leaves nothing else; None where it does not.
    """

    request: KexecRequest
    release: str
    ledger: DepositLedger
    inherited: RebuildResult | None
    firmware_map: MemoryMap
    table: tuple[Row, ...]
    tree_rows: tuple[Row, ...]
    verdict: Verdict
    generation: int
    image: KexecImage | None
    load: tuple[str, ...]
    execute: tuple[str, ...]
    kept: tuple[KeptHandoff, ...]
    gates: KexecGates
    file_load: FileLoad | None = None

    @property
    def tree(self) -> Path:
        """Return where kexec-tools find the table while they load."""
        return self.request.work / "memmap"


def plan_kexec(
    machine: LiveMachine, request: KexecRequest, kept: Sequence[KeptHandoff] = ()
) -> KexecPlan:
    """Return the plan; nothing of this machine is changed.

    Raises:
        BadImageError: the image is no bzImage, or too old to be started.
        InputError: a deposit is not RAM of the firmware's map, is named twice, or is
            withdrawn and was none.
        CapacityError: table, command line, kernel or initrd do not fit.
    """
    parsed = parsed_image(request.kernel)
    ours = kept_for(kept, machine.table, machine.boot_id)
    inherited = inherited_pool(machine, ours)
    before = inherited.ledger if inherited is not None else None
    ledger = merged_ledger(before or DepositLedger(), request.changes)
    firmware_map = firmware_map_of(machine, inherited, ours)
    generation = 1 + (inherited.generation if inherited is not None else 0)
    is_ours = request.loader == "ours"
    handoff = _handoff(firmware_map, ledger, request, generation)
    bound = _bound(handoff, machine, request, parsed) if is_ours else None
    rows = tuple(handoff.table.rows())
    inp, table = _handed_over(handoff, rows, bound)
    findings = (
        *(inherited.findings if inherited is not None else ()),
        *_of_machine(machine, request, bound),
        *_own_ranges(machine, ledger.extents),
        *_of_capture_kernel(machine, ledger, before),
    )
    loaded = KeptHandoff(
        boot_id=machine.boot_id,
        table=table,
        firmware_map=firmware_map,
        record=(
            encode_pool_record(firmware_map, ledger, generation) if len(ledger) else b""
        ),
    )
    return KexecPlan(
        request=request,
        release=parsed.release,
        ledger=ledger,
        inherited=inherited,
        firmware_map=firmware_map,
        table=table,
        tree_rows=() if is_ours else rows,
        verdict=_verdict(request.kernel, ledger, inp, findings),
        generation=generation,
        image=kexec_image(bound) if bound is not None else None,
        load=() if is_ours else load_argv(request),
        execute=execute_argv(
            has_systemd=machine.gates.has_systemd, kexec=shutil.which("kexec")
        ),
        kept=(loaded,) if ours is None else (ours, loaded),
        gates=machine.gates,
        # The table that it was booted with is its e820_table_kexec, but for nodes.
        file_load=file_load_of(ledger.extents, machine.table.rows())
        if machine.gates.leaves_file_load
        else None,
    )


def _handoff(
    firmware_map: MemoryMap,
    ledger: DepositLedger,
    request: KexecRequest,
    generation: int,
) -> Handoff:
    carries = request.loader == "ours" and request.carries_record
    options = BuildOptions(
        cmdline=request.cmdline.decode("latin-1"),
        carrier="setup_data" if carries else "none",
        generation=generation,
    )
    return build_handoff(firmware_map, ledger, options)


def parsed_image(kernel: KernelFile) -> BzImage:
    """Return what an image says of itself; BadImageError when it is no bzImage."""
    try:
        return parse_bzimage(kernel.image)
    except BadImageError as exc:
        raise BadImageError(
            f"{kernel.name!r} is no bzImage ({exc}): want a file as /boot/vmlinuz is"
        ) from exc


def _bound(
    handoff: Handoff, machine: LiveMachine, request: KexecRequest, parsed: BzImage
) -> BoundKernel:
    # Our stub jumps to that entry.
    if not parsed.xloadflags & XLF_KERNEL_64:
        raise BadImageError(
            f"{request.kernel.name}: xloadflags {parsed.xloadflags:#x} without "
            f"XLF_KERNEL_64 ({XLF_KERNEL_64:#x}): no 64-bit entry for --loader ours, "
            "use --loader kexec-load"
        )
    return bind_kernel(
        with_platform(handoff, machine), request.kernel.image, initrd=request.initrd
    )


# What the next kernel reads, and the rows that it will show.
def _handed_over(
    handoff: Handoff, rows: tuple[Row, ...], bound: BoundKernel | None
) -> tuple[BootInput, tuple[Row, ...]]:
    if bound is not None:
        return boot_input(bound.handoff), rows
    handed = by_kexec_tools(rows)
    inp = handed.boot_input(handoff.cmdline.decode("latin-1"))
    inp = replace(inp, memory_devices=handoff.memory_devices)
    return inp, (*handed.table, *handed.ext)


def _verdict(
    kernel: KernelFile,
    ledger: DepositLedger,
    inp: BootInput,
    findings: tuple[Finding, ...],
) -> Verdict:
    profile = known_profile(kernel)
    if profile is None:
        release = parse_bzimage(kernel.image).release or "without a version text"
        unknown = verdict_unknown(kernel.name, f"no profile of the release {release}")
        return replace(unknown, findings=(*unknown.findings, *findings))
    verdict = judge_input(ledger.extents, inp, profile, findings)
    # The kexec after this is planned anew, too, and by kexec_load(2).
    findings = without_file_load(verdict.findings)
    return verdict_of(kernel.name, findings, verdict.view, verdict.judged_on)


# Of an EFI firmware stock kexec-tools pass on what our own loader cannot.
def _of_machine(
    machine: LiveMachine, request: KexecRequest, bound: BoundKernel | None
) -> Iterator[Finding]:
    if bound is not None:
        rsdp = bound.handoff.boot_params.acpi_rsdp_addr
        yield from findings_of_firmware(machine, rsdp)
    running = running_kernel(machine.version, has_five_levels=machine.has_five_levels)
    line = request.cmdline.decode("latin-1")
    profile = known_profile(request.kernel)
    yield from findings_of_start(running, profile, request.kernel.image, line)


# What the kernel itself lies in is not free to be deposited: the list is suspect.
def _own_ranges(machine: LiveMachine, extents: ExtentSet) -> Iterator[Finding]:
    for start, end, name in machine.own:
        hit = extents & ByteRangeSet([(start, end)]).pages_touched()
        if hit:
            first = next(iter(hit))[0] << PAGE_SHIFT
            yield Finding(
                id="deposit-in-running-kernel",
                level="note",
                message=f"{hit.nr_pages:#x} deposited pages, the first at {first:#x}, "
                f"are the running kernel's own {name!r} {Span(start, end)}",
                source="/proc/iomem",
                extents=tuple(hit)[:LISTED],
            )


# What it saves was fixed when it was loaded.
def _of_capture_kernel(
    machine: LiveMachine, ledger: DepositLedger, before: DepositLedger | None
) -> Iterator[Finding]:
    new_pages = ledger.extents - (before or DepositLedger()).extents
    if new_pages and machine.gates.has_capture_kernel:
        text = (
            "a capture kernel is loaded: should this kernel crash before the kexec, it "
            "reads {pages}, unless it was loaded by 'kexec --panic' with them"
        )
        source = "kernel/kexec_core.c crash_kexec(); arch/x86/kernel/crash.c"
        yield finding_about("capture-kernel-loaded", "note", new_pages, text, source)


# In a mount namespace of its own, which ends with the process: nobody else ever sees
# the files, and nothing stays mounted, whatever becomes of kexec. Their folder is ours,
# and its name is the shell's $0.
_MOUNTED = 'mount --bind "$0" /sys/firmware/memmap && exec "$@"'
_MOUNTED_PANIC = (
    'mount --bind "$0/iomem" /proc/iomem && mount --bind "$0/kcore" /proc/kcore '
    '&& mount --bind "$0/memmap" /sys/firmware/memmap && exec "$@"'
)


def load_argv(request: KexecRequest, *, panic: bool = False) -> tuple[str, ...]:
    """Return the command that makes kexec-tools load a kernel with our table.

    ``-c`` is kexec_load(2): kexec_file_load(2) takes the running kernel's own table.
    With ``panic`` it is a capture kernel: they make the ELF headers of the dump from
    the two files in the folder, and take places from the tree there; by
    kexec_file_load(2) the kernel would make them itself.
    """
    folder = request.work / ("panic" if panic else "memmap")
    script = _MOUNTED_PANIC if panic else _MOUNTED
    initrd = () if request.initrd_name is None else (f"--initrd={request.initrd_name}",)
    return (
        *("unshare", "-m", "sh", "-c", script, str(folder)),
        *(shutil.which("kexec") or _KEXEC, "-c", "-p" if panic else "-l"),
        request.kernel.name,
        *initrd,
        f"--command-line={request.cmdline.decode('utf-8', 'surrogateescape')}",
    )


def execute_argv(*, has_systemd: bool, kexec: str | None) -> tuple[str, ...]:
    """Return the command that starts what is loaded; empty for reboot(2) itself."""
    if has_systemd:
        return ("systemctl", "kexec")
    return (kexec, "-e") if kexec is not None else ()


_FILE_LOAD = "arch/x86/kernel/kexec-bzimage64.c setup_boot_parameters()"


def with_platform(handoff: Handoff, machine: LiveMachine) -> Handoff:
    """Return the handoff with the screen, ACPI's root and the disks' data carried over.

    The same fields as kexec_file_load(2) copies (6.1 arch/x86/kernel/
    kexec-bzimage64.c setup_boot_parameters()); the sizes of memory in them are
    cleared, or a kernel that refuses the table would take them for RAM.
    """
    if machine.handoff is None:
        return handoff
    was = machine.handoff.boot_params
    page = replace(
        handoff.boot_params,
        screen_info=was.without_ext_mem_k().screen_info,
        acpi_rsdp_addr=was.acpi_rsdp_addr or machine.rsdp,
        eddbuf_entries=was.eddbuf_entries,
        eddbuf=was.eddbuf,
        edd_mbr_sig_buf_entries=was.edd_mbr_sig_buf_entries,
        edd_mbr_sig_buffer=was.edd_mbr_sig_buffer,
    )
    return replace(handoff, boot_params=page)


def findings_of_firmware(machine: LiveMachine, page_rsdp: int) -> Iterator[Finding]:
    """Yield what the next kernel lacks of an EFI firmware, started by our own loader.

    ``page_rsdp`` is the zero page's pointer to ACPI's tables.
    """
    if not machine.gates.has_efi:
        return
    yield Finding(
        id="efi-services-lost",
        level="note",
        message="the next kernel runs without EFI runtime services: no variables, no "
        "capsules; --loader kexec-load passes them on",
        source=_FILE_LOAD,
    )
    if not page_rsdp:
        yield Finding(
            id="acpi-root-unknown",
            level="degraded",
            message="this kernel shows no address of ACPI's root pointer, and the next "
            "one would not find it: --loader kexec-load, or --append acpi_rsdp=ADDR",
            source="drivers/acpi/osl.c acpi_os_get_root_pointer()",
        )


def merged_ledger(inherited: DepositLedger, changes: DepositChanges) -> DepositLedger:
    """Return the ledger of all that is deposited now.

    A page that is named again has its new owner; one that is withdrawn leaves, and
    goes back to its firmware type in the table that is made from the result.

    Raises:
        InputError: a page is said to be deposited and withdrawn at once, two deposits
            overlap, or a page is withdrawn that nobody deposited.
    """
    fresh = DepositLedger(changes.deposits)
    for start, end in fresh.extents & changes.withdrawn:
        pages = Span(start << PAGE_SHIFT, end << PAGE_SHIFT)
        raise InputError(
            f"{pages} is said to be deposited and withdrawn: name it in one list"
        )
    kept = inherited.withdraw(changes.withdrawn)
    return kept.withdraw(kept.extents & fresh.extents).deposit(fresh)
