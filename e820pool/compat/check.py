"""check(ledger, view): every way in which a deposited page can be touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from e820pool.abi.e820 import E820_TYPE_RAM
from e820pool.compat.about import LISTED, finding_about
from e820pool.compat.given import (
    findings_of_low_memory,
    findings_of_parts,
    findings_of_table,
)
from e820pool.compat.verdict import Verdict, verdict_of
from e820pool.extents import ByteRangeSet, ExtentSet
from e820pool.findings import Finding
from e820pool.sweep import sweep_arrays

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.deposits import DepositLedger
    from e820pool.kernel.boot_input import BootInput
    from e820pool.kernel.view import KernelView

__all__ = ("check", "findings_of_view")

_MEMBLOCK = "arch/x86/kernel/e820.c e820__memblock_setup()"
_KASLR = "arch/x86/boot/compressed/kaslr.c process_e820_entries()"
_IMAGE = "arch/x86/kernel/setup.c e820_add_kernel_range()"
_HEAD = "arch/x86/boot/compressed/head_64.S startup_32"
_APPEND = "arch/x86/kernel/e820.c e820__memory_setup_default()"
_RANGE_ADD = "arch/x86/kernel/e820.c __e820__range_add()"
_TRIM = "arch/x86/kernel/setup.c trim_bios_range()"

# RAM that every kernel gives up by itself: page 0 and the ISA hole (_TRIM). Pages
# of setup_data nodes are reserved for ever, and before memblock no memory at all.
_ALWAYS_LOST = ExtentSet([(0x0, 0x1), (0xA0, 0x100)])


def check(
    ledger: DepositLedger, view: KernelView, given: BootInput | None = None
) -> Verdict:
    """Return the verdict on one kernel's view.

    Args:
        ledger: the deposits that must stay untouched.
        view: what the kernel, modelled or real, made of the handoff.
        given: what the handoff says, for findings about the handoff itself
            (``not-monotone``, ``ram-lost``); left out when it is not at hand.
    """
    deposits = ledger.extents
    findings = [*_nothing_deposited(deposits), *findings_of_view(deposits, view)]
    if given is not None:
        findings += findings_of_table(deposits, given)
        findings += findings_of_parts(deposits, given)
        findings += findings_of_low_memory(deposits)
        findings += _ram_lost(deposits, view, given)
    return verdict_of(view.kernel, findings)


def findings_of_view(deposits: ExtentSet, view: KernelView) -> Iterator[Finding]:
    """Yield what this kernel does to the deposits, and what it lost."""
    yield from view.findings
    yield from _touched(deposits, view)
    yield from _usable(deposits, view)
    yield from _forced(deposits, view)
    yield from _decompressed(deposits, view)
    yield from _fallback(view)
    yield from _dropped(view)
    if view.fatal is not None:
        message = f"the boot ends: {view.fatal}"
        yield Finding(id="boot-fails", level="degraded", message=message)


def _nothing_deposited(deposits: ExtentSet) -> Iterator[Finding]:
    if not deposits:
        message = "the handoff names no deposit: there is nothing to leave alone"
        yield Finding(id="no-deposits", level="note", message=message)


def _touched(deposits: ExtentSet, view: KernelView) -> Iterator[Finding]:
    touched = view.touched_deposits
    if touched is None and view.touched is not None:
        touched = view.touched & deposits
    if touched:
        text = "the kernel read or wrote {pages}"
        yield finding_about("touched", "unsafe", touched, text, "lab: guest RAM file")


def _usable(deposits: ExtentSet, view: KernelView) -> Iterator[Finding]:
    hit = deposits & view.usable_pages()
    if hit:
        text = "the kernel takes {pages} for its own memory"
        yield finding_about("usable-as-ram", "unsafe", hit, text, _MEMBLOCK)


def _forced(deposits: ExtentSet, view: KernelView) -> Iterator[Finding]:
    if view.kernel_range is None:
        return
    hit = deposits & ByteRangeSet([view.kernel_range]).pages_touched()
    if hit:
        text = "the kernel image lies over {pages} and makes them RAM"
        yield finding_about(
            "forced-to-ram-by-kernel-image", "unsafe", hit, text, _IMAGE
        )


def _decompressed(deposits: ExtentSet, view: KernelView) -> Iterator[Finding]:
    window = view.load_window
    if window is not None:
        hit = deposits & ByteRangeSet([window]).pages_touched()
        if hit:
            text = (
                f"the decompressor works in [{window[0]:#x}, {window[1]:#x}), over "
                "{pages}"
            )
            yield finding_about("touched-by-decompressor", "unsafe", hit, text, _HEAD)
    yield from _slots(deposits, view)


def _slots(deposits: ExtentSet, view: KernelView) -> Iterator[Finding]:
    slots = view.kaslr
    if slots is None or not slots.enabled:
        return
    hits, landed = slots.slots_over(deposits.to_bytes())
    if hits:
        text = (
            f"KASLR can put the kernel into a deposit: {hits} of {slots.nr_slots} "
            "slots cover {pages}"
        )
        extents = landed.pages_touched() & deposits
        yield finding_about("touched-by-decompressor", "unsafe", extents, text, _KASLR)


def _fallback(view: KernelView) -> Iterator[Finding]:
    if view.map_source != "BIOS-e820":
        text = (
            f"the kernel refuses the table and makes up a {view.map_source} map, "
            "which knows no RESERVED"
        )
        yield Finding(id="fallback-map", level="degraded", message=text, source=_APPEND)


def _dropped(view: KernelView) -> Iterator[Finding]:
    if not view.dropped:
        return
    ram = sum(size for _, size, kind in view.dropped if kind == E820_TYPE_RAM)
    first = view.dropped[0]
    yield Finding(
        id="dropped-entry",
        level="degraded" if ram else "note",
        message=(
            f"{len(view.dropped)} entries are lost, the first at {first[0]:#x} with "
            f"size {first[1]:#x} of type {first[2]}; {ram:#x} bytes of RAM go with them"
        ),
        source=_RANGE_ADD,
    )


def _ram_lost(
    deposits: ExtentSet, view: KernelView, given: BootInput
) -> Iterator[Finding]:
    # With mem= or memmap= the user asked for less; a dead boot lost all of it.
    if view.user_map is not None or view.fatal is not None:
        return
    both = np.concatenate((given.table, *given.ext))
    if bool(np.any(both["addr"] + both["size"] < both["addr"])):
        return
    addr, size, kind = sweep_arrays(both["addr"], both["size"], both["type"])
    ram = kind == E820_TYPE_RAM
    told = ByteRangeSet.from_bounds(addr[ram], addr[ram] + size[ram]).pages_inside()
    nodes = ByteRangeSet(
        (one.addr, one.addr + one.size) for one in given.setup_data or ()
    )
    kept = _ALWAYS_LOST | nodes.pages_touched()
    lost = told - view.usable_pages() - kept - deposits
    if lost:
        text = (
            f"{lost.nr_pages} pages of RAM in the table are not used, the first at "
            f"PFN {next(iter(lost))[0]:#x}"
        )
        yield Finding(
            id="ram-lost",
            level="degraded",
            message=text,
            extents=tuple(lost)[:LISTED],
            source=_MEMBLOCK,
        )
