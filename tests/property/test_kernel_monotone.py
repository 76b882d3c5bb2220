"""Monotone safety: no kernel makes a deposited page usable, whatever is lost.

For any map, any deposits, the split table, and any part of its entries in any
split between zero page and SETUP_E820_EXT. Deposits lie above 1 MiB: below it, the
map that a kernel makes up when the zero page has fewer than two entries is RAM.
"""

from hypothesis import given
from hypothesis import strategies as st

from e820pool.abi.e820 import table_of
from e820pool.deposits import Deposit, DepositLedger
from e820pool.extents import ExtentSet, Span
from e820pool.handoff.encodings.carved import split_table
from e820pool.kernel.boot_input import BootInput, SetupDataSpan
from e820pool.kernel.early_boot import predict_input
from e820pool.kernel.profiles import known_releases, profile_for
from e820pool.memory_map import MemoryMap

M = 1 << 20
PAGE = 4096
# Options that kernels obey by taking memory away.
LINES = st.sampled_from(
    ["", "mem=3G", "memmap=1M$64M,2M#70M", "nokaslr", "mem=0 kaslr"]
)
profiles = st.builds(
    profile_for,
    st.sampled_from(known_releases()),
    st.fixed_dictionaries(
        {"NODES_SHIFT": st.sampled_from([0, 6, 10]), "NUMA": st.booleans()}
    ),
)


@st.composite
def maps(draw):
    """Make a firmware map with RAM below 1 MiB, around 16 MiB, and elsewhere."""
    rows, addr = [(0, 0x9F000, 1), (0x9F000, 0x61000, 2)], M
    for _ in range(draw(st.integers(1, 6))):
        size = draw(st.integers(1, 1024)) * draw(st.sampled_from([PAGE, M, 512]))
        rows.append((addr, size, draw(st.sampled_from([1, 1, 1, 2, 3, 12]))))
        addr += size + draw(st.sampled_from([0, 0, PAGE, 64 * M, 512]))
    return rows


@st.composite
def deposited(draw):
    rows = draw(maps())
    ram = [
        (a, s) for a, s, k in MemoryMap.of(rows).flatten().rows() if k == 1 and a >= M
    ]
    extents = []
    for _ in range(draw(st.integers(1, 30)) if ram else 0):
        addr, size = draw(st.sampled_from(ram))
        first, last = -(-addr // PAGE), (addr + size) // PAGE
        if first < last:
            start = draw(st.integers(first, last - 1))
            extents.append((start, draw(st.integers(start + 1, min(last, start + 9)))))
    ledger = DepositLedger(
        Deposit(start_pfn=a, end_pfn=b) for a, b in ExtentSet(extents)
    )
    return MemoryMap.of(rows), ledger


@st.composite
def lossy_inputs(draw):
    memory_map, ledger = draw(deposited())
    table = split_table(memory_map, ledger).tolist()
    kept = [row for row in table if draw(st.integers(0, 9))]
    if draw(st.booleans()):
        kept = draw(st.permutations(kept))
    cut = draw(st.integers(0, min(len(kept), 128)))
    first, rest = kept[:cut], kept[cut:]
    if draw(st.booleans()):
        rest = []
    nodes = st.builds(
        SetupDataSpan,
        addr=st.integers(M, 64 * M),
        size=st.integers(16, 9000),
        type=st.sampled_from([1, 9, 0x4E4F]),
    )
    inp = BootInput(
        table=table_of(first),
        ext=(table_of(rest),) if rest else (),
        cmdline=draw(LINES),
        setup_data=tuple(draw(st.lists(nodes, max_size=2))),
    )
    return inp, ledger


@given(lossy_inputs(), profiles)
def test_no_deposited_page_is_ever_usable(given_input, profile):
    inp, ledger = given_input
    seen = predict_input(inp, profile)
    assert not seen.usable_pages() & ledger.extents


@given(lossy_inputs(), st.sampled_from(known_releases()))
def test_no_slot_of_the_decompressor_covers_one(given_input, release):
    inp, ledger = given_input
    # A window outside of the map, so that nothing of the map is avoided.
    window = Span(1 << 44, (1 << 44) + 8 * M)
    inp = BootInput(
        table=inp.table, ext=inp.ext, cmdline=inp.cmdline + " kaslr", load_window=window
    )
    slots = predict_input(inp, profile_for(release, {"HIBERNATION": False})).kaslr
    if slots.enabled:
        hits, _ = slots.slots_over(ledger.extents.to_bytes())
        assert hits == 0


def test_below_1_mib_a_made_up_map_can_be_ram():
    # Why the deposits above do not lie there.
    inp = BootInput(table=table_of([(0x8000, PAGE, 2)]))
    seen = predict_input(inp, profile_for("6.1"))
    assert seen.map_source == "BIOS-e801"
    assert seen.usable_pages() & ExtentSet([(8, 9)])
