"""Monotone safety of what build makes: lose any entries, and no deposit is usable."""

from dataclasses import replace

import pytest
import rawbytes
from compat_cases import check
from hypothesis import given
from hypothesis import strategies as st

from e820pool.abi.bzimage import parse_bzimage
from e820pool.abi.e820 import encode_table, parse_table, table_of
from e820pool.abi.setup_data import SETUP_E820_EXT
from e820pool.kernel.early_boot import predict
from e820pool.kernel.profiles import profile_for
from e820pool.pool.rebuild import rebuild
from e820pool.strategies import handoffs

RELEASES = ("2.6.32", "3.10", "4.4", "5.10", "6.1", "6.18", "7.1", "7.3")
SMALL = {"NODES_SHIFT": 0}
# A kernel that fits the smallest of the maps, wherever deposits are.
IMAGE = parse_bzimage(rawbytes.bzimage(init_size=0x400000, pref_address=0x200000))

LANDINGS = {"touched-by-decompressor", "forced-to-ram-by-kernel-image"}


def lost(draw, table, keep):
    """Drop entries, each with its own chance, and maybe mix up the rest."""
    rows = [
        row for row in table.tolist() if keep == 10 or draw(st.integers(0, 9)) < keep
    ]
    return draw(st.permutations(rows)) if draw(st.booleans()) else rows


@st.composite
def lossy(draw, whole):
    """Lose entries of a handoff, in the zero page and in SETUP_E820_EXT."""
    keep = draw(st.sampled_from([0, 1, 5, 9, 10]))
    page = whole.boot_params
    rows = lost(draw, page.e820_map, keep)
    nodes = []
    for one in whole.nodes:
        node = one.node
        if node.type == SETUP_E820_EXT:
            kept = table_of(lost(draw, parse_table(node.data), keep))
            node = replace(node, data=encode_table(kept))
        nodes.append(replace(one, node=node))
    return replace(
        whole, boot_params=page.with_table(table_of(rows)), nodes=tuple(nodes)
    )


@pytest.mark.parametrize("release", RELEASES)
@given(data=st.data())
def test_whatever_entries_are_lost_no_deposit_is_usable(release, data):
    whole = data.draw(handoffs())
    profile = profile_for(release, data.draw(st.sampled_from([{}, SMALL])))
    part = data.draw(lossy(whole))
    view = predict(part, profile)
    deposits = whole.ledger.extents
    assert not view.usable_pages() & deposits
    found = check(part, profile, view).findings
    assert not {"not-monotone", "usable-as-ram"} & {one.id for one in found}


@given(data=st.data())
def test_no_chance_of_the_decompressor_falls_on_a_deposit(data):
    whole = data.draw(handoffs(kernel=IMAGE))
    part = data.draw(lossy(whole))
    for release in ("4.4", "6.1", "7.3"):
        verdict = check(part, profile_for(release))
        assert verdict.view.load_window == whole.kernel_window
        found = verdict.findings
        assert not LANDINGS & {one.id for one in found}


@given(data=st.data())
def test_what_is_lost_is_never_a_wrong_pool(data):
    """Either all of the ledger comes back, or none of it."""
    whole = data.draw(handoffs(encodings=("split",)))
    part = data.draw(lossy(whole))
    result = rebuild(predict(part, profile_for("6.1")), part.record_bytes())
    assert result.ledger in (None, whole.ledger)


@given(handoffs(encodings=("split",)), st.sampled_from(RELEASES))
def test_where_nothing_is_lost_the_pool_is_the_ledger(whole, release):
    view = predict(whole, profile_for(release))
    result = rebuild(view, whole.record_bytes())
    if not whole.ledger:
        assert [one.id for one in result.findings] == ["record-missing"]
    elif view.dropped:
        # The table of an old kernel holds 320: fewer than the comb has teeth.
        assert result.ledger in (None, whole.ledger)
    else:
        assert result.ledger == whole.ledger


@given(handoffs())
def test_one_more_entry_of_ram_over_a_deposit_is_seen(whole):
    """What makes the tests above more than tests of an empty set."""
    if not whole.ledger:
        return
    start, _ = next(iter(whole.ledger.extents.to_bytes()))
    rows = [(start, 4096, 1), *whole.boot_params.e820_map.tolist()][:128]
    part = replace(whole, boot_params=whole.boot_params.with_table(table_of(rows)))
    found = check(part, profile_for("6.1")).findings
    assert "not-monotone" in {one.id for one in found}
