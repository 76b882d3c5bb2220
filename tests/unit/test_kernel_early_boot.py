"""The steps of early boot, one by one, in releases that differ."""

import pytest

from e820pool.abi.e820 import table_of
from e820pool.extents import Span
from e820pool.kernel.boot_input import BootInput, SetupDataSpan
from e820pool.kernel.early_boot import predict_input
from e820pool.kernel.profiles import profile_for

M = 1 << 20
TOP = 1 << 64
LOW = [(0, 0x9F000, 1), (0x9F000, 0x61000, 2)]
PLAIN = [*LOW, (M, 511 * M, 1)]


def view(rows, release="6.1", config=None, *, ext=(), **rest):
    inp = BootInput(
        table=table_of(rows), ext=tuple(table_of(part) for part in ext), **rest
    )
    return predict_input(inp, profile_for(release, config))


def ram(rows):
    return [(addr, size) for addr, size, kind in rows if kind == 1]


# The zero page


def test_a_plain_map_is_taken_as_it_is():
    seen = view(PLAIN)
    assert seen.map_source == "BIOS-e820"
    assert list(seen.bios_map) == PLAIN
    assert seen.extended_map is seen.user_map is seen.fatal is None
    assert seen.memory == (Span.at(0x1000, 0x9E000), Span.at(M, 511 * M))
    assert seen.dropped == seen.warnings == ()


@pytest.mark.parametrize("release", ["2.6.32", "4.4", "4.14", "6.1", "6.19"])
def test_one_entry_is_refused_until_7_0(release):
    seen = view([(0, 1 << 30, 1)], release, alt_mem_k=0x10000, ext_mem_k=0xFC00)
    assert seen.map_source == "BIOS-e801"
    assert list(seen.bios_map) == [(0, 0x9F000, 1), (M, 64 * M, 1)]
    assert seen.dropped == ((0, 1 << 30, 1),)


def test_the_larger_of_the_two_old_sizes_is_believed():
    seen = view([], alt_mem_k=0xFBFF, ext_mem_k=0xFC00)
    assert seen.map_source == "BIOS-88"
    assert seen.bios_map[1] == (M, 0xFC00 << 10, 1)


@pytest.mark.parametrize("release", ["7.0", "7.1", "7.3"])
def test_one_entry_is_kept_raw_since_7_0(release):
    seen = view([(0x10, 1 << 30, 1)], release)
    assert seen.map_source == "BIOS-e820"
    assert seen.bios_map == ((0x10, 1 << 30, 1),)
    assert "sanitizer-refused" in seen.warnings


@pytest.mark.parametrize("release", ["2.6.32", "6.1", "7.0", "7.3"])
def test_a_map_without_entries_is_refused(release):
    assert view([], release, alt_mem_k=1024).map_source == "BIOS-e801"


@pytest.mark.parametrize("release", ["3.10", "4.11"])
def test_entries_that_merge_to_one_are_refused_before_4_12(release):
    rows = [(0, M, 1), (M, M, 1)]
    assert view(rows, release).map_source == "BIOS-e801"
    assert view(rows, "4.12").map_source == "BIOS-e820"


def test_before_4_12_the_map_is_cut_at_128_entries_from_the_top():
    rows = [(0, 1 << 30, 1)] + [(n * 0x4000, 0x1000, 2) for n in range(1, 100)]
    old, new = view(rows, "4.4"), view(rows, "4.14")
    assert len(new.bios_map) == 199
    assert old.bios_map == new.bios_map[:128]
    assert old.dropped == new.bios_map[128:]


def test_before_4_12_a_count_above_128_is_fatal():
    rows = [*PLAIN, *((1 << 30 | n * 0x2000, 0x1000, 1) for n in range(130))]
    assert "128" in view(rows, "4.4").fatal
    assert view(rows, "4.4").memory == ()
    assert view(rows, "4.14").fatal is None


def test_a_wrapping_entry_throws_the_whole_map_away():
    seen = view([*PLAIN, (TOP - 0x1000, 0x2000, 2)], alt_mem_k=1024)
    assert seen.map_source == "BIOS-e801"
    assert len(seen.dropped) == 4


