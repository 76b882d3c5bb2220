"""run_chain(): deposits carried over real kexecs, hop by hop.

The host decides ledgers, handoffs, records and what is withdrawn.
"""

from __future__ import annotations

import time
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from e820pool.deposits import Deposit, DepositLedger
from e820pool.errors import BadImageError, CapacityError, InputError
from e820pool.extents import PAGE_SIZE, ExtentSet
from e820pool.handoff.build import BuildOptions, build_handoff, encode_pool_record
from e820pool.lab.accel import vm_for
from e820pool.lab.boot import validate_host_memory
from e820pool.lab.chain_hop import (
    REGION_RECORD,
    HopFacts,
    capture_hop_of,
    findings_of_pair,
    hop_of,
)
from e820pool.lab.chain_model import BY_WORDS, ChainOptions, ChainRecord, Hop, is_panic
from e820pool.lab.chain_port import (
    AgentError,
    ChainPort,
    NextKernel,
    load_next,
    runs_of,
)
from e820pool.lab.guest import LAB_CMDLINE, READY_MARK, build_chain_initramfs
from e820pool.lab.guest_ram import GuestRam, validate_page_granularity
from e820pool.lab.guest_report import parse_guest_report
from e820pool.lab.started_vm import LostVmError, restore_parts, started_vm
from e820pool.loading.bind import bind_kernel
from e820pool.loading.capture import CrashFiles, crash_files
from e820pool.loading.multiboot_stub import STUB_READY, STUB_RESUME
from e820pool.memory_devices import MemoryDevices
from e820pool.pool.option import PmpoolOption, find_pmpool_option
from e820pool.pool.pool import Pool, region_ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from e820pool.findings import Finding
    from e820pool.handoff.model import Handoff
    from e820pool.loading.kernel_file import KernelFile
    from e820pool.memory_map import MemoryMap
    from e820pool.range_lists import StartEnd

__all__ = ("ChainPlan", "run_chain")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainPlan:
    """What stays the same over a chain."""

    memory_map: MemoryMap
    initrd: bytes
    options: ChainOptions
    nr_kernels: int = 1

    def next_kernel(
        self,
        image: bytes,
        ledger: DepositLedger,
        generation: int,
        before: NextKernel | None = None,
        crash: CrashFiles | None = None,
    ) -> NextKernel:
        """Return a kernel with the handoff that keeps it off the ledger's pages.

        ``before`` is the kernel that will start it, ``crash`` what kexec-tools are to
        read there.

        Raises:
            BadImageError, InputError, CapacityError: it cannot be built.
        """
        carrier, region = self.options.carrier, self._region(ledger)
        # All that kexec_file_load(2) passes on of what this package says.
        by_words = generation and self.options.loader_of(generation - 1) == BY_WORDS
        handoff = build_handoff(
            self.memory_map,
            ledger,
            BuildOptions(
                carrier="setup_data" if carrier == "setup_data" else "none",
                cmdline=" ".join(filter(None, (self.options.cmdline, region))),
                encoding="memmap-list" if by_words else "guarded",
                generation=generation,
            ),
        )
        words = self._lab_line(generation)
        bound = bind_kernel(handoff, image, initrd=self.initrd, extra_cmdline=words)
        line = before.bound.handoff.cmdline if before is not None else None
        return NextKernel(
            bound=bound,
            image=image,
            initrd=self.initrd,
            has_same_line=line == bound.handoff.cmdline,
            crash=crash,
        )

    # A generation is the kernel's number. Only who is to crash keeps memory for it.
    def _lab_line(self, number: int) -> str:
        if number < self.nr_kernels - 1 and is_panic(self.options.loader_of(number)):
            return f"{LAB_CMDLINE} crashkernel={self.options.crash_mib}M"
        return LAB_CMDLINE

    def ledger_of(self, hop: Hop) -> DepositLedger:
        """Return what the kernel that runs holds to be deposited.

        Raises:
            InputError: something is deposited and its pool was not rebuilt.
        """
        if not len(hop.given) or self.options.nr_pool:
            return hop.given
        rebuilt = hop.rebuilt
        if rebuilt is None or rebuilt.ledger is None:
            ids = (
                ", ".join(finding.id for finding in rebuilt.findings)
                if rebuilt
                else "no table"
            )
            raise InputError(f"{hop.kernel} has no pool ({ids}): the chain ends there")
        return rebuilt.ledger

    def grown(
        self, ledger: DepositLedger, made: Iterable[StartEnd], owner: int
    ) -> DepositLedger:
        """Return the ledger with what this kernel has deposited.

        In a region nothing is added but once: its pages are passed on by a pool.
        """
        if self.options.carrier != "pmpool":
            return ledger.deposit(
                Deposit(start_pfn=start, end_pfn=end, owner=owner)
                for start, end in made
            )
        if not len(ledger):
            (start, end), *_ = ExtentSet(made)
            ledger = region_ledger(PmpoolOption.of_pages(start, end - start))
        return _passed_on(ledger, self.options.nr_pages, owner)

    def to_withdraw(self, ledger: DepositLedger) -> ExtentSet:
        """Return the lowest pages that are to be taken back before the next hop."""
        left, gone = self.options.nr_withdrawn, []
        for start, end in ledger.extents:
            if left <= 0:
                break
            gone.append((start, min(end, start + left)))
            left -= end - start
        return ExtentSet(gone)

    def clearable(self, pages: ExtentSet) -> ExtentSet:
        """Return the pages that may become holes: not those of a region's record."""
        if self.options.carrier != "pmpool" or not pages:
            return pages
        first = int(pages.starts[0])
        return pages - ExtentSet([(first, first + 1)])

    def region_of(self, handoff: Handoff) -> PmpoolOption | None:
        """Return the region of ours that a handoff's command line names.

        With another carrier ``pmpool=`` is a word of the kernel's own: what lies in
        such a region is not ours to write or to believe.
        """
        if self.options.carrier != "pmpool":
            return None
        return find_pmpool_option(handoff.cmdline.decode("latin-1"))

    def region_record(
        self, handoff: Handoff, generation: int
    ) -> tuple[PmpoolOption, bytes] | None:
        """Return a region and the record that belongs into its first page.

        Raises:
            CapacityError: the record is longer than the page.
        """
        region = self.region_of(handoff)
        if region is None:
            return None
        data = encode_pool_record(self.memory_map, handoff.ledger, generation)
        if len(data) > PAGE_SIZE:
            raise CapacityError(
                f"record of {len(data):#x} bytes does not fit the region's first page"
            )
        return region, data.ljust(PAGE_SIZE, b"\0")

    def _region(self, ledger: DepositLedger) -> str:
        if self.options.carrier != "pmpool" or not len(ledger):
            return ""
        (start, end), *more = ledger.extents
        if more:
            raise InputError(
                f"a pool of {len(more) + 1} regions: pmpool= on the command line names "
                "one"
            )
        return str(PmpoolOption.of_pages(start, end - start))


