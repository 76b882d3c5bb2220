"""Whatever table and bytes are given: a right pool or none, and never a traceback."""

import pytest
import rawbytes
from hypothesis import given
from hypothesis import strategies as st

from e820pool.errors import InputError
from e820pool.kernel.view import KernelView
from e820pool.memory_map import MemoryMap
from e820pool.pool.rebuild import rebuild

# A quarter of a page: entries need not begin or end with one.
QUARTER = 1024
NR_PAGES = 12
KINDS = st.sampled_from([1, 2, 3, 128])
ROWS = st.lists(
    st.tuples(st.integers(0, 4 * NR_PAGES), st.integers(0, 24), KINDS), max_size=8
)
FIELDS = st.tuples(
    st.integers(0, (1 << 64) - 1),
    st.integers(0, (1 << 64) - 1),
    st.integers(0, 1 << 33),
)


@st.composite
def extent_lists(draw):
    """Draw sorted, disjoint extents of a few pages."""
    ends = draw(st.lists(st.integers(0, NR_PAGES), max_size=6, unique=True))
    pairs = zip(*[iter(sorted(ends))] * 2, strict=False)
    return [(start, end - start, draw(st.integers(0, 3)), 1) for start, end in pairs]


def painted(rows):
    """The type of each quarter page: the highest of the rows that cover it."""
    paint = [0] * (8 * NR_PAGES)
    for addr, size, kind in rows:
        for at in range(addr, addr + size):
            paint[at] = max(paint[at], kind)
    return paint


def in_bytes(rows):
    return [(addr * QUARTER, size * QUARTER, kind) for addr, size, kind in rows]


@given(ROWS, extent_lists())
def test_a_pool_is_rebuilt_exactly_where_every_quarter_page_is_reserved(rows, extents):
    paint = painted(rows)
    quarters = [
        paint[at] for pfn, n, _, _ in extents for at in range(4 * pfn, 4 * (pfn + n))
    ]
    result = rebuild(in_bytes(rows), rawbytes.pool_record(extents))
    assert (result.pool is not None) == all(kind == 2 for kind in quarters)
    assert (result.level == "unsafe") == any(kind in {1, 128} for kind in quarters)
    found = {finding.id for finding in result.findings}
    assert ("extent-is-ram" in found) == any(kind in {1, 128} for kind in quarters)
    assert ("extent-wrong-type" in found) == (3 in quarters)
    gaps = {"extent-not-in-table", "extent-beyond-memory"}
    assert bool(gaps & found) == (0 in quarters)


@given(ROWS, ROWS)
def test_what_is_inferred_was_ram_and_is_reserved_and_nothing_is_lost(rows, firmware):
    now, before = painted(rows), painted(firmware)
    result = rebuild(in_bytes(rows), None, MemoryMap.of(in_bytes(firmware)))
    lost = [
        pfn
        for pfn in range(1, 2 * NR_PAGES)
        if before[4 * pfn : 4 * pfn + 4] == [1] * 4
        and now[4 * pfn : 4 * pfn + 4] == [0] * 4
    ]
    if lost:
        assert result.pool is None
    if result.pool is None:
        return
    assert {finding.level for finding in result.findings} == {"note"}
    for start, end in result.ledger.extents:
        for at in range(4 * start, 4 * end):
            assert (before[at], now[at]) == (1, 2)


@given(
    st.lists(FIELDS, max_size=4),
    st.binary(max_size=200) | st.binary(max_size=60).map(lambda b: b"E820POOL" + b),
    st.none() | ROWS,
)
def test_noise_gives_a_refusal_and_never_an_error(rows, noise, firmware):
    given_map = None if firmware is None else MemoryMap.of(in_bytes(firmware))
    for record in (noise, rawbytes.pool_record([(1, 2, 3, 1)]) + noise):
        for view in (rows, KernelView(kernel="6.1", table=tuple(rows))):
            result = rebuild(view, record, given_map)
            assert (result.pool is None) == (result.ledger is None)
            assert result.pool is not None or result.level in {"degraded", "unsafe"}
            assert all("\n" not in finding.message for finding in result.findings)


@given(st.data())
def test_a_record_with_any_bits_changed_is_never_another_pool(data):
    whole = rawbytes.pool_record([(1, 2, 3, 1), (5, 1, 0, 1)], generation=1)
    at = data.draw(st.integers(0, len(whole) - 1))
    mask = data.draw(st.integers(1, 255))
    bad = rawbytes.patched(whole, {at: bytes([whole[at] ^ mask])})
    assert rebuild([(0, 1 << 20, 2)], whole).pool is not None
    assert rebuild([(0, 1 << 20, 2)], bad).pool is None


@given(st.lists(FIELDS, max_size=3))
def test_any_firmware_map_is_used_or_refused_as_the_callers(rows):
    try:
        firmware = MemoryMap.of(rows)
        firmware.flatten()
    except InputError:
        firmware = None
    if firmware is None:
        rows = [(addr, size, kind % (1 << 32)) for addr, size, kind in rows]
        firmware = MemoryMap.of(rows)
        if any(addr + size > 1 << 64 for addr, size, _ in rows):
            with pytest.raises(InputError, match="2\\^64"):
                rebuild([(0, 1 << 20, 2)], None, firmware)
        return
    assert rebuild([(0, 1 << 20, 2)], None, firmware).carrier == "inference"