@pytest.mark.parametrize(
    ("release", "source", "fatal"),
    [
        ("3.10", "BIOS-e801", None),
        ("4.4", "BIOS-e801", None),
        ("4.14", "BIOS-e820", "BUG in firmware_map_add_entry"),
        ("6.1", "BIOS-e820", "BUG in firmware_map_add_entry"),
        ("7.3", "BIOS-e820", "BUG in firmware_map_add_entry"),
    ],
)
def test_an_entry_that_ends_at_2_64(release, source, fatal):
    rows = [*PLAIN, (2 * M, M, 2), (TOP - 0x1000, 0x1000, 2)]
    seen = view(rows, release, alt_mem_k=1 << 18)
    assert seen.map_source == source
    assert seen.fatal == fatal
    if source == "BIOS-e820":
        # The sanitiser refuses, so that the overlap stays and RAM wins.
        assert list(seen.bios_map) == rows
        assert Span.at(M, 511 * M) in seen.memory


def test_without_the_option_nothing_registers_the_firmwares_map():
    rows = [*PLAIN, (TOP - 0x1000, 0x1000, 2)]
    seen = view(rows, config={"FIRMWARE_MEMMAP": False})
    assert seen.fatal is seen.firmware_map is None


@pytest.mark.parametrize(("release", "parts"), [("3.10", 1), ("4.4", 3), ("6.1", 3)])
def test_pram_is_split_where_lower_types_change(release, parts):
    rows = [*PLAIN, (600 * M, 30 * M, 12), (610 * M, 10 * M, 1)]
    assert len([r for r in view(rows, release).bios_map if r[2] == 12]) == parts


# SETUP_E820_EXT


def test_ext_may_hold_one_entry_and_is_sanitised_with_the_rest():
    seen = view(PLAIN, ext=[[(2 * M, M, 2)]])
    assert (2 * M, M, 2) in seen.extended_map
    assert (M, M) in ram(seen.extended_map)


def test_a_bad_entry_ends_its_node_only():
    first = [(600 * M, M, 1), (TOP - 0x1000, 0x2000, 1), (700 * M, M, 1)]
    seen = view(PLAIN, ext=[first, [(800 * M, M, 1)]])
    assert ram(seen.extended_map)[-2:] == [(600 * M, M), (800 * M, M)]
    assert list(seen.dropped) == first[1:]
    assert "ext-entry-refused" in seen.warnings


def test_an_empty_node_still_prints_a_map():
    assert view(PLAIN, ext=[[]]).extended_map == view(PLAIN).bios_map


def test_what_the_table_cannot_hold_is_dropped():
    many = [(n << 30, 0x1000, 1) for n in range(1, 200)]
    seen = view(PLAIN, config={"NODES_SHIFT": 0}, ext=[many])
    assert len(seen.extended_map) == 131
    # In the full table even page 0 cannot be split off as RESERVED.
    assert list(seen.dropped) == [*many[128:], (0, 0x1000, 2)]
    assert "too-many-entries" in seen.warnings


def test_a_node_beyond_64_pages_cannot_be_mapped():
    fits = (64 * 4096 - 16) // 20
    rows = [(n << 20, 0x1000, 2) for n in range(fits + 1)]
    assert "too large" in view(PLAIN, ext=[rows]).fatal
    assert view(PLAIN, ext=[rows[:-1]]).fatal is None
    inside = SetupDataSpan(addr=0x2010, size=fits * 20 + 16, type=1)
    assert "too large" in view(PLAIN, ext=[rows[:-1]], setup_data=(inside,)).fatal


def test_2_6_32_ignores_the_chain_of_an_old_protocol():
    ext = [[(2 * M, M, 2)]]
    assert view(PLAIN, "2.6.32", ext=ext, protocol=0x0208).extended_map is None
    assert view(PLAIN, "2.6.32", ext=ext, protocol=0x0209).extended_map
    assert view(PLAIN, "3.10", ext=ext, protocol=0x0208).extended_map


# setup_data

NODE = SetupDataSpan(addr=4 * M, size=0x100, type=0x4E4F)


