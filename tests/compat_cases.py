"""Handoffs as rows, judged by the model: what the tests of findings share."""

from e820pool.abi.e820 import table_of
from e820pool.compat import check_input
from e820pool.extents import ExtentSet, Span
from e820pool.kernel.boot_input import BootInput, SetupDataSpan, boot_input
from e820pool.kernel.profiles import profile_for

M, G = 1 << 20, 1 << 30
LOW = [(0, 0x9F000, 1), (0x9F000, 0x61000, 2)]
# 1 GiB of RAM, a deposit of 16 MiB at 512 MiB carved out of it.
AT, SIZE = 512 * M, 16 * M
CARVED = [*LOW, (M, AT - M, 1), (AT, SIZE, 2), (AT + SIZE, 496 * M, 1)]
WHOLE = [*LOW, (M, 1023 * M, 1)]
WINDOW = Span(16 * M, 80 * M)
RECORD = SetupDataSpan(addr=2 * M, size=144, type=0x6C703865)


def check(handoff, profile, view=None):
    """Return the verdict on a handoff as it is: no place is assumed for its kernel."""
    return check_input(handoff.ledger.extents, boot_input(handoff), profile, view)


def verdict(
    rows, release="6.1", *, ext=(), deposits=((AT, SIZE),), config=None, **rest
):
    """Return what check says of a table; deposits are `(addr, size)` in bytes."""
    profile = profile_for(release, config)
    ext = tuple(table_of(part) for part in ext)
    inp = BootInput(table=table_of(rows), ext=ext, **rest)
    pages = ExtentSet((addr >> 12, (addr + size) >> 12) for addr, size in deposits)
    return check_input(pages, inp, profile)


def found(ident, *args, **kwargs):
    """Return the findings with this id; all of them name a source."""
    told = [one for one in verdict(*args, **kwargs).findings if one.id == ident]
    assert all(one.source for one in told)
    return told


def levels(ident, *args, **kwargs):
    """Return the levels of the findings with this id."""
    return [one.level for one in found(ident, *args, **kwargs)]
