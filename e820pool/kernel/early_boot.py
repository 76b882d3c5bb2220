"""predict(handoff, profile): what a kernel makes of a handoff.

The steps are the kernel's own, in its own order (setup_arch() in
arch/x86/kernel/setup.c of Linux 6.1 unless a behaviour says otherwise):

    zero page -> SETUP_E820_EXT -> mem=, memmap= -> EFI map -> setup_data marked
    -> user map sanitised -> kernel image forced to RAM -> BIOS range trimmed
    -> memblock
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from e820pool.kernel.boot_input import boot_input
from e820pool.kernel.decompressor import kaslr_slots
from e820pool.kernel.early_memory import (
    find_endless_work,
    find_memory_beyond,
    find_no_free_memory,
    find_no_place_for_initrd,
    find_no_room_for_sections,
    find_no_trampoline,
    find_no_trampoline_at_once,
    find_stuck_reservations,
)
from e820pool.kernel.memblock import find_freed_array, set_up_memory
from e820pool.kernel.resources import firmware_rows, register_firmware_map
from e820pool.kernel.setup_data_nodes import find_early_reservations, mark_setup_data
from e820pool.kernel.state import EarlyBoot
from e820pool.kernel.table_edits import (
    add_efi_memmap,
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
    from collections.abc import Callable, Hashable

    from e820pool.handoff.model import Handoff
    from e820pool.kernel.boot_input import BootInput
    from e820pool.kernel.profiles import Profile
    from e820pool.kernel.view import BootEnd, KaslrSlots

    Step = Callable[[EarlyBoot], None]

__all__ = ("NEW_PARTS", "Parts", "predict", "predict_input", "run_early_boot")

_T = TypeVar("_T")

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
    find_early_reservations,
    find_no_trampoline_at_once,
    find_no_free_memory,
    find_stuck_reservations,
    find_no_place_for_initrd,
    find_unmapped_kernel,
    find_no_room_for_sections,
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


class Parts(Protocol):
    """How parts of a prediction are made: anew, or as they were for another kernel."""

    def take(
        self,
        part: str,
        of: Hashable,
        make: Callable[[Profile], _T],
        profile: Profile,
        /,
    ) -> _T:
        """Return what ``make`` gives for the profile.

        Args:
            part: the name of the part.
            of: what it is made from, beside the profile.
            make: makes it, the same from the same.
            profile: of the kernel.
        """

    def same(self, part: str, key: Hashable, value: _T, /) -> _T:
        """Return the first value with this key, so that equal ones are one object."""


class _NewParts:
    # For one kernel alone.

    def take(
        self,
        _part: str,
        _of: Hashable,
        make: Callable[[Profile], _T],
        profile: Profile,
        /,
    ) -> _T:
        return make(profile)

    def same(self, _part: str, _key: Hashable, value: _T, /) -> _T:
        return value


NEW_PARTS: Parts = _NewParts()
"""Makes each part anew."""


def predict_input(
    inp: BootInput, profile: Profile, parts: Parts = NEW_PARTS
) -> KernelView:
    """Return what a kernel with this profile makes of what it reads.

    Where physical KASLR is off and nothing else is said, the image is taken to
    fill its load window.

    Args:
        inp: what the kernel reads.
        profile: how it reads.
        parts: makes each part; it may know the part from another kernel, and gives the
            same object then.
    """
    take = parts.take
    inp = cleared = take("sentinel", 0, partial(after_sentinel, inp), profile)
    slots = None
    if inp.load_window is not None:
        slots = take("kaslr", id(cleared), partial(kaslr_slots, inp), profile)
        slots = parts.same("slots", slots, slots)
    stays = slots is not None and slots.known and not slots.enabled
    if inp.kernel_range is None and stays:
        inp = inp.in_load_window()
    reads = (id(cleared), inp.kernel_range)
    # Whatever its table holds, a kernel in which it never was full does the same.
    roomy = partial(_booted, inp, parts, has_limit=False)
    boot, core, most = take("roomy boot", reads, roomy, profile)
    if not take("room", most, lambda asked: asked.holds(most), profile):
        full = partial(_booted, inp, parts, has_limit=True)
        boot, core, _ = take("full boot", reads, full, profile)
    warnings, end = list(boot.warnings), boot.end
    for look in _LATER if boot.end is None else ():
        start = boot if look is register_firmware_map else core
        step = partial(_looked, look, start)
        warned, later_end = take(look.__name__, id(start), step, profile)
        if warned:
            warnings += (word for word in warned if word not in warnings)
        end = end or later_end
    known = (id(boot), id(slots), tuple(warnings), end)
    make = partial(_view, (boot, core), slots, tuple(warnings), end)
    return take("view", known, make, profile)


# The state after all steps, one that has the same core, and how many rows its tables
# had at most: whatever kernel it is of, the same states are the same objects.
def _booted(
    inp: BootInput, parts: Parts, profile: Profile, *, has_limit: bool
) -> tuple[EarlyBoot, EarlyBoot, int]:
    boot = run_early_boot(EarlyBoot.of(inp, profile, has_limit=has_limit))
    most = boot.most_rows()
    boot.settle(parts.same("maps", None, []))
    boot = parts.same("state", boot.state(), boot)
    return boot, parts.same("core", boot.core(), boot), most


# What one step warns of, and the end that it finds; the state is left as it was.
def _looked(
    look: Step, boot: EarlyBoot, profile: Profile
) -> tuple[tuple[str, ...], BootEnd | None]:
    was = boot.profile, boot.warnings, boot.later_end
    boot.profile, boot.warnings, boot.later_end = profile, [], None
    look(boot)
    outcome = tuple(boot.warnings), boot.later_end
    boot.profile, boot.warnings, boot.later_end = was
    return outcome


# The same table and memory are the same objects, so that they are looked at once.
def _view(
    states: tuple[EarlyBoot, EarlyBoot],
    slots: KaslrSlots | None,
    warnings: tuple[str, ...],
    end: BootEnd | None,
    profile: Profile,
) -> KernelView:
    boot, core = states
    return KernelView(
        kernel=profile.release,
        map_source=boot.map_source,
        bios_map=boot.bios_map,
        extended_map=boot.extended_map,
        setup_data_map=boot.setup_data_map,
        user_map=boot.user_map,
        table=core.final_rows,
        memory=core.spans,
        firmware_map=firmware_rows(boot, profile),
        kexec_map=boot.kexec_rows,
        dropped=boot.all_dropped(),
        warnings=warnings,
        fatal=end.words if end else None,
        end=end,
        kernel_range=boot.inp.kernel_range,
        load_window=boot.inp.load_window,
        kaslr=slots,
    )


def run_early_boot(boot: EarlyBoot) -> EarlyBoot:
    """Take all steps, up to one that ends the boot; return the state."""
    # Where nothing edits the table the order is of no weight.
    edits = "mem" in boot.inp.cmdline or boot.inp.efi is not None
    first = edits and boot.profile.has("setup-data-marked-before-cmdline")
    for step in _STEPS_MARKED_FIRST if first else _STEPS:
        step(boot)
        if boot.end is not None:
            return boot
    if boot.table.dropped:
        boot.warn("too-many-entries")
    return boot