@pytest.mark.parametrize(
    ("release", "marked"), [("2.6.32", 1), ("6.12", 1), ("6.18", 0), ("7.3", 0)]
)
def test_a_node_is_marked_until_its_type_is_gone(release, marked):
    seen = view(PLAIN, release, setup_data=(NODE,))
    assert ((4 * M, 0x100, 128) in seen.table) == bool(marked)
    assert (seen.setup_data_map is not None) == bool(marked)


@pytest.mark.parametrize(
    ("release", "in_firmware", "in_kexec"),
    [("4.4", True, True), ("5.10", False, True), ("6.12", False, False)],
)
def test_which_tables_see_the_mark(release, in_firmware, in_kexec):
    seen = view(PLAIN, release, setup_data=(NODE,))
    row = (4 * M, 0x100, 128)
    assert (row in seen.firmware_map) == in_firmware
    assert (row in seen.kexec_map) == in_kexec


def test_a_seed_keeps_its_header_only():
    seed = SetupDataSpan(addr=4 * M, size=0x100, type=9)
    assert (4 * M, 16, 128) in view(PLAIN, setup_data=(seed,)).table
    assert (4 * M, 0x100, 128) in view(PLAIN, "5.10", setup_data=(seed,)).table


@pytest.mark.parametrize(
    ("kind", "release", "marked"),
    [(4, "5.4", True), (4, "5.10", False), (8, "5.15", True), (8, "6.1", False)],
)
def test_some_nodes_are_not_marked_for_kexec(kind, release, marked):
    node = SetupDataSpan(addr=4 * M, size=0x100, type=kind)
    seen = view(PLAIN, release, setup_data=(node,))
    assert ((4 * M, 0x100, 128) in seen.kexec_map) == marked


@pytest.mark.parametrize(
    ("release", "inner", "marked"),
    [("5.4", 1, False), ("5.10", 1, True), ("5.10", 1 << 31, False)],
)
def test_what_an_indirect_node_points_to(release, inner, marked):
    node = SetupDataSpan(
        addr=4 * M, size=40, type=1 << 31, indirect=(8 * M, 0x1000, inner)
    )
    seen = view(PLAIN, release, setup_data=(node,))
    assert ((8 * M, 0x1000, 128) in seen.table) == marked


@pytest.mark.parametrize(("release", "beyond"), [("3.10", True), ("4.4", False)])
def test_nodes_are_marked_before_or_after_the_command_line(release, beyond):
    # Marked first, the node is no RAM any more when mem= takes RAM away.
    seen = view(PLAIN, release, setup_data=(NODE,), cmdline="mem=3M")
    assert ((4 * M, 0x100, 128) in seen.user_map) == beyond


def test_before_4_12_a_node_leaks_the_users_map():
    line = {"cmdline": "memmap=1M$8M", "setup_data": (NODE,)}
    assert (8 * M, M, 2) in view(PLAIN, "4.4", **line).firmware_map
    assert (8 * M, M, 2) not in view(PLAIN, "5.10", **line).firmware_map
    assert (8 * M, M, 2) not in view(PLAIN, "4.4", cmdline="memmap=1M$8M").firmware_map


# mem= and memmap=


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("mem=256M", [(M, 255 * M, 1)]),
        ("mem=0", [(M, 511 * M, 1)]),
        ("mem=", [(M, 511 * M, 1)]),
        ("memmap=256M", [(M, 255 * M, 1)]),
        ("memmap=1M$8M", [(M, 7 * M, 1), (8 * M, M, 2), (9 * M, 503 * M, 1)]),
        ("memmap=1M#8M", [(M, 7 * M, 1), (8 * M, M, 3), (9 * M, 503 * M, 1)]),
        ("memmap=1M!8M", [(M, 7 * M, 1), (8 * M, M, 12), (9 * M, 503 * M, 1)]),
        ("memmap=1M@600M", [(M, 511 * M, 1), (600 * M, M, 1)]),
        ("memmap=1M%8M-1+5", [(M, 7 * M, 1), (8 * M, M, 5), (9 * M, 503 * M, 1)]),
        ("memmap=1M%8M+5", [(M, 7 * M, 1), (8 * M, M, 5), (9 * M, 503 * M, 1)]),
        ("memmap=1M%8M-1", [(M, 7 * M, 1), (9 * M, 503 * M, 1)]),
        ("memmap=1M%8M", [(M, 7 * M, 1), (9 * M, 503 * M, 1)]),
        ("memmap=1M$8Mx", [(M, 7 * M, 1), (8 * M, M, 2), (9 * M, 503 * M, 1)]),
        ("memmap=509M$3M,1M$2M", [(M, M, 1), (2 * M, 510 * M, 2)]),
    ],
)
def test_each_form_changes_the_map(line, changed):
    assert list(view(PLAIN, cmdline=line).user_map)[2:] == changed


