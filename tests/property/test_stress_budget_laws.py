"""The budget's choice is the best of all choices, page by page."""

from itertools import groupby, product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from e820pool.abi.e820 import table_of
from e820pool.errors import CapacityError
from e820pool.handoff.budget import BARE_LIMIT, KEPT_BELOW, budget_curve, fit_table

PAGE = 4096
NONE, RAM, RESERVED = 0, 1, 2
# Where the rules change, so that small maps have all of them.
BASES = (KEPT_BELOW // PAGE, BARE_LIMIT // PAGE, 1 << 14, 1 << 24)


@st.composite
def painted_pages(draw):
    """Make `{pfn: type}` of few pages, around a place where a rule changes."""
    base = draw(st.sampled_from(BASES)) - draw(st.integers(0, 6))
    types = st.sampled_from((NONE, RAM, RAM, RESERVED, RESERVED, 3))
    painted = draw(st.lists(types, min_size=1, max_size=12))
    assume(painted.count(RAM) <= 6)
    return {base + at: kind for at, kind in enumerate(painted)}


def rows_of(pages):
    # Touching pages of one type are one entry; a missing page ends it.
    runs = groupby(sorted(pages.items()), key=lambda item: item[1])
    for kind, group in runs:
        pfns = [pfn for pfn, _ in group]
        if kind != NONE:
            yield pfns[0] * PAGE, len(pfns) * PAGE, kind


def choices_of(pfn):
    if pfn * PAGE < KEPT_BELOW:
        return (RAM,)
    return (RAM, RESERVED, NONE) if pfn * PAGE >= BARE_LIMIT else (RAM, RESERVED)


def brute_force(pages):
    """Return the fewest pages given up for each number of entries reached."""
    ram = [pfn for pfn, kind in pages.items() if kind == RAM]
    best = {}
    for chosen in product(*map(choices_of, ram)):
        tried = pages | dict(zip(ram, chosen, strict=True))
        entries = len(list(rows_of(tried)))
        lost = sum(kind != RAM for kind in chosen)
        best[entries] = min(best.get(entries, lost), lost)
    return best


@given(painted_pages())
def test_no_choice_of_pages_is_cheaper(pages):
    table = table_of(rows_of(pages))
    best = brute_force(pages)
    for budget in range(table.size + 2):
        fitting = [lost for entries, lost in best.items() if entries <= budget]
        if not fitting:
            with pytest.raises(CapacityError):
                fit_table(table, budget)
            continue
        fitted = fit_table(table, budget)
        assert fitted.entries.size <= budget
        assert fitted.given_up.total_bytes == min(fitting) * PAGE
        assert budget_curve(table).bytes_for(budget) == min(fitting) * PAGE


@given(painted_pages(), st.integers(0, 12))
def test_only_ram_changes_and_what_is_told_changed(pages, budget):
    table = table_of(rows_of(pages))
    try:
        fitted = fit_table(table, budget)
    except CapacityError:
        return
    after = {
        pfn: kind
        for addr, size, kind in fitted.entries.tolist()
        for pfn in range(addr // PAGE, (addr + size) // PAGE)
    }
    told = {
        pfn
        for start, end in fitted.given_up
        for pfn in range(start // PAGE, end // PAGE)
    }
    for pfn, kind in pages.items():
        if pfn in told:
            assert kind == RAM
            assert after.get(pfn, NONE) in (RESERVED, NONE)
        else:
            assert after.get(pfn, NONE) == kind


@given(painted_pages())
def test_the_curve_falls_and_begins_with_the_whole_table(pages):
    table = table_of(rows_of(pages))
    curve = budget_curve(table)
    assert curve.nr_entries[0] == table.size
    assert curve.given_up_bytes[0] == 0
    assert np.all(np.diff(curve.nr_entries) < 0)
    assert np.all(curve.given_up_bytes[1:] > curve.given_up_bytes[:-1])
