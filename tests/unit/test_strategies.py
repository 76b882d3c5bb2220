"""The public strategies make what is interesting, and make it small."""

import doctest
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import find, given, settings, target

from e820pool import strategies as made
from e820pool.abi.boot_params import parse_boot_params
from e820pool.abi.e820 import E820_DTYPE
from e820pool.abi.setup_data import SETUP_E820_EXT, parse_chain
from e820pool.errors import BadImageError
from e820pool.extents import ExtentSet
from e820pool.handoff.strict import validate_handoff
from e820pool.kernel.early_boot import predict
from e820pool.kernel.profiles import profile_for
from e820pool.memory_map import MemoryMap

KNOWN_TYPES = {1, 2, 3, 4, 5, 7, 12, 0xEFFF_FFFF}
LIMIT = 1 << 64
# Rare things take more than the few examples of a quick run.
PATIENT = settings(max_examples=1000, deadline=None, database=None)


def found(strategy, condition):
    return find(strategy, condition, settings=PATIENT)


def anything(_):
    return True


def overlaps(table):
    rows = sorted((a, a + s) for a, s, _ in table.tolist() if s)
    return any(one[1] > two[0] for one, two in pairwise(rows) if one[1])


def ends(table):
    return [addr + size for addr, size, _ in table.tolist()]


ODD_TABLES = {
    "no entries": (lambda table: len(table) == 0, 0),
    "an overlap": (overlaps, 2),
    "an empty entry": (lambda table: 0 in table["size"], 1),
    "an end at 2^64": (lambda table: LIMIT in ends(table), 1),
    "an end beyond 2^64": (lambda table: max(ends(table), default=0) > LIMIT, 1),
    "a type nobody knows": (lambda t: bool(set(t["type"].tolist()) - KNOWN_TYPES), 1),
    "an end within a page": (lambda t: any(end % 4096 for end in ends(t)), 1),
    "entries out of order": (
        lambda t: bool((np.diff(t["addr"].astype(float)) < 0).any()),
        2,
    ),
    "the same entry twice": (lambda t: len(set(t.tolist())) < len(t), 2),
}


@pytest.mark.parametrize("condition", ODD_TABLES)
def test_tables_hold_what_firmware_gets_wrong_and_no_more(condition):
    holds, entries = ODD_TABLES[condition]
    table = found(made.e820_tables(), holds)
    assert table.dtype == E820_DTYPE
    assert len(table) == entries


@settings(max_examples=5)
@given(made.e820_tables(min_size=129, max_size=140))
def test_tables_may_be_longer_than_a_zero_page(table):
    assert 129 <= len(table) <= 140


@given(made.e820_tables(wrapping=False))
def test_without_wrapping_every_table_can_be_flattened(table):
    flat = MemoryMap(entries=table).flatten()
    assert len(flat) <= 2 * len(table)


@given(made.e820_tables())
def test_the_model_reads_any_table(table):
    """What the strategy is for: nothing that it makes upsets a reader."""
    target(float(len(table)), label="entries")
    page = parse_boot_params(bytes(4096)).with_table(table)
    handoff = found_handoff(page)
    assert predict(handoff, profile_for("6.1")).map_source in {
        "BIOS-e820",
        "BIOS-e801",
        "BIOS-88",
    }


def found_handoff(page):
    from e820pool.handoff.model import Handoff

    return Handoff(boot_params=page, boot_params_addr=0x10000)


@given(made.memory_maps())
def test_maps_are_sorted_disjoint_and_of_whole_pages(memory_map):
    rows = memory_map.rows()
    assert all(a + s <= b for (a, s, _), (b, _, _) in pairwise(rows))
    assert all(a % 4096 == s % 4096 == 0 < s for a, s, _ in rows)


def test_maps_may_overlap_where_that_is_asked_for():
    wild = made.memory_maps(overlaps=True)
    assert len(found(wild, lambda m: overlaps(m.entries))) == 2


def test_pages_touch_or_lie_apart():
    apart = found(made.extents(), lambda pages: len(pages) == 2)
    assert list(apart) == [(0, 1), (2, 3)]