@pytest.mark.parametrize(
    "line", ["mem=nopentium", "mem", "memmap", "memmap=", "memmap=x", "memory=1M", "--"]
)
def test_what_says_nothing_makes_no_user_map(line):
    assert view(PLAIN, cmdline=line).user_map is None


def test_a_retype_with_rubbish_behind_it_changes_nothing():
    seen = view(PLAIN, cmdline="memmap=1M%8M-1+5x")
    assert list(seen.user_map) == PLAIN


def test_exactmap_drops_deposits():
    deposits = [*LOW, (M, 255 * M, 1), (256 * M, M, 2), (257 * M, 255 * M, 1)]
    line = "memmap=exactmap memmap=640K@0 memmap=511M@1M"
    seen = view(deposits, cmdline=line)
    assert list(seen.user_map) == [(0, 0xA0000, 1), (M, 511 * M, 1)]
    assert Span.at(M, 511 * M) in seen.memory


@pytest.mark.parametrize(
    "line",
    ["memmap=exactmap", "memmap=exactmap memmap=1M@1M", "memmap=1M$0xffffffffffffffff"],
)
def test_a_map_that_cannot_be_sanitised_is_a_panic(line):
    seen = view(PLAIN, cmdline=line)
    assert seen.fatal == "Invalid user supplied memory map"
    assert seen.user_map is None
    assert seen.memory == ()


def test_changing_a_type_into_itself_is_a_bug():
    assert "itself" in view(PLAIN, cmdline="memmap=1M%8M-1+1 memmap=exactmap").fatal


def test_the_option_ends_at_a_double_dash():
    assert view(PLAIN, cmdline="-- mem=64M").user_map is None


@pytest.mark.parametrize(
    ("release", "line", "left"),
    [
        ("2.6.32", "memmap=1M$8M,1M$16M", [(M, 7 * M), (9 * M, 503 * M)]),
        ("3.10", "memmap=1M!8M", []),
        ("4.14", "memmap=1M%8M-1+5", []),
        ("3.10", "memmap=2T@600M", []),
    ],
)
def test_old_releases_know_fewer_forms(release, line, left):
    assert [r for r in ram(view(PLAIN, release, cmdline=line).user_map) if r[0]] == left


# Image, BIOS range, end of RAM


def test_the_images_range_becomes_ram():
    rows = [*LOW, (M, 15 * M, 1), (16 * M, 16 * M, 2), (32 * M, 480 * M, 1)]
    seen = view(rows, kernel_range=Span(20 * M, 30 * M))
    assert "kernel-range-not-ram" in seen.warnings
    assert Span.at(20 * M, 10 * M) in seen.memory
    assert (
        view(rows, "2.6.32", kernel_range=Span(20 * M, 30 * M)).memory[-1][0] == 32 * M
    )


def test_an_image_in_ram_changes_nothing():
    seen = view(PLAIN, kernel_range=Span(16 * M, 48 * M))
    assert seen.table == view(PLAIN).table
    assert seen.warnings == ()


def test_the_bios_range_is_never_memory():
    seen = view([(0, 512 * M, 1), (0, 1, 2)])
    assert seen.memory == (Span.at(0x1000, 0x9F000), Span.at(M, 511 * M))
    assert seen.table[:2] == ((0, 0x1000, 2), (0x1000, 0x9F000, 1))


