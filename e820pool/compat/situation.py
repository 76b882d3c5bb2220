"""What a finding is made from: deposits, a kernel's view, the handoff, a profile."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from e820pool.kernel.early_boot import NEW_PARTS
from e820pool.kernel.setup_data_nodes import kho_preserved
from e820pool.table import E820Table

if TYPE_CHECKING:
    from e820pool.extents import ExtentSet
    from e820pool.kernel.boot_input import BootInput
    from e820pool.kernel.early_boot import Parts
    from e820pool.kernel.profiles import Profile
    from e820pool.kernel.view import KernelView

__all__ = ("Situation", "situation_of")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Situation:
    """All that a check looks at, and what several of them need.

    Attributes:
        deposits: the pages that must stay untouched.
        view: what the kernel, modelled or real, made of the handoff.
        inp: what the handoff says.
        profile: how that kernel reads, with its configuration.
        input_table: the entries of zero page and SETUP_E820_EXT.
        table: the kernel's own table of early boot.
        usable: the pages that the kernel gives to its allocators.
    """

    deposits: ExtentSet
    view: KernelView
    inp: BootInput
    profile: Profile
    input_table: E820Table
    table: E820Table
    usable: ExtentSet

    def has(self, behaviour: str) -> bool:
        """Return whether the kernel is known to show the behaviour."""
        return self.profile.has(behaviour)


def situation_of(
    deposits: ExtentSet,
    view: KernelView,
    inp: BootInput,
    profile: Profile,
    parts: Parts = NEW_PARTS,
) -> Situation:
    """Return the situation of one kernel's view.

    Args:
        deposits: the pages that must stay untouched.
        view: what the kernel made of its input.
        inp: what the handoff says.
        profile: how the kernel reads.
        parts: makes the tables and sets of it; it may know them from another kernel.
    """
    take = parts.take
    input_table = take("input table", id(inp), lambda _: inp.whole_table(), profile)
    table = take("table", id(view.table), lambda _: _table(view), profile)
    usable = take("usable", id(view.memory), partial(_usable, view, inp), profile)

    def situation(profile: Profile) -> Situation:
        return Situation(
            deposits=deposits,
            view=view,
            inp=inp,
            profile=profile,
            input_table=input_table,
            table=table,
            usable=usable,
        )

    return take("situation", (id(view), id(usable)), situation, profile)


def _table(view: KernelView) -> E820Table:
    # Of a real kernel somebody has read it from what was printed.
    is_model = view.engine == "model"
    return E820Table.of_valid(view.table) if is_model else E820Table.of(view.table)


def _usable(view: KernelView, inp: BootInput, profile: Profile) -> ExtentSet:
    return view.usable_pages() - kho_preserved(inp, profile)
