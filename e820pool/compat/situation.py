"""What a finding is made from: deposits, a kernel's view, the handoff, a profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from e820pool.kernel.kho import kho_preserved
from e820pool.table import E820Table

if TYPE_CHECKING:
    from e820pool.extents import ExtentSet
    from e820pool.kernel.boot_input import BootInput
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
) -> Situation:
    """Return the situation of one kernel's view."""
    return Situation(
        deposits=deposits,
        view=view,
        inp=inp,
        profile=profile,
        input_table=inp.whole_table(),
        table=E820Table.of(view.table),
        usable=view.usable_pages() - kho_preserved(inp, profile),
    )