@pytest.mark.parametrize(
    ("rows", "release", "config", "dies"),
    [
        ([*PLAIN, (512 * M, M, 128)], "6.1", {}, True),
        ([*PLAIN, (512 * M, M, 128)], "6.1", {"NUMA": False}, False),
        ([*PLAIN, (512 * M, M, 128)], "6.18", {}, False),
        ([*PLAIN, (512 * M, M, 128), (600 * M, M, 1)], "6.1", {}, False),
        ([*PLAIN, (1 << 46, M, 1)], "6.1", {}, True),
        ([*PLAIN, (1 << 46, M, 1)], "7.3", {}, True),
        ([*PLAIN, (1 << 46, M, 1)], "5.4", {}, True),
        ([*PLAIN, (512 * M, M, 128)], "5.4", {}, False),
        ([*PLAIN, (1 << 46, M, 1)], "4.4", {}, False),
    ],
)
def test_memory_that_max_pfn_does_not_count_kills(rows, release, config, dies):
    seen = view(rows, release, config)
    assert (seen.fatal is not None) == dies
    assert seen.memory
    if dies:
        assert "memory-beyond-max-pfn" in seen.warnings


def test_a_node_in_the_last_page_of_ram_kills_until_nodes_are_not_marked():
    node = SetupDataSpan(addr=511 * M + 0xFF000, size=0x1000, type=7)
    assert "max_pfn" in view(PLAIN, setup_data=(node,)).fatal
    assert view(PLAIN, "6.18", setup_data=(node,)).fatal is None
    shorter = SetupDataSpan(addr=511 * M + 0xFF000, size=0xFF0, type=7)
    assert view(PLAIN, setup_data=(shorter,)).fatal is None


# Sentinel


def test_a_set_sentinel_takes_upper_halves():
    high = (1 << 32) + 64 * M
    given = {
        "cmdline": "mem=64M",
        "cmdline_range": Span(high, high + 8),
        "sentinel": 1,
    }
    assert view(PLAIN, cmdline_range=Span(M, M + 8), cmdline="mem=64M").user_map
    assert view(PLAIN, **given).user_map is None
    assert view(PLAIN, "2.6.32", **given).user_map


def test_a_set_sentinel_wipes_entries_between_the_table_and_the_edd_buffer():
    behind = [(600 * M, M, 2), (602 * M, M, 2), (604 * M, M, 2), (606 * M, M, 2)]
    filler = [((1 << 40) + n * M, 0x1000, 2) for n in range(125)]
    rows = [*PLAIN, *filler, *behind]
    assert set(behind) <= set(view(rows).bios_map)
    kept = set(view(rows, sentinel=1).bios_map) & set(behind)
    assert kept == {(606 * M, M, 2)}


# What ends a boot later


@pytest.mark.parametrize(
    ("release", "size", "ends"),
    [("6.1", 0x7000, False), ("6.1", 0x6000, True), ("5.10", 0x6000, False)],
)
def test_a_kernel_needs_room_for_its_trampoline_below_1_mib(release, size, ends):
    rows = [(0x9F000 - size, size, 1), (M, 511 * M, 1)]
    assert (view(rows, release).fatal is not None) == ends
    assert "trampoline" in view([(M, 511 * M, 1)] * 2, release).fatal


@pytest.mark.parametrize(
    ("addr", "release", "dies"),
    [
        (520, "3.10", True),
        (511, "3.10", False),
        (520, "4.4", False),
        (1 << 27, "3.10", False),
    ],
)
def test_a_section_beyond_max_pfn_kills_3_10(addr, release, dies):
    rows = [*LOW, (M, 509 * M, 1), (addr * M, M, 128)]
    assert (view(rows, release).fatal is not None) == dies


@pytest.mark.parametrize(
    ("release", "deferred", "dies"),
    [
        *(("3.10", True, False), ("4.4", True, True), ("4.4", False, False)),
        *(("4.19", False, False), ("5.4", True, True)),
    ],
)
def test_what_is_reserved_beyond_max_pfn_kills_4_2_to_5_9(release, deferred, dies):
    node = SetupDataSpan(addr=511 * M - 128, size=0x110, type=77)
    rows = [*LOW, (M, 510 * M, 1), (511 * M, 0x1000, 128)]
    config = {"DEFERRED_STRUCT_PAGE_INIT": deferred}
    seen = view(rows, release, config, setup_data=(node,))
    assert (seen.fatal is not None) == dies
    assert view(rows, release).fatal is None


