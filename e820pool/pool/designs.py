"""One way to tell the next kernel, and one kernel: what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from e820pool.abi.e820 import E820_TYPE_RESERVED_KERN
from e820pool.compat import Verdict, judge
from e820pool.errors import CapacityError, InputError, MachineError
from e820pool.extents import PAGE_SHIFT
from e820pool.handoff.build import BuildOptions, build_handoff
from e820pool.kernel.early_boot import predict_input
from e820pool.kernel.table_edits import TRIMMED_PAGES
from e820pool.loading.kexec_loaders import HandedOver, by_kexec_file, by_kexec_tools
from e820pool.pool.rebuild import rebuild

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e820pool.abi.bzimage import BzImage
    from e820pool.deposits import DepositLedger
    from e820pool.handoff.model import Handoff
    from e820pool.kernel.profiles import Profile
    from e820pool.kernel.view import KernelView
    from e820pool.memory_map import MemoryMap

__all__ = (
    "DesignCell",
    "contradiction",
    "design_cell",
    "design_handoff",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignCell:
    """What one kernel makes of the deposits under one encoding.

    Attributes:
        verdict: the model's; None where the handoff cannot be built, for ``reason``.
        nr_entries: of the whole table, SETUP_E820_EXT included.
        nr_words_bytes: what the encoding needs of the command line.
        wasted_bytes: RAM of the firmware that is neither deposited nor used.
        is_rebuildable: whether this kernel's user space gets exactly the pool back.
        survives: by loader, whether the deposits are still no RAM in the table that
            this kernel hands on by itself; None where that is not known.
    """

    encoding: str
    kernel: str
    verdict: Verdict | None
    handoff: Handoff | None = None
    reason: str = ""
    nr_entries: int = 0
    nr_words_bytes: int = 0
    wasted_bytes: int = 0
    is_rebuildable: bool = False
    survives: Mapping[str, bool | None] = field(default_factory=dict)


def design_handoff(
    memory_map: MemoryMap,
    ledger: DepositLedger,
    encoding: str,
    image: BzImage | None = None,
) -> Handoff:
    """Return the handoff of one encoding for one kernel.

    Raises:
        InputError, CapacityError: it cannot be built.
    """
    options = BuildOptions(encoding=encoding, kernel=image)
    return build_handoff(memory_map, ledger, options)


def design_cell(
    memory_map: MemoryMap,
    ledger: DepositLedger,
    encoding: str,
    profile: Profile,
    image: BzImage | None = None,
) -> DesignCell:
    """Return what the modelled kernel makes of it.

    Raises:
        InputError: a deposit is not RAM of the map.
    """
    ledger.validate_inside(memory_map)
    try:
        handoff = design_handoff(memory_map, ledger, encoding, image)
    except (InputError, CapacityError, MachineError) as exc:
        return DesignCell(
            encoding=encoding, kernel=profile.release, verdict=None, reason=str(exc)
        )
    verdict = judge(handoff, profile)
    view = verdict.view
    assert view is not None  # noqa: S101  for the type checker
    result = rebuild(view, handoff.record_bytes(), memory_map)
    # What every kernel gives up by itself no design is to blame for.
    kept = view.usable_pages() | ledger.extents | TRIMMED_PAGES
    return DesignCell(
        encoding=encoding,
        kernel=profile.release,
        verdict=verdict,
        handoff=handoff,
        nr_entries=len(handoff.table),
        nr_words_bytes=len(handoff.cmdline),
        wasted_bytes=(memory_map.ram_pages() - kept).nr_pages << PAGE_SHIFT,
        is_rebuildable=result.ledger == ledger,
        survives=_survives(ledger, view, profile),
    )


def contradiction(cell: DesignCell, machine: KernelView) -> str:
    """Return how a real kernel contradicts a cell, "" where it does not.

    KASLR throws dice: where nothing but it endangers the deposits, a boot may miss.
    """
    if cell.verdict is None:
        return "the model has no verdict"
    touched = bool(machine.touched_deposits)
    sure = {"usable-as-ram", "forced-to-ram-by-kernel-image"}
    unsafe = {f.id for f in cell.verdict.findings if f.level == "unsafe"}
    if touched and cell.verdict.verdict != "unsafe":
        return f"deposited pages were touched, the model says {cell.verdict.verdict}"
    if unsafe & sure and not touched and machine.fatal is None:
        return "the model says that they are touched, and they were not"
    return ""


# By the kernel's own devices: nobody tells the loader anything.
def _survives(
    ledger: DepositLedger, view: KernelView, profile: Profile
) -> dict[str, bool | None]:
    if view.fatal is not None:
        return {"kexec-load": None, "kexec-file": None}
    tree, nameless = view.firmware_map, frozenset({E820_TYPE_RESERVED_KERN})
    if profile.has("type-128-is-memory"):
        nameless = frozenset()
    handed = {
        "kexec-load": None if tree is None else by_kexec_tools(tree, nameless),
        "kexec-file": by_kexec_file(view) if profile.has("kexec-file-load") else None,
    }
    return {name: _keeps(ledger, table, profile) for name, table in handed.items()}


def _keeps(
    ledger: DepositLedger, handed: HandedOver | None, profile: Profile
) -> bool | None:
    if handed is None:
        return None
    following = predict_input(handed.boot_input(), profile)
    return not ledger.extents & following.usable_pages()
