"""What a chain of kexecs is asked for, and what it shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from e820pool.deposits import DepositLedger
from e820pool.errors import InputError
from e820pool.extents import ByteRangeSet, ExtentSet
from e820pool.lab.machine import Deadlines

if TYPE_CHECKING:
    from pathlib import Path

    from e820pool.compat import Difference, Verdict
    from e820pool.kernel.view import KernelView
    from e820pool.lab.guest_report import GuestReport
    from e820pool.memory_map import MemoryMap
    from e820pool.pool.rebuild import RebuildResult
    from e820pool.range_lists import StartEnd

__all__ = (
    "BY_FILE",
    "BY_WORDS",
    "LOADERS",
    "ChainCarrier",
    "ChainOptions",
    "ChainRecord",
    "Dump",
    "Hop",
    "Loader",
    "is_panic",
)

Loader = Literal[
    "ours",
    "kexec-load",
    "kexec-file",
    "kexec-file-memmap",
    "panic-file",
    "panic-load",
    "panic-ours",
]
"""kexec_load(2) with exactly our parts; stock kexec-tools by kexec_load(2), reading a
memmap tree of ours; stock kexec-tools by kexec_file_load(2), and the same with the
deposits as ``memmap=`` on the next command line. Then the last kernel is a
capture kernel, and the one before crashes: loaded by stock kexec-tools and
kexec_file_load(2), by them and kexec_load(2), by them with a /proc/iomem of ours."""

LOADERS: tuple[Loader, ...] = get_args(Loader)
"""Every :data:`Loader`."""

BY_FILE = frozenset({"kexec-file", "kexec-file-memmap"})
"""Those that leave it to the running kernel where segments go."""

BY_WORDS: Loader = "kexec-file-memmap"
"""The loader by which only words on the command line say what is kept."""

ChainCarrier = Literal["setup_data", "pmpool", "none"]
"""How the record travels: a node of the chain, the first page of a region that the
command line names, not at all."""


def is_panic(loader: str) -> bool:
    """Return whether what is loaded so starts when the kernel crashes."""
    return loader.startswith("panic-")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainOptions:
    """How a chain is to be run.

    Attributes:
        loaders: of :data:`LOADERS`, one for each hop; the last serves all that follow.
        nr_pages: single pages that each kernel deposits.
        step: from one of them to the next, in pages, as the kernel hands them out.
        nr_huge: huge pages of 2 MiB that each kernel deposits.
        nr_preserved: pages of a memfd that the first kernel deposits, and that it hands
            over by a live update (KHO): it needs LIVEUPDATE and ``kho=on``, and
            kexec_file_load.
        nr_pool: pages that each kernel takes out of a pool of its own, by /proc/pmpool,
            which no stock kernel has. Whether the next kernel leaves them alone is
            up to that pool: the chain goes on where ours is not rebuilt.
        inherited: what is deposited when the first kernel is started.
        crash_mib: what a kernel that is to crash keeps for its capture kernel, in
            MiB (``crashkernel=``).
        nr_late: single pages that each kernel deposits when the next one is loaded
            already, and which nobody tells it of.
        nr_withdrawn: of what a kernel finds deposited it withdraws so many pages, the
            lowest first, before the next hop.
        accelerator: ``auto`` takes KVM only where it was seen to boot a kernel.
        cpu: QEMU's name of the processor and its features (``qemu64,+la57`` has page
            tables of five levels), "" for QEMU's default.
        cmdline: what each kernel's command line has besides the lab's own words.
        ram_folder: a folder on a tmpfs for guest RAM, None for memory.
        memory_devices: as of :class:`e820pool.lab.boot.BootOptions`.

    Raises:
        InputError: pages are to be withdrawn of a region, which ``pmpool=`` names in
            units of 2 MiB and which is one such unit; a capture kernel is to be
            followed by another.
    """

    loaders: tuple[Loader, ...] = ("ours",)
    carrier: ChainCarrier = "setup_data"
    nr_pages: int = 20
    step: int = 8
    nr_huge: int = 1
    nr_preserved: int = 0
    nr_pool: int = 0
    inherited: DepositLedger = field(default_factory=DepositLedger)
    crash_mib: int = 128
    once: bool = False
    nr_late: int = 0
    nr_withdrawn: int = 0
    pressure: bool = True
    accelerator: Literal["auto", "kvm", "tcg"] = "auto"
    cpu: str = ""
    cmdline: str = ""
    deadlines: Deadlines = field(default_factory=Deadlines)
    ram_folder: Path | None = None
    memory_devices: tuple[StartEnd, ...] = ()

    def __post_init__(self) -> None:
        if self.carrier == "pmpool" and self.nr_withdrawn:
            raise InputError(
                f"{self.nr_withdrawn} pages to withdraw: with carrier pmpool the limit "
                "is 0, as pmpool= names units of 2 MiB and the chain's region is one"
            )
        early = [name for name in self.loaders[:-1] if is_panic(name)]
        if early:
            raise InputError(
                f"loader {early[0]!r} before another: a capture kernel is the last of "
                "a chain"
            )

    def validate_kernels(self, count: int) -> None:
        """Raise InputError unless a capture kernel is the last of ``count``."""
        if is_panic(self.loaders[-1]) and count != len(self.loaders) + 1:
            raise InputError(
                f"a chain of {count} kernels with loader {self.loaders[-1]!r}: the "
                f"capture kernel is the last, and the limit is {len(self.loaders) + 1}"
            )

    @property
    def hands_over(self) -> bool:
        """Return whether the kernels have a handover of their own (KHO) switched on."""
        return "kho=on" in self.cmdline.split()

    def loader_of(self, hop: int) -> Loader:
        """Return the loader that leaves kernel number ``hop``, from 0 on."""
        return self.loaders[min(hop, len(self.loaders) - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dump:
    """What a capture kernel reads of the memory of the kernel that crashed.

    Attributes:
        held: the physical bytes that its /proc/vmcore holds, by the ELF headers there;
            empty where the kernel never came so far.
        expected: what it should hold, by /proc/iomem of the kernel that crashed.
        nr_bytes: how long the file was that the guest read to its end, 0 if it did not.
    """

    held: ByteRangeSet
    expected: ByteRangeSet
    nr_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One kernel of a chain: what it was given and what it did.

    Attributes:
        entered: ``boot``, or the loader by which the kernel before started it.
        given: what was deposited when it was started.
        nr_entries: entries of the table that it was given, as it exports them.
        view: what it made of them; ``touched`` are deposited pages only.
        model: what the modelled kernel makes of what the loader was to hand over,
            None where kernel or loader are not known.
        predicted: the model's verdict on it, and on its being started by the kernel
            before it.
        differences: between the model's reading of that and this kernel's.
        rebuilt: the pool from what this kernel has, None where none was due.
        dump: what it read as a capture kernel, None where it is none.
        made: what it deposited itself, in ``nr_made`` calls.
        withdrawn: pages that the kernel before had withdrawn.
        used_again: those of them that this kernel has touched.
        late: pages that the kernel before deposited after it had loaded this one.
        touched_late: those of them that were touched from the jump on.
        returned: the pages of the memfd that came back to it by a live update, in the
            order of the file; None where none was due, or it has none.
        seconds: from its entry to the end of the pressure.
    """

    kernel: str
    entered: str
    given: DepositLedger
    nr_entries: int
    view: KernelView
    model: KernelView | None
    predicted: Verdict | None
    differences: tuple[Difference, ...]
    rebuilt: RebuildResult | None
    dump: Dump | None = None
    made: ExtentSet = field(default_factory=ExtentSet)
    nr_made: int = 0
    withdrawn: ExtentSet = field(default_factory=ExtentSet)
    used_again: ExtentSet = field(default_factory=ExtentSet)
    late: ExtentSet = field(default_factory=ExtentSet)
    touched_late: ExtentSet = field(default_factory=ExtentSet)
    returned: ExtentSet | None = None
    report: GuestReport
    console: bytes
    seconds: float

    @property
    def touched(self) -> ExtentSet:
        """Return the deposited pages that this kernel read or wrote."""
        return self.view.touched_deposits or ExtentSet()

    @property
    def is_rebuilt_equal(self) -> bool:
        """Return whether the pool is what was deposited, or none was due."""
        if not len(self.given) or self.dump is not None:
            return True
        ledger = self.rebuilt.ledger if self.rebuilt else None
        if self.returned:
            # What a live update carried is held by its file, all else by the table.
            kept = ledger.extents if ledger else ExtentSet()
            return kept | self.returned == self.given.extents
        if self.rebuilt is None or ledger is None:
            return False
        if self.rebuilt.carrier == "inference":
            # Nothing tells whose the pages are.
            return ledger.extents == self.given.extents
        return ledger == self.given


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainRecord:
    """What became of a chain of kernels.

    Attributes:
        hops: one for each kernel that was reached, in order.
        stopped: why the chain did not go on, "" when it came to its end.
    """

    firmware_map: MemoryMap
    options: ChainOptions
    hops: tuple[Hop, ...]
    stopped: str = ""

    @property
    def touched(self) -> ExtentSet:
        """Return the deposited pages that any kernel touched, late ones too."""
        touched = ExtentSet()
        for hop in self.hops:
            touched |= hop.touched | hop.touched_late
        return touched

    @property
    def is_intact(self) -> bool:
        """Return whether no deposit was touched, every pool equal, no kernel dead."""
        whole = all(
            hop.is_rebuilt_equal and hop.view.fatal is None for hop in self.hops
        )
        return whole and not self.touched and not self.stopped