@pytest.mark.parametrize(
    ("release", "said"), [("4.4", "trampoline"), ("4.9", "initrd too large")]
)
def test_4_4_ends_where_it_reserves_the_trampoline_whatever_else_is_wrong(
    release, said
):
    rows = [(0, 0x1000, 1), (M, 31 * M, 1)]
    initrd = Span(8 * M, 28 * M)
    assert said in view(rows, release, initrd=initrd).fatal


def test_what_is_reserved_below_1_mib_is_no_room_for_a_trampoline():
    rows = [(0x9_1000, 0xE000, 1), (M, 511 * M, 1)]
    node = SetupDataSpan(addr=0x9_7800, size=0x1000, type=77)
    assert view(rows).fatal is None
    assert "trampoline" in view(rows, setup_data=(node,)).fatal


def test_a_kernel_image_that_a_full_table_has_no_room_for_dies():
    full = [((1 << 40) + n * 0x2000, 0x1000, 2) for n in range(3197)]
    image = Span(16 * M, 56 * M)
    given = {"ext": [full], "kernel_range": image}
    assert view(PLAIN, **given).fatal is None
    node = SetupDataSpan(addr=8 * M, size=0x1000, type=77)
    seen = view(PLAIN, setup_data=(node,), **given)
    assert seen.memory == (Span.at(0x1000, 0x9E000), Span.at(M, 7 * M))
    assert "no memory" in seen.fatal
    assert view(PLAIN, "6.18", setup_data=(node,), **given).fatal is None


def test_memory_above_1_mib_that_is_all_in_use_is_not_enough():
    image, initrd = Span(16 * M, 56 * M), Span(96 * M, 100 * M)
    rows = [*LOW, (16 * M, 40 * M, 1), (96 * M, 4 * M, 1)]
    given = {"kernel_range": image, "initrd": initrd}
    assert "can not alloc memory" in view(rows, **given).fatal
    assert view(rows, kernel_range=image).fatal is None


# 2.6.32.69: what lies behind low RAM is not mapped, and holes before it are.
@pytest.mark.parametrize(
    ("rows", "dies"),
    [
        ([*LOW, (M, 15 * M, 1)], True),
        ([*LOW, (M, 15 * M, 1), (64 * M, M, 1)], False),
        ([*LOW, (M, 15 * M, 1), (1 << 33, M, 1)], True),
    ],
)
def test_2_6_32_dies_where_its_image_lies_behind_low_ram(rows, dies):
    image = Span(16 * M, 20 * M)
    seen = view(rows, "2.6.32", kernel_range=image)
    assert (seen.fatal is not None) == dies
    assert "can not alloc memory" in view([]).fatal
    assert view([], alt_mem_k=1 << 18).fatal is None


def test_an_initrd_outside_of_memory_is_copied_if_there_is_a_place():
    outside = {"initrd": Span(600 * M, 604 * M), "kernel_range": Span(16 * M, 56 * M)}
    assert view(PLAIN, **outside).fatal is None
    tight = [*LOW, (16 * M, 42 * M, 1)]
    assert "new RAMDISK" in view(tight, **outside).fatal
    assert view([*tight, (80 * M, 4 * M, 1)], **outside).fatal is None


@pytest.mark.parametrize(("size", "ends"), [(2047, False), (2048, True), (5000, True)])
def test_a_command_line_that_fills_the_kernels_copy_has_no_end(size, ends):
    seen = view(PLAIN, cmdline="mem=300M ".ljust(size, "x"))
    assert (seen.fatal is not None) == ends
    assert seen.user_map
    assert view(PLAIN, "4.9", cmdline="x" * size).fatal is None


