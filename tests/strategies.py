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