# Every other page stays free, so that the record has something to tell.
def _passed_on(ledger: DepositLedger, nr_pages: int, owner: int) -> DepositLedger:
    pool, spare = Pool(ledger), []
    for _ in range(nr_pages):
        if pool.alloc(1, owner=owner) is None:
            raise CapacityError(f"the region has no page for deposit of owner {owner}")
        page = pool.alloc(1, owner=owner)
        spare += [page] if page is not None else []
    for page in spare:
        pool.release(page, 1)
    return pool.ledger()


_COMMAND_SECONDS = 120
_GOING_SECONDS = 60
_RESUME = b"!"
_RECORD = "/tmp/record"  # noqa: S108  in the guest
_KCORE = "/tmp/kcore"  # noqa: S108  in the guest


def run_chain(
    memory_map: MemoryMap,
    kernels: Sequence[KernelFile],
    options: ChainOptions | None = None,
    *,
    on_hop: Callable[[Hop], None] = lambda _: None,
) -> ChainRecord:
    """Boot the first kernel and go from each to the next; return what every one did.

    Args:
        memory_map: the machine's own map.
        kernels: at least one.
        options: how.
        on_hop: called with each hop when it is known.

    Raises:
        LostVmError: a kernel hung or died: its console is in the error.
        LabError: QEMU, busybox, kexec-tools or a C compiler are missing.
        InputError, CapacityError, BadImageError: the map or an image cannot be used.
    """
    options = options or ChainOptions()
    if not kernels:
        raise InputError("a chain of 0 kernels: the limit is at least 1")
    options.validate_kernels(len(kernels))
    validate_page_granularity(options.ram_folder)
    initrd = build_chain_initramfs(
        pressure=options.pressure, kexec_tools=set(options.loaders) != {"ours"}
    )
    # The lab's machine has just these, whatever was known of the one that is modelled.
    devices = MemoryDevices(devices=options.memory_devices)
    memory_map = replace(memory_map, devices=devices)
    plan = ChainPlan(
        memory_map=memory_map,
        initrd=initrd,
        options=options,
        nr_kernels=len(kernels),
    )
    first = plan.next_kernel(kernels[0].image, options.inherited, generation=0)
    spec = vm_for(
        first.bound,
        kernels[0].image,
        options.accelerator,
        options.memory_devices,
        options.cpu,
    )
    if options.pressure:
        validate_host_memory(spec)
    with (
        GuestRam(spec.ram, options.ram_folder) as ram,
        started_vm(spec, ram) as vm,
        closing(ChainPort(vm)) as port,
    ):
        port.wait_for_bytes("boot stub", STUB_READY, options.deadlines.firmware)
        port.cut()
        restore_parts(spec, ram)
        ram.clear(plan.clearable(options.inherited.extents))
        port.send(STUB_RESUME)
        with closing(_Run(port, ram, plan, kernels, on_hop)) as run:
            return run.all_hops(first)


