"""The strict writer: each rule of specs/handoff.md, broken one at a time."""

from dataclasses import replace

import pytest
from rawhandoff import GIB, MIB, ROWS, with_reserved

from e820pool.abi.e820 import encode_table, table_of
from e820pool.abi.setup_data import SETUP_E820_EXT
from e820pool.deposits import Deposit, DepositLedger
from e820pool.errors import InputError
from e820pool.extents import Span
from e820pool.handoff.build import build_handoff
from e820pool.handoff.strict import validate_handoff
from e820pool.memory_map import MemoryMap

LEDGER = DepositLedger(
    Deposit(start_pfn=pfn, end_pfn=pfn + 1) for pfn in range(0x200000, 0x200400, 4)
)
WHOLE = build_handoff(MemoryMap.of(ROWS), LEDGER)
TABLE = WHOLE.table.rows()


def with_table(rows):
    """Return the handoff with its first 128 entries changed."""
    page = WHOLE.boot_params.with_table(table_of(rows[:128]))
    nodes = [
        replace(one, node=replace(one.node, data=encode_table(table_of(rows[128:]))))
        if one.node.type == SETUP_E820_EXT
        else one
        for one in WHOLE.nodes
    ]
    return replace(WHOLE, boot_params=page, nodes=tuple(nodes))


def changed(at, **parts):
    names = ("addr", "size", "type")
    row = tuple(parts.get(n, v) for n, v in zip(names, TABLE[at], strict=True))
    return [*TABLE[:at], row, *TABLE[at + 1 :]]


def refused(handoff, message):
    with pytest.raises(InputError, match=message):
        validate_handoff(handoff)


def test_what_is_built_keeps_every_rule():
    validate_handoff(WHOLE)
    validate_handoff(with_table(TABLE))
    assert len(TABLE) > 128


def test_the_whole_table_is_the_page_s_and_the_node_s():
    assert WHOLE.table.rows() == with_reserved(
        ROWS, [(p, 1) for p in range(0x200000, 0x200400, 4)]
    )


def test_a_remainder_behind_the_last_entry_is_no_entry():
    nodes = [
        replace(one, node=replace(one.node, data=one.node.data + b"x" * 19))
        if one.node.type == SETUP_E820_EXT
        else one
        for one in WHOLE.nodes
    ]
    assert replace(WHOLE, nodes=tuple(nodes)).table.rows() == TABLE


@pytest.mark.parametrize("at", [0, 127, 128, len(TABLE) - 1])
@pytest.mark.parametrize(
    "parts", [{"size": 0}, {"type": 0}, {"size": (1 << 64) - 1}], ids=str
)
def test_no_entry_is_empty_untyped_or_wraps(at, parts):
    if at == 0 and "size" in parts and parts["size"]:
        parts = {"addr": 1, "size": (1 << 64) - 1}
    refused(
        with_table(changed(at, **parts)), f"entry {at} .* is empty, untyped or ends"
    )


def test_no_entry_ends_at_the_top():
    last = TABLE[-1][0]
    refused(with_table(changed(len(TABLE) - 1, size=(1 << 64) - last)), "ends at 2.64")


@pytest.mark.parametrize("at", [1, 127, 128, len(TABLE) - 1])
def test_entries_are_in_order_and_disjoint(at):
    addr = TABLE[at][0] - 1
    refused(
        with_table(changed(at, addr=addr)), f"entry {at} at {addr:#x} begins before"
    )
    mixed = [*TABLE[: at - 1], TABLE[at], TABLE[at - 1], *TABLE[at + 1 :]]
    refused(with_table(mixed), f"entry {at} at .* begins before")


@pytest.mark.parametrize("kind", [1, 3, 12, 128])
@pytest.mark.parametrize("addr", [0x200000000, 0x2003FC000])
def test_every_deposit_is_reserved(kind, addr):
    at = next(i for i, row in enumerate(TABLE) if row[0] == addr)
    message = rf"deposited bytes \[mem {addr:#x}-{addr + 4095:#x}\] are not RESERVED"
    refused(with_table(changed(at, type=kind)), message)


def test_every_deposit_has_an_entry():
    at = next(i for i, row in enumerate(TABLE) if row[0] == 0x200000000)
    refused(with_table([*TABLE[:at], *TABLE[at + 1 :]]), "are not RESERVED")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sentinel": 1}, "sentinel is 0x1: the limit is 0"),
        ({"alt_mem_k": 640}, "alt_mem_k is 0x280"),
    ],
)
def test_nothing_makes_a_kernel_doubt_the_page(change, message):
    refused(replace(WHOLE, boot_params=replace(WHOLE.boot_params, **change)), message)


def test_nothing_is_left_for_a_fallback_map():
    page = WHOLE.boot_params
    screen = bytes([0, 0, 0x00, 0xFC]) + page.screen_info[4:]
    refused(replace(WHOLE, boot_params=replace(page, screen_info=screen)), "0xfc00")


def test_pointers_lead_from_node_to_node():
    page = WHOLE.boot_params
    hdr = replace(page.hdr, setup_data=0x1234)
    broken = replace(WHOLE, boot_params=replace(page, hdr=hdr))
    refused(broken, "chain points to 0x1234, the node lies at 0x102000")
    first, last = WHOLE.nodes
    broken = replace(WHOLE, nodes=(first, replace(last, addr=last.addr + 4096)))
    refused(broken, "chain points to")
    endless = replace(last, node=replace(last.node, next=first.addr))
    refused(replace(WHOLE, nodes=(first, endless)), "the node lies at 0x0")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boot_params_addr": 0x200000000 - 1}, "boot_params .* is not in RAM"),
        ({"boot_params_addr": 0x10000}, "boot_params at 0x10000 lies below 0x100000"),
        ({"boot_params_addr": 0xC0000000}, "is not in RAM"),
        ({"cmdline_addr": 0x200000000 - 2047}, "cmdline .* is not in RAM"),
        ({"cmdline_addr": MIB + 1}, "boot_params ends at 0x101000, over cmdline"),
        (
            {"cmdline_addr": 0x102000 - 2047},
            "cmdline ends at 0x102001, over setup_data",
        ),
        ({"kernel_window": Span(GIB, 4 * GIB + 1)}, "kernel window .* is not in RAM"),
        ({"kernel_window": Span(MIB, 2 * MIB)}, "over"),
        ({"initrd": Span(0xFED00000, 0xFED01000)}, "initrd .* is not in RAM"),
        ({"initrd": Span(GIB, GIB + 1), "kernel_window": Span(GIB, 2 * GIB)}, "over"),
    ],
)
def test_every_part_has_ram_of_its_own(change, message):
    refused(replace(WHOLE, **change), message)


def test_a_command_line_may_end_where_the_next_part_begins():
    validate_handoff(
        replace(WHOLE, cmdline_addr=2 * MIB, initrd=Span(2 * MIB + 2048, 3 * MIB))
    )
