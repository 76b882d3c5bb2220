"""predict(handoff, profile): what a kernel makes of a handoff.

The steps are the kernel's own, in its own order (setup_arch() in
arch/x86/kernel/setup.c of Linux 6.1 unless a behaviour says otherwise):

    zero page -> SETUP_E820_EXT -> mem=, memmap= -> EFI map -> setup_data marked
    -> user map sanitised -> kernel image forced to RAM -> BIOS range trimmed
    -> memblock
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from e820pool.kernel.boot_input import boot_input
from e820pool.kernel.decompressor import kaslr_slots
from e820pool.kernel.early_memory import (
    find_endless_work,
    find_memory_beyond,
    find_no_free_memory,
    find_no_place_for_initrd,
    find_no_trampoline,
    find_no_trampoline_at_once,
    find_stuck_reservations,
)
from e820pool.kernel.efi_memmap import add_efi_memmap
from e820pool.kernel.memblock import find_freed_array, set_up_memory
from e820pool.kernel.resources import firmware_rows, register_firmware_map
from e820pool.kernel.setup_data import mark_setup_data
from e820pool.kernel.state import EarlyBoot
from e820pool.kernel.table_edits import (
    apply_early_params,
    find_endless_line,
    find_unmapped_kernel,
    finish_early_params,
    force_kernel_range,
    trim_bios_range,
)
from e820pool.kernel.view import KernelView
from e820pool.kernel.zero_page import after_sentinel, read_extended, read_zero_page

if TYPE_CHECKING:
    from collections.abc import Callable

    from e820pool.handoff.model import Handoff
    from e820pool.kernel.boot_input import BootInput
    from e820pool.kernel.profiles import Profile

    Step = Callable[[EarlyBoot], None]

__all__ = ("predict", "predict_input", "run_early_boot")

_STEPS: tuple[Step, ...] = (
    read_zero_page,
    read_extended,
    apply_early_params,
    add_efi_memmap,
    mark_setup_data,
    finish_early_params,
    force_kernel_range,
    trim_bios_range,
    set_up_memory,
)
_STEPS_MARKED_FIRST: tuple[Step, ...] = (
    read_zero_page,
    read_extended,
    mark_setup_data,
    apply_early_params,
    add_efi_memmap,
    finish_early_params,
    force_kernel_range,
    trim_bios_range,
    set_up_memory,
)
# What may end a boot after that, in the order in which it does.
_LATER: tuple[Step, ...] = (
    find_no_trampoline_at_once,
    find_no_free_memory,
    find_stuck_reservations,
    find_no_place_for_initrd,
    find_unmapped_kernel,
    find_memory_beyond,
    find_endless_work,
    register_firmware_map,
    find_endless_line,
    find_no_trampoline,
    find_freed_array,
)


def predict(handoff: Handoff, profile: Profile) -> KernelView:
    """Return what a kernel with this profile makes of the handoff.

    Example:
        >>> from e820pool.deposits import DepositLedger, parse_range
        >>> from e820pool.handoff.build import build_handoff
        >>> from e820pool.kernel.profiles import profile_for
        >>> from e820pool.memory_map import MemoryMap
        >>> machine = MemoryMap.of([(0x0, 0x9F000, 1), (0x10_0000, 0x7FF0_0000, 1)])
        >>> ledger = DepositLedger.of_ranges([parse_range("1G+2M")])
        >>> view = predict(build_handoff(machine, ledger), profile_for("6.1"))
        >>> view.usable_pages() & ledger.extents
        ExtentSet()
        >>> view.map_source, view.fatal
        ('BIOS-e820', None)
    """
    return predict_input(boot_input(handoff), profile)


def predict_input(inp: BootInput, profile: Profile) -> KernelView:
    """Return what a kernel with this profile makes of what it reads.

    Where physical KASLR is off and nothing else is said, the image is taken to
    fill its load window.
    """
    inp = after_sentinel(inp, profile)
    slots = kaslr_slots(inp, profile) if inp.load_window is not None else None
    stays = slots is not None and slots.known and not slots.enabled
    if inp.kernel_range is None and stays:
        inp = replace(inp, kernel_range=inp.load_window)
    boot = run_early_boot(EarlyBoot.of(inp, profile))
    if boot.end is None:
        for look in _LATER:
            look(boot)
    exported, end = firmware_rows(boot), boot.end or boot.later_end
    return KernelView(
        kernel=profile.release,
        map_source=boot.map_source,
        bios_map=boot.bios_map,
        extended_map=boot.extended_map,
        setup_data_map=boot.setup_data_map,
        user_map=boot.user_map,
        table=tuple(boot.table.rows),
        memory=boot.memory,
        firmware_map=None if exported is None else tuple(exported),
        kexec_map=tuple(boot.kexec.rows),
        dropped=boot.all_dropped(),
        warnings=tuple(boot.warnings),
        fatal=end.words if end else None,
        end=end,
        kernel_range=inp.kernel_range,
        load_window=inp.load_window,
        kaslr=slots,
    )


def run_early_boot(boot: EarlyBoot) -> EarlyBoot:
    """Take all steps, up to one that ends the boot; return the state."""
    first = boot.profile.has("setup-data-marked-before-cmdline")
    for step in _STEPS_MARKED_FIRST if first else _STEPS:
        step(boot)
        if boot.end is not None:
            return boot
    if boot.table.dropped:
        boot.warn("too-many-entries")
    return boot
