"""Hypothesis strategies of the whole suite: what they make shrinks to small maps."""

from dataclasses import fields, is_dataclass
from random import Random

from construct import Bytes
from hypothesis import strategies as st

PAGE = 4096
# What firmware says, what kernels add, and numbers nobody knows.
E820_TYPES = (1, 2, 3, 4, 5, 7, 12, 0xEFFFFFFF, 13, 20, 0x504D504F)

e820_types = st.sampled_from(E820_TYPES)


@st.composite
def sorted_rows(draw, *, min_size=1, max_size=12, types=e820_types, unit=PAGE):
    """Make `(addr, size, type)` rows: sorted, disjoint, whole units, gaps or none."""
    rows, reach = [], 0
    for _ in range(draw(st.integers(min_size, max_size))):
        addr = reach + draw(st.integers(0, 1 << 20)) * unit
        size = draw(st.integers(1, 1 << 24)) * unit
        rows.append((addr, size, draw(types)))
        reach = addr + size
    return rows


@st.composite
def any_rows(draw, *, max_size=12):
    """Make rows in any order, overlapping, empty, unaligned; none passes 2^64."""
    rows = []
    for _ in range(draw(st.integers(1, max_size))):
        addr = draw(st.integers(0, (1 << 52) - 1))
        size = draw(st.sampled_from([0, 1, PAGE, 1 << 20, 1 << 40]))
        rows.append((addr, size, draw(e820_types)))
    return rows


@st.composite
def mutated(draw, data):
    """Make `data` with bytes changed, cut out, repeated or put in; or cut short."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(len(changed) - 1, 0)))
        piece = draw(st.binary(max_size=8))
        match draw(st.sampled_from("rdich")):
            case "r":
                changed[at : at + len(piece)] = piece
            case "d":
                del changed[at : at + draw(st.integers(1, 80))]
            case "i":
                changed[at:at] = piece
            case "c":
                changed[at:at] = changed[at : at + 120]
            case "h":
                changed = changed[:at]
    return bytes(changed)


@st.composite
def deposited_machines(draw, *, max_size=6, deposits=12):
    """Make `(rows, deposits)`: a firmware map, and whole pages of its RAM above 1 MiB.

    The map has RAM for the parts of a handoff; in one case of three a comb of deposits
    makes more entries than a zero page holds. Deposits are `(pfn, nr_pages, owner)`.
    """
    first = [(0, 0x9F000, 1), (0x100000, draw(st.integers(64, 256)) << 20, 1)]
    start = sum(first[-1][:2])
    more = draw(sorted_rows(min_size=0, max_size=max_size, unit=512))
    rows = [*first, *((start + addr, size, kind) for addr, size, kind in more)]
    ram = [
        (-(-addr // PAGE), (addr + size) // PAGE)
        for addr, size, kind in rows[1:]
        if kind == 1
    ]
    taken = set()
    for _ in range(draw(st.integers(0, deposits))):
        low, high = draw(st.sampled_from(ram))
        at = draw(st.integers(low, max(low, high - 1)))
        taken |= set(range(at, min(high, at + draw(st.integers(1, 3)))))
    if draw(st.integers(0, 2)) == 0:
        base = ram[0][0] + 0x1000
        step = draw(st.integers(2, 16))
        taken |= set(range(base, base + draw(st.integers(60, 200)) * step, step))
    owners = draw(st.integers(1, 3))
    return rows, [(pfn, 1, pfn % owners) for pfn in sorted(taken)]


def noise(size):
    """Bytes of one size: zero but for a few patches, or all of them random."""
    patches = st.lists(
        st.tuples(st.integers(0, max(size - 1, 0)), st.binary(min_size=1, max_size=8)),
        max_size=8,
    )
    sparse = patches.map(lambda found: _patched(size, found))
    return sparse | st.integers(0, 1 << 32).map(lambda seed: _random(seed, size))


def bound_values(cls):
    """Values of a dataclass that is bound to a construct, each field within limits."""
    return st.builds(
        cls,
        **{one.name: _place_values(one.metadata["place"]) for one in fields(cls)},
    )


def _place_values(place):
    if place.raw or isinstance(place.of, Bytes):
        return noise(place.layout().sizeof())
    if is_dataclass(place.of):
        one = bound_values(place.of)
    else:
        one = st.integers(0, (1 << 8 * place.of.sizeof()) - 1)
    if not place.count:
        return one
    return st.lists(one, min_size=place.count, max_size=place.count).map(tuple)


def _patched(size, patches):
    changed = bytearray(size)
    for offset, new in patches:
        changed[offset : offset + len(new)] = new[: size - offset]
    return bytes(changed)


# Drawing each byte from Hypothesis would use up its budget on one page.
def _random(seed, size):
    return Random(seed).randbytes(size)  # noqa: S311  no secret
