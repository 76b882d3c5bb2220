"""check_input() over hand-made views: one way of touching a deposit at a time."""

import pytest
from rawhandoff import GIB, MIB, ROWS, with_reserved

from e820pool.abi.e820 import table_of
from e820pool.compat import check_input
from e820pool.deposits import DepositLedger
from e820pool.extents import ExtentSet, Span
from e820pool.findings import Finding
from e820pool.kernel.boot_input import BootInput, SetupDataSpan
from e820pool.kernel.profiles import profile_for
from e820pool.kernel.view import KaslrSlots, KernelView

LEDGER = DepositLedger.of_ranges([(GIB, GIB + 0x2000)])
TABLE = with_reserved(ROWS, [(0x40000, 2)])
MEMORY = tuple(Span.at(addr, size) for addr, size, kind in TABLE if kind == 1)


def view(**changes):
    rows = tuple(TABLE)
    whole = {"kernel": "6.1", "bios_map": rows, "table": rows, "memory": MEMORY}
    return KernelView(**(whole | changes))


def handed(rows=TABLE, **changes):
    return BootInput(table=table_of(rows), **changes)


def found(seen, inp=None, ledger=LEDGER):
    return {f.id: f for f in checked(seen, inp, ledger).findings}


def judged(seen, inp=None, ledger=LEDGER):
    return checked(seen, inp, ledger).verdict


def checked(seen, inp, ledger):
    inp = handed() if inp is None else inp
    return check_input(ledger.extents, inp, profile_for("6.1"), seen)


def test_a_view_that_leaves_deposits_alone_is_safe():
    assert judged(view()) == "safe"
    assert judged(view(), handed()) == "safe"
    assert found(view(), handed()) == {}


def test_nothing_deposited_is_safe_and_said():
    assert judged(view(), handed(), DepositLedger()) == "safe"
    assert set(found(view(), handed(), DepositLedger())) == {"no-deposits"}


@pytest.mark.parametrize(
    ("memory", "unsafe"),
    [
        ((GIB, 0x1000), True),
        ((GIB + 0x1000, GIB), True),
        ((0, GIB + 0x1000), True),
        ((GIB - 0x1000, 0x1000), False),
        ((GIB + 0x2000, 0x1000), False),
    ],
)
def test_memory_of_the_kernel_is_touched(memory, unsafe):
    seen = view(memory=(Span.at(*memory),))
    assert ("usable-as-ram" in found(seen)) == unsafe
    assert (judged(seen) == "unsafe") == unsafe


def test_the_extents_are_the_pages_that_are_hit():
    hit = found(view(memory=(Span(0, GIB + 0x1000),)))["usable-as-ram"]
    assert hit.extents == ((0x40000, 0x40001),)
    assert "1 deposited page(s) from PFN 0x40000" in hit.message
    assert hit.source


@pytest.mark.parametrize(
    ("field", "ident"),
    [
        ("kernel_range", "forced-to-ram-by-kernel-image"),
        ("load_window", "touched-by-decompressor"),
    ],
)
@pytest.mark.parametrize(
    ("span", "unsafe"),
    [
        ((GIB - 1, GIB), False),
        ((GIB - 1, GIB + 1), True),
        ((GIB + 0x1FFF, 2 * GIB), True),
        ((GIB + 0x2000, 2 * GIB), False),
    ],
)
def test_a_kernel_over_a_deposit_is_unsafe(field, ident, span, unsafe):
    seen = view(**{field: Span(*span)})
    assert (ident in found(seen)) == unsafe
    assert (judged(seen) == "unsafe") == unsafe


@pytest.mark.parametrize(
    ("first", "count", "hits"),
    [
        (GIB - 8 * MIB, 3, 0),
        (GIB - 8 * MIB, 4, 1),
        (GIB - 8 * MIB, 5, 2),
        (GIB, 1, 1),
        (GIB + 2 * MIB, 50, 0),
    ],
)
def test_chances_of_the_decompressor_are_counted(first, count, hits):
    """An image of 4 MiB, at multiples of 2 MiB."""
    slots = KaslrSlots(enabled=True, areas=((first, count),), image_size=4 * MIB)
    seen = view(kaslr=slots)
    told = found(seen)
    assert ("touched-by-decompressor" in told) == bool(hits)
    if hits:
        assert f"{hits} of {count} slots" in told["touched-by-decompressor"].message
    off = KaslrSlots(enabled=False, areas=((first, count),), image_size=4 * MIB)
    assert judged(view(kaslr=off)) == "safe"


@pytest.mark.parametrize(
    ("pages", "unsafe"),
    [([(0x40000, 0x40001)], True), ([(0x3FFFF, 0x40000), (0x40002, 0x40003)], False)],
)
def test_what_a_machine_touched_is_the_truth(pages, unsafe):
    touched = ExtentSet(pages)
    assert ("touched" in found(view(touched=touched, engine="machine"))) == unsafe
    only = view(touched_deposits=touched & LEDGER.extents, engine="machine")
    assert ("touched" in found(only)) == unsafe


def test_deposits_that_were_touched_are_counted_once():
    seen = view(touched=ExtentSet([(0x40000, 0x40002)]), touched_deposits=ExtentSet())
    assert "touched" not in found(seen)