class _Run:
    """A way from kernel to kernel in one machine."""

    def __init__(
        self,
        port: ChainPort,
        ram: GuestRam,
        plan: ChainPlan,
        kernels: Sequence[KernelFile],
        on_hop: Callable[[Hop], None],
    ) -> None:
        self._port = port
        self._ram = ram
        self._plan = plan
        self._options = plan.options
        self._kernels = kernels
        self._on_hop = on_hop
        self._withdrawn = self._late = ExtentSet()
        self._has_deposited = False
        self._left: GuestRam | None = None
        self._expected: tuple[Finding, ...] = ()

    def close(self) -> None:
        """Give back what was kept of the memory that a kernel left."""
        if self._left is not None:
            self._left.close()

    def all_hops(self, first: NextKernel) -> ChainRecord:
        """Run every hop; stop where a pool is lost or a kernel refuses.

        Raises:
            LostVmError: a kernel was not reached; says what was expected of the hop.
        """
        hops: list[Hop] = []
        following, stopped = first, ""
        for number in range(len(self._kernels)):
            last = number + 1 == len(self._kernels)
            try:
                hop = self._arrived(number, following, hops)
                if number == 1 and self._options.nr_preserved:
                    # Asked after what it touched has been read: to see is to touch.
                    with suppress(AgentError):
                        hop = replace(hop, returned=ExtentSet(self._runs("returned")))
                if not last:
                    hop, following = self._depart(number, hop, following)
            except (AgentError, InputError, CapacityError, BadImageError) as exc:
                stopped = str(exc)
            hops.append(hop)
            self._on_hop(hop)
            if stopped:
                break
        return ChainRecord(
            firmware_map=self._plan.memory_map,
            options=self._options,
            hops=tuple(hops),
            stopped=stopped,
        )

    # The kernel runs: wait until it has reported and filled its memory.
    def _arrived(self, number: int, started: NextKernel, hops: list[Hop]) -> Hop:
        entered = self._options.loader_of(number - 1) if number else "boot"
        begin, died = time.monotonic(), ""
        try:
            self._wait_until_done()
            self._read_region_record(started)
        except LostVmError as exc:
            if not is_panic(entered):
                raise self._explained(exc, number) from exc
            # A capture kernel that dies is an answer, too.
            died = str(exc)
        seconds = time.monotonic() - begin
        seen = self._ram.touched()
        touched = seen & self._plan.clearable(started.bound.handoff.ledger.extents)
        console, report = self._port.cut()
        return (capture_hop_of if is_panic(entered) else hop_of)(
            HopFacts(
                kernel=self._kernels[number],
                entered=entered,
                started=started,
                region=self._plan.region_of(started.bound.handoff),
                before=hops[-1] if hops else None,
                starter=self._kernels[number - 1] if number else None,
                report=parse_guest_report(report),
                console=console,
                touched=touched,
                changed=self._ram.differing(touched, bytes(PAGE_SIZE)),
                touched_withdrawn=seen & self._withdrawn,
                withdrawn=self._withdrawn,
                late=self._late,
                touched_late=seen & self._late,
                firmware_map=self._plan.memory_map,
                expected=self._expected,
                seconds=seconds,
                died=died,
                memory=None if self._left is None else (self._ram, self._left),
            )
        )

    def _wait_until_done(self) -> None:
        limits = self._options.deadlines
        for mark, seconds in (
            ("hello", limits.kernel),
            ("reported", limits.report),
            (READY_MARK, limits.pressure),
        ):
            self._port.wait_for_mark(mark, seconds)

    def _explained(self, lost: LostVmError, number: int) -> LostVmError:
        where = (
            f"{lost}, kernel {number + 1} of the chain ({self._kernels[number].name})"
        )
        known = "".join(
            f"; expected: {finding.id}: {finding.message}" for finding in self._expected
        )
        return LostVmError(where + known, console=lost.console, report=lost.report)

    # As root of any kernel can: /dev/mem shows what is no RAM.
    def _read_region_record(self, started: NextKernel) -> None:
        region = self._plan.region_of(started.bound.handoff)
        if region is None:
            return
        read = f"dd if=/dev/mem of={_RECORD} bs=4096 skip={region.base_pfn} count=1"
        command = f"run busybox {read} && send {REGION_RECORD} {_RECORD}"
        self._port.command(command, _COMMAND_SECONDS)

    # Deposit, build the next handoff from the rebuilt pool, load it, go.
    def _depart(
        self, number: int, hop: Hop, started: NextKernel
    ) -> tuple[Hop, NextKernel]:
        ledger = self._plan.ledger_of(hop)
        gone = self._plan.to_withdraw(ledger)
        made = self._deposit() if number == 0 or not self._options.once else []
        hop = replace(hop, made=ExtentSet(made), nr_made=len(made))
        ledger = self._plan.grown(ledger.withdraw(gone), made, owner=number + 1)
        loader = self._options.loader_of(number)
        following = self._plan.next_kernel(
            self._kernels[number + 1].image,
            ledger,
            number + 1,
            before=started,
            crash=self._crash_files(hop, ledger) if loader == "panic-ours" else None,
        )
        self._expected = findings_of_pair(
            self._kernels[number],
            hop,
            self._kernels[number + 1],
            following.bound.handoff.cmdline,
        )
        record = self._plan.region_record(following.bound.handoff, number + 1)
        if record is not None:
            self._ram.write(record[0].base_pfn, record[1])
        load_next(self._port, self._ram, following, loader)
        # What a hypervisor asks for between load and jump, whatever is promised.
        late = f"pages {self._options.nr_late} {self._options.step}"
        self._late = ExtentSet(self._runs(late) if self._options.nr_late else ())
        holes = self._plan.clearable(ledger.extents | gone) | self._late
        self._hop(holes, made, b"crash\n" if is_panic(loader) else b"go\n")
        self._withdrawn = gone
        return hop, following

    def _crash_files(self, hop: Hop, ledger: DepositLedger) -> CrashFiles:
        # What is behind the headers is memory: Elf64_Ehdr has 64 bytes with e_phnum at
        # 56, an Elf64_Phdr 56.
        count = "$(busybox od -A n -t u2 -j 56 -N 2 /proc/kcore)"
        read = f"head -c $((64 + 56 * {count})) /proc/kcore >{_KCORE}"
        self._port.command(f"run busybox {read}; send kcore {_KCORE}", _COMMAND_SECONDS)
        kcore = parse_guest_report(bytes(self._port.report)).frames.get("kcore", b"")
        return crash_files(hop.report.text("iomem"), kcore, ledger.extents)

    def _deposit(self) -> list[StartEnd]:
        options, first = self._options, not self._has_deposited
        self._has_deposited = True
        if options.carrier == "pmpool":
            # The region, once; what is deposited later comes out of it.
            return self._runs("huge 1") if first else []
        made = []
        for number, command in (
            # A memfd, once.
            (first and options.nr_preserved, f"preserve {options.nr_preserved}"),
            (options.nr_pool, f"pool {options.nr_pool}"),
            (options.nr_pages, f"pages {options.nr_pages} {options.step}"),
            (options.nr_huge, f"huge {options.nr_huge}"),
        ):
            made += self._runs(command) if number else []
        return made

    def _runs(self, command: str) -> list[StartEnd]:
        return runs_of(self._port.command(command, _COMMAND_SECONDS))

    # From the moment when the deposits are holes only the next kernel can fill them;
    # what the old one still does to them counts as well.
    def _hop(self, holes: ExtentSet, made: list[StartEnd], command: bytes) -> None:
        held = self._runs("held")
        if ExtentSet(held) & ExtentSet(made) != ExtentSet(made):
            raise AgentError("deposited pages are not where they were")
        self._port.send(command)
        self._port.wait_for_mark("going", _GOING_SECONDS)
        self._port.cut()
        if self._options.hands_over:
            self.close()
            self._left = self._ram.copy()
        self._ram.clear(holes)
        self._port.send(_RESUME)