@pytest.mark.parametrize(
    ("release", "count", "ends"),
    [("6.1", 130, False), ("6.1", 142, True), ("7.3", 142, True), ("5.10", 250, False)],
)
def test_fragments_at_the_top_need_reservations(release, count, ends):
    top = [(1 << 32 | n * 2 * M, 0x5000, 1) for n in range(count)]
    seen = view(PLAIN, release, ext=[top])
    assert len(seen.memory) == count + 2
    assert ("extend_brk" in str(seen.fatal)) == ends


@pytest.mark.parametrize(
    ("release", "count", "unreserved"),
    [
        ("5.14", 130, True),
        ("5.13.19", 250, True),
        ("5.14", 100, False),
        ("5.12", 250, False),
        ("5.15", 250, False),
    ],
)
def test_two_releases_go_on_with_page_tables_in_free_memory(release, count, unreserved):
    top = [(1 << 32 | n * 2 * M, 0x5000, 1) for n in range(count)]
    seen = view(PLAIN, release, ext=[top])
    assert ("page-tables-unreserved" in seen.warnings) is unreserved
    assert (seen.fatal is None) is (release != "5.15")


def test_fragments_below_the_last_large_block_need_none():
    low = [(600 * M + n * 2 * M, 0x5000, 1) for n in range(200)]
    above = (1 << 32, 64 * M, 1)
    assert "extend_brk" in view(PLAIN, ext=[low]).fatal
    assert view(PLAIN, ext=[[*low, above]]).fatal is None
    whole = [(a, 2 * M, 1) for a, _, _ in low[::2]]
    assert view(PLAIN, ext=[whole]).fatal is None


# 2.6.32.69: what is reserved early has 20 slots.


def nodes(*spans):
    return tuple(SetupDataSpan(addr=a, size=s, type=77) for a, s in spans)


@pytest.mark.parametrize(
    ("count", "release", "end"),
    [
        (14, "2.6.32", None),
        (15, "2.6.32", "reservations-full"),
        (15, "3.10", None),
    ],
)
def test_2_6_32_has_room_for_14_nodes(count, release, end):
    chain = nodes(*((4 * M + n * 0x1000, 0x100) for n in range(count)))
    rest = {"kernel_range": Span(16 * M, 20 * M), "initrd": Span(96 * M, 100 * M)}
    seen = view(PLAIN, release, setup_data=chain, **rest)
    assert (seen.end and seen.end.id) == end


@pytest.mark.parametrize(
    "spans",
    [
        [(0x800, 0x100)],
        [(0x7FFF, 0x10)],
        [(19 * M, 0x100)],
        [(4 * M, 0x100), (4 * M + 0xFF, 0x100)],
    ],
)
def test_a_node_over_what_2_6_32_reserves_kills(spans):
    rest = {"setup_data": nodes(*spans), "kernel_range": Span(16 * M, 20 * M)}
    assert view(PLAIN, "2.6.32", **rest).end.id == "reservations-overlap"
    assert view(PLAIN, "3.10", **rest).end is None


def test_a_node_in_the_bios_area_takes_up_to_three_slots():
    chain = nodes((0xA_0000, 0x10), *((4 * M + n * 0x1000, 0x100) for n in range(12)))
    rest = {"kernel_range": Span(16 * M, 20 * M), "initrd": Span(96 * M, 100 * M)}
    assert view(PLAIN, "2.6.32", setup_data=chain, **rest).end is None
    more = (*chain, *nodes((5 * M, 0x100)))
    seen = view(PLAIN, "2.6.32", setup_data=more, **rest)
    assert seen.end.id == "reservations-full"


@pytest.mark.parametrize(("piece", "dies"), [(3 * M, True), (4 * M, False)])
def test_2_6_32_wants_4_mib_in_one_piece(piece, dies):
    rows = [*LOW, *((n * 8 * M, piece, 1) for n in range(1, 32))]
    assert (view(rows, "2.6.32").end is not None) == dies


@pytest.mark.parametrize(("release", "ends"), [("2.6.32", 300), ("3.16", 416)])
def test_what_follows_two_dashes_is_an_option_before_3_16(release, ends):
    seen = view([*LOW, (M, 415 * M, 1)], release, cmdline="-- mem=300M")
    assert seen.memory[-1].end == ends * M
