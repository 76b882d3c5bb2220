"""The pool record, and whether anybody can believe it after this kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.pool_record import SETUP_E820POOL
from e820pool.compat.verdict import finding_about
from e820pool.findings import Finding
from e820pool.handoff.hot_add import KEPT_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.compat.situation import Situation
    from e820pool.kernel.boot_input import SetupDataSpan

__all__ = ("findings_of_record",)

_CHAIN = "2.6.32 arch/x86/kernel/setup.c parse_setup_data()"
_HEAD = "arch/x86/boot/compressed/head_64.S startup_32"
_AGREEMENT = "specs/pool.md: a record is believed where the table agrees"
_PROTOCOL_2_09 = 0x0209


def findings_of_record(case: Situation) -> Iterator[Finding]:
    """Yield each reason why no pool can be rebuilt from what this kernel has."""
    if not case.deposits or case.view.fatal is not None:
        return
    for node in case.inp.setup_data or ():
        if node.type == SETUP_E820POOL:
            yield from _of_node(case, node, case.inp.protocol)
    yield from _not_believed(case)


def _of_node(case: Situation, node: SetupDataSpan, protocol: int) -> Iterator[Finding]:
    if protocol < _PROTOCOL_2_09 and case.has("setup-data-needs-protocol-2-09"):
        yield _lost(
            f"hdr.version is {protocol:#x}: below 0x209 this kernel ignores the chain, "
            "and the record's memory is free",
            _CHAIN,
        )
    for span in (case.view.load_window, case.view.kernel_range):
        if span is not None and span.overlaps(node.span):
            yield _lost(
                f"the record at {node.addr:#x} lies where the kernel is unpacked, in "
                f"{span}",
                _HEAD,
            )
            return


def _lost(message: str, source: str) -> Finding:
    return Finding(
        id="pool-record-lost", level="degraded", message=message, source=source
    )


# RESERVED in the handoff, and no more in this kernel's table.
def _not_believed(case: Situation) -> Iterator[Finding]:
    if not case.table:
        return
    table = case.table.bytes_of(*KEPT_TYPES).pages_inside()
    missing = case.deposits - table
    if not missing:
        return
    reserved = case.input_table.bytes_of(*KEPT_TYPES).pages_inside()
    gone = (missing & reserved) - case.usable
    if gone:
        text = (
            "{pages} are RESERVED in the handoff and not in this kernel's table: no "
            "record that names them is believed"
        )
        yield finding_about("pool-record-lost", "degraded", gone, text, _AGREEMENT)
