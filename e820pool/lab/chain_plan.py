"""What the host decides in a chain: ledgers, handoffs, records, what is withdrawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from e820pool.deposits import Deposit, DepositLedger
from e820pool.errors import CapacityError, InputError
from e820pool.extents import PAGE_SIZE, ExtentSet
from e820pool.handoff.build import (
    BuildOptions,
    build_handoff,
    encode_pool_record,
)
from e820pool.lab.chain_model import BY_WORDS, ChainOptions, Hop, is_panic
from e820pool.lab.chain_port import NextKernel
from e820pool.lab.guest import LAB_CMDLINE
from e820pool.loading.bind import bind_kernel
from e820pool.pool.option import PmpoolOption, find_pmpool_option
from e820pool.pool.pool import Pool, region_ledger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e820pool.handoff.model import Handoff
    from e820pool.loading.capture import CrashFiles
    from e820pool.memory_map import MemoryMap

__all__ = ("ChainPlan",)


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
        found = hop.rebuilt
        if found is None or found.ledger is None:
            ids = ", ".join(one.id for one in found.findings) if found else "no table"
            raise InputError(f"{hop.kernel} has no pool ({ids}): the chain ends there")
        return found.ledger

    def grown(
        self, ledger: DepositLedger, made: Iterable[tuple[int, int]], owner: int
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