def test_findings_of_the_engine_are_passed_on():
    own = Finding(id="touched-how", level="note", message="read only")
    assert "touched-how" in found(view(findings=(own,)))


def test_a_made_up_map_is_degraded():
    seen = view(map_source="BIOS-e801")
    assert judged(seen) == "degraded"
    assert "BIOS-e801" in found(seen)["fallback-map"].message


@pytest.mark.parametrize(("kind", "word"), [(1, "degraded"), (2, "safe")])
def test_a_dropped_entry_counts_by_what_goes_with_it(kind, word):
    seen = view(dropped=((40 * GIB, MIB, kind),))
    told = found(seen)["dropped-entry"]
    assert judged(seen) == word
    assert f"{40 * GIB:#x}" in told.message
    assert f"{MIB:#x}" in told.message


def test_a_boot_that_ends_is_degraded_and_not_unsafe():
    seen = view(fatal="BUG in firmware_map_add_entry()", memory=())
    assert judged(seen) == "degraded"
    assert "BUG in firmware_map_add_entry()" in found(seen)["boot-fails"].message


def test_ram_over_a_deposit_is_not_monotone_even_where_it_is_resolved():
    rows = [*ROWS, (GIB, 0x2000, 2)]
    told = found(view(), handed(rows))
    assert told["not-monotone"].level == "degraded"
    assert told["not-monotone"].extents == ((0x40000, 0x40002),)


def test_entries_of_ext_nodes_count_too():
    ext = (table_of([(0, 1 << 40, 1)]),)
    assert "not-monotone" in found(view(), handed(ext=ext))


@pytest.mark.parametrize(
    ("row", "exposed"),
    [
        ((GIB - MIB, MIB, 1), False),
        ((GIB - MIB, MIB + 1, 1), True),
        ((GIB + 0x1FFF, 1, 1), True),
        ((GIB + 0x2000, 1, 1), False),
        ((GIB, 0, 1), False),
        ((0, (1 << 64) - 1, 1), True),
        ((GIB, 1 << 63, 128), True),
        ((GIB, 0x2000, 3), False),
    ],
)
def test_a_single_byte_of_ram_exposes_a_page(row, exposed):
    assert ("not-monotone" in found(view(), handed([*TABLE, row]))) == exposed


def test_ram_that_is_told_and_not_used_is_lost():
    seen = view(memory=MEMORY[:-1])
    lost = found(seen, handed())["ram-lost"]
    assert lost.level == "degraded"
    assert lost.extents == ((0x100000, 0xA00000),)
    assert f"{0x900000} pages" in lost.message


@pytest.mark.parametrize("row", [(0x0, 0x1000), (0xA0000, 0x60000)])
def test_what_every_kernel_gives_up_is_not_lost(row):
    rows = [(row[0], row[1], 1), *TABLE[2:]]
    assert "ram-lost" not in found(view(memory=MEMORY[1:]), handed(rows))


def test_what_the_user_took_away_is_not_lost():
    assert "ram-lost" not in found(view(memory=(), user_map=()), handed())


def test_pages_of_nodes_are_not_lost():
    nodes = (SetupDataSpan(addr=4 * GIB, size=5000, type=9),)
    seen = view(memory=(*MEMORY[:-1], Span.at(4 * GIB + 0x2000, 0x900000000 - 0x2000)))
    assert "ram-lost" not in found(seen, handed(setup_data=nodes))
    assert "ram-lost" in found(seen, handed())


SPAN = Span(GIB + 0x1FFF, GIB + 0x2000)
PAST = Span(GIB + 0x2000, GIB + 0x2001)


@pytest.mark.parametrize("name", ["boot_params_range", "cmdline_range", "initrd"])
def test_each_part_in_a_deposit_is_found(name):
    assert judged(view(), handed(**{name: SPAN})) == "unsafe"
    assert judged(view(), handed(**{name: PAST})) == "safe"


def test_a_node_and_what_it_points_to_are_parts():
    node = SetupDataSpan(addr=GIB - 1, size=2, type=9)
    assert "part-in-deposit" in found(view(), handed(setup_data=(node,)))
    target = (GIB, 1, 5)
    node = SetupDataSpan(addr=MIB, size=32, type=1 << 31, indirect=target)
    told = found(view(), handed(setup_data=(node,)))["part-in-deposit"]
    assert "node 0's target at [mem 0x40000000-0x40000000]" in told.message


@pytest.mark.parametrize("start", [(1 << 64) - 8, 1 << 64, 1 << 70])
def test_parts_at_the_top_of_everything_are_no_crash(start):
    node = SetupDataSpan(addr=start, size=16, type=9)
    assert (
        judged(view(), handed(setup_data=(node,), initrd=Span(start, start + 9)))
        == "safe"
    )


def test_an_address_of_zero_is_none():
    low = DepositLedger.of_ranges([(0x1000, 0x2000)])
    rows = with_reserved(ROWS, [(1, 1)])
    memory = tuple(Span.at(addr, size) for addr, size, kind in rows if kind == 1)
    inp = handed(rows, boot_params_range=Span(0, 0x2000))
    assert "part-in-deposit" not in found(view(memory=memory), inp, low)
