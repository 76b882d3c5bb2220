"""What a loader adds to a handoff: header, places, command line."""

from dataclasses import replace

import pytest
import rawbytes

from e820pool.abi.bzimage import parse_bzimage
from e820pool.deposits import DepositLedger
from e820pool.errors import CapacityError
from e820pool.extents import ByteRangeSet, ExtentSet
from e820pool.handoff.build import BuildOptions, build_handoff
from e820pool.loading.bind import backed_pages, bind_kernel, room_of
from e820pool.loading.multiboot_stub import STUB_BYTES
from e820pool.memory_map import MemoryMap

MIB = 1 << 20
ROWS = ((0, 0x9F000, 1), (0x9F000, 0x61000, 2), (MIB, 319 * MIB, 1))


EXTRA = "console=ttyS0 panic=-1"


def bound(handoff, *, hdr=None, initrd=b"i" * 5000):
    data = rawbytes.bzimage(**(hdr or {}))
    return bind_kernel(handoff, data, initrd=initrd, extra_cmdline=EXTRA)


def handoff_of(rows=ROWS, deposits=(), **options):
    ledger = DepositLedger.of_ranges(deposits)
    return build_handoff(MemoryMap.of(rows), ledger, BuildOptions(**options))


def span(part):
    return (part.addr, part.addr + len(part.data))


def test_header_and_pointers_are_the_kernels_and_ours():
    made = bound(handoff_of(cmdline="quiet"), hdr={"init_size": 0x0345_6000})
    hdr = made.handoff.boot_params.hdr
    parts = {part.what: part for part in made.parts}
    assert hdr.init_size == 0x0345_6000
    assert hdr.code32_start == made.entry.kernel_addr == 16 * MIB
    assert (hdr.ramdisk_image, hdr.ramdisk_size) == (parts["initrd"].addr, 5000)
    assert hdr.cmd_line_ptr == parts["cmdline"].addr
    assert parts["cmdline"].data == f"quiet {EXTRA}\0".encode()
    assert rawbytes.bzimage(init_size=0x0345_6000).endswith(parts["kernel"].data)
    assert made.entry.boot_params_addr == parts["boot_params"].addr


def test_the_table_and_the_chain_stay_as_they_are():
    handoff = handoff_of(deposits=[(128 * MIB, 129 * MIB)])
    made = bound(handoff).handoff
    assert made.boot_params.e820_table == handoff.boot_params.e820_table
    assert made.boot_params.hdr.setup_data == handoff.boot_params.hdr.setup_data
    assert made.nodes == handoff.nodes


def test_no_two_parts_overlap_and_none_lies_on_a_deposit():
    deposits = [(16 * MIB, 48 * MIB), (128 * MIB, 129 * MIB)]
    made = bound(handoff_of(deposits=deposits))
    spans = [span(part) for part in made.parts]
    spans.append((made.stub_addr, made.stub_addr + STUB_BYTES))
    spans.append(made.handoff.kernel_window)
    spans.remove(next(span(p) for p in made.parts if p.what == "kernel"))
    together = ByteRangeSet(spans)
    assert together.total_bytes == sum(end - start for start, end in spans)
    assert not together & ByteRangeSet(deposits)
    # The preferred address is deposited, so the kernel moved up.
    assert made.entry.kernel_addr == 48 * MIB


def test_a_window_that_the_handoff_chose_is_kept():
    image = parse_bzimage(rawbytes.bzimage())
    handoff = handoff_of(kernel=image, kernel_addr=64 * MIB)
    assert bound(handoff).entry.kernel_addr == 64 * MIB


def test_without_an_initrd_the_header_names_none():
    made = bound(handoff_of(), initrd=b"")
    assert made.handoff.initrd is None
    assert made.handoff.boot_params.hdr.ramdisk_size == 0
    assert "initrd" not in {part.what for part in made.parts}


def test_free_ram_of_an_unruly_table_leaves_out_whatever_contradicts():
    handoff = handoff_of()
    rows = [(MIB, 319 * MIB, 1), (64 * MIB, MIB, 2), ((1 << 64) - 4096, 8192, 1)]
    page = handoff.boot_params.with_table(MemoryMap.of(rows).entries)
    room = room_of(replace(handoff, boot_params=page))
    assert not room.is_free(64 * MIB - 1, 2)
    assert not room.is_free(65 * MIB - 1, 2)
    assert room.is_free(65 * MIB, 255 * MIB)
    assert not room.is_free(65 * MIB, 255 * MIB + 1)
    assert not room.is_free(handoff.boot_params_addr, 1)
    assert not room.is_free(handoff.cmdline_addr + 2047, 1)
    assert room.is_free(handoff.cmdline_addr + 2048, 1)


def test_deposits_need_memory_behind_them_or_nobody_sees_them_touched():
    deposits = [(128 * MIB, 129 * MIB)]
    pages = backed_pages(bound(handoff_of(deposits=deposits)))
    assert pages.covers(ExtentSet([(0, 320 * MIB >> 12)]) - ExtentSet([(0x9F, 0x100)]))
    assert pages.covers(ByteRangeSet(deposits).pages_inside())


def test_the_fallback_map_is_backed_too():
    handoff = handoff_of()
    page = replace(handoff.boot_params, alt_mem_k=512 * 1024)
    pages = backed_pages(bound(replace(handoff, boot_params=page)))
    assert pages.contains(0, 513 * MIB >> 12)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: bound(handoff_of(cmdline="x" * 2030)),
            "does not fit: the kernel reads 0x7ff",
        ),
        (
            lambda: bound(handoff_of(), hdr={"init_size": 400 * MIB}),
            "no place for the kernel",
        ),
        (lambda: bound(handoff_of(), initrd=bytes(300 * MIB)), "no place for the init"),
    ],
)
def test_what_does_not_fit_is_a_capacity_error(make, words):
    with pytest.raises(CapacityError, match=words):
        make()
