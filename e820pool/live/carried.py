"""What the next kernel inherits of this machine and its pool, and what is lost."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from e820pool.deposits import DepositLedger
from e820pool.errors import InputError
from e820pool.extents import PAGE_SHIFT, Span
from e820pool.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.handoff.model import Handoff
    from e820pool.sources.deposits_file import DepositChanges
    from e820pool.sources.live_machine import LiveMachine

__all__ = ("findings_of_firmware", "merged_ledger", "with_platform")

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
