"""What a budget of entries costs, in words, JSON and CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.findings import Finding
from e820pool.handoff.budget import given_up_ram

if TYPE_CHECKING:
    from e820pool.handoff.model import Handoff

__all__ = ("budget_findings",)

# At most so many extents are listed in a finding; the message has the total.
_LISTED = 64


def budget_findings(handoff: Handoff) -> tuple[Finding, ...]:
    """Return the note on RAM that a handoff gives up, nothing where it gives none."""
    given_up = given_up_ram(handoff)
    if not given_up:
        return ()
    start, end = next(iter(given_up))
    message = (
        f"{given_up.total_bytes} bytes of RAM in {len(given_up)} ranges are given up "
        f"so that the table fits, [{start:#x}, {end:#x}) first: not deposited, and "
        "not RAM to the next kernel"
    )
    extents = tuple(given_up.pages_touched())[:_LISTED]
    return (Finding(id="given-up", level="note", message=message, extents=extents),)