@given(made.extents(within=ExtentSet([(5, 9), (100, 101)])))
def test_pages_stay_within_their_room(pages):
    assert not pages - ExtentSet([(5, 9), (100, 101)])


def test_where_there_is_no_room_there_are_no_pages():
    assert not found(made.extents(within=ExtentSet()), anything)
    reserved = MemoryMap.of([(0, 1 << 30, 2)])
    assert len(found(made.deposit_ledgers(reserved), anything)) == 0


LEDGERS = {
    "two owners": lambda ledger: len({one.owner for one in ledger}) == 2,
    "touching deposits": lambda ledger: any(one.nr_pages > 1 for one in ledger),
    "more than a zero page holds": lambda ledger: len(ledger) > 128,
}


@pytest.mark.parametrize("condition", LEDGERS)
def test_ledgers_hold(condition):
    assert LEDGERS[condition](found(made.deposit_ledgers(), LEDGERS[condition]))


@given(made.handoffs())
def test_handoffs_pass_the_strict_writer(handoff):
    validate_handoff(handoff)
    handoff.ledger.validate_inside(handoff.firmware_map)
    target(float(len(handoff.ledger)), label="deposits")


@pytest.mark.parametrize("spills", [False, True])
def test_handoffs_spill_into_a_node_or_do_not(spills):
    handoff = found(
        made.handoffs(encodings=("split",)),
        lambda one: (SETUP_E820_EXT in {n.node.type for n in one.nodes}) == spills,
    )
    assert (len(handoff.boot_params.e820_map) == 128) == spills


def refusal(read, *args):
    try:
        read(*args)
    except BadImageError as exc:
        return str(exc)
    return ""


@given(made.boot_params_blobs())
def test_a_blob_is_read_or_refused_in_one_line(blob):
    assert bool(refusal(parse_boot_params, blob)) == (len(blob) != 4096)


@given(made.boot_params_blobs(damaged=False))
def test_a_whole_blob_is_a_zero_page_with_its_table(blob):
    page = parse_boot_params(blob)
    assert page.hdr.header.to_bytes(4, "little") == b"HdrS"
    assert len(page.e820_map) == page.e820_entries <= 128


def test_blobs_count_entries_for_which_there_are_no_slots():
    blob = found(made.boot_params_blobs(), lambda b: len(b) == 4096 and b[0x1E8] > 128)
    assert blob[0x1E8] == 129


@pytest.mark.parametrize("full", [True, False])
def test_blobs_are_longer_and_shorter_than_a_page(full):
    blob = found(made.boot_params_blobs(), lambda b: (len(b) > 4096) == full)
    assert (len(blob) > 4096) == full


REFUSED = {
    "loop": "loops",
    "length": "bytes are given behind it",
    "cut": "bytes",
}


@pytest.mark.parametrize("damage", REFUSED)
def test_a_damaged_chain_is_refused(damage):
    chain = found(made.setup_data_chains(), lambda chain: chain.damage == damage)
    assert REFUSED[damage] in refusal(parse_chain, chain.head, chain.parts)


def test_a_pointer_may_lead_nowhere_or_into_a_node():
    def refused_as(words):
        return lambda chain: (
            chain.damage == "pointer"
            and words in refusal(parse_chain, chain.head, chain.parts)
        )

    assert found(made.setup_data_chains(), refused_as("outside the memory"))


@given(made.setup_data_chains(damaged=False))
def test_a_whole_chain_is_read_node_by_node(chain):
    nodes = parse_chain(chain.head, chain.parts)
    assert [addr for addr, _ in nodes] == [addr for addr, _ in chain.parts]
    assert chain.damage == "none"


def test_the_examples_in_the_docstrings_are_true():
    result = doctest.testmod(made)
    assert result.attempted >= 20
    assert result.failed == 0


def test_without_hypothesis_the_import_names_the_extra():
    code = "import sys; sys.modules['hypothesis'] = None; import e820pool.strategies"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: e820pool.strategies needs Hypothesis")
    assert "'.[strategies]'" in last
