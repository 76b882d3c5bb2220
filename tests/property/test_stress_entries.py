"""The running count of entries against the tables that encodings make."""

from hypothesis import given
from hypothesis import strategies as st

from e820pool.deposits import DepositLedger
from e820pool.handoff.encodings import encoding_named
from e820pool.memory_map import MemoryMap
from e820pool.stress.entries import EntryCount
from e820pool.stress.limits import memmap_chars

# Around 4 GiB, where the two encodings part.
BASES = st.sampled_from([16, (1 << 20) - 12])


@st.composite
def maps(draw):
    """Make rows that touch or do not, with ends inside pages too."""
    rows, at = [], draw(BASES) << 12
    for _ in range(draw(st.integers(1, 5))):
        at += draw(st.sampled_from([0, 0, 4096, 1000]))
        size = draw(st.sampled_from([4096, 3 * 4096, 8 * 4096, 3 * 4096 + 100]))
        rows.append((at, size, draw(st.sampled_from([1, 1, 2, 3]))))
        at += size
    return MemoryMap.of(rows)


@st.composite
def histories(draw):
    """Make a map and what is added to and removed from it, one by one."""
    memory_map = draw(maps())
    steps, there = [], []
    ram = list(memory_map.ram_pages())
    for _ in range(draw(st.integers(0, 12))):
        if there and draw(st.booleans()):
            steps.append(("remove", there.pop(draw(st.integers(0, len(there) - 1)))))
        elif ram:
            start, end = draw(st.sampled_from(ram))
            first = draw(st.integers(start, end - 1))
            after = draw(st.integers(first + 1, end))
            if all(after <= s or e <= first for s, e in there):
                steps.append(("add", (first, after)))
                there.append((first, after))
    return memory_map, steps


@given(histories())
def test_counts_are_those_of_the_tables_at_every_moment(history):
    memory_map, steps = history
    count, there = EntryCount(memory_map), set()
    for step, extent in (*steps, ("look", None)):
        ledger = DepositLedger.of_ranges((s << 12, e << 12) for s, e in there)
        split, hybrid = (
            encoding_named(name).make_table(memory_map, ledger)
            for name in ("split", "hybrid")
        )
        assert count.split == split.size
        assert count.hybrid == hybrid.size
        assert count.ram_runs == (split["type"] == 1).sum()
        assert count.extents() == ledger.extents
        assert count.nr_runs == len(ledger.extents)
        assert count.nr_pages == ledger.extents.nr_pages
        if step == "add":
            count.add(*extent)
            there.add(extent)
        elif step == "remove":
            count.remove(*extent)
            there.discard(extent)


@given(histories())
def test_the_length_of_memmap_is_that_of_the_option(history):
    memory_map, steps = history
    count = EntryCount(memory_map)
    for step, extent in steps:
        getattr(count, step)(*extent)
    if count.nr_runs:
        ledger = DepositLedger.of_ranges(count.extents().to_bytes())
        words = encoding_named("memmap-list").make_words(ledger)
        assert memmap_chars(count.extents()) == len(words)
