"""What a capture kernel is given, and what its dump holds, from /proc/iomem's text."""

import struct

import pytest
from rawbytes import elf_core as elf

from e820pool.errors import BadImageError
from e820pool.extents import ByteRangeSet, ExtentSet
from e820pool.kernel.profiles import profile_for
from e820pool.loading.capture import (
    TOOLS_CRASH_ENTRIES,
    capture_by_file,
    capture_by_tools,
    crash_files,
    crash_ranges,
    dumped_by_file,
    dumped_by_tools,
    iomem_without,
)
from e820pool.sources.elf_core import (
    KCORE_BYTES,
    dumped_ranges,
    headers_size,
    kernel_text,
)
from e820pool.sources.iomem import named_ranges

MIB, PAGE = 1 << 20, 4096
# /proc/iomem of a 6.1 in the lab, its bus resources left out.
IOMEM = """\
00000000-00000fff : Reserved
00001000-0009efff : System RAM
0009f000-000fffff : Reserved
  000f0000-000fffff : System ROM
00100000-0fffffff : System RAM
  02000000-02e0ffff : Kernel code
  03000000-03a7dfff : Kernel rodata
  04c00000-04ffffff : Kernel bss
  05000000-0cffffff : Crash kernel
10000000-10000fff : Reserved
10001000-1befffff : System RAM
1bf00000-1bf0ffff : ACPI Tables
1bf10000-1bf1ffff : ACPI Non-volatile Storage
fec00000-fec003ff : IOAPIC 0
"""
OWN = (0x500_0000, 0x800_0000, 1)
TEXT_MAP = 0xFFFF_FFFF_8000_0000
# The unpacked kernel of this text, from code to bss.
KERNEL_BYTES = 0x300_0000


def with_reserved(count):
    """Return ranges with so many RESERVED ones beside three that every PC has."""
    extra = [
        (at, at + PAGE, "Reserved")
        for at in range(0x1100_0000, 0x1100_0000 + (count - 3) * 2 * PAGE, 2 * PAGE)
    ]
    return sorted([*named_ranges(IOMEM), *extra])


def test_by_kexec_file_load_the_own_ram_comes_last():
    handed = capture_by_file(named_ranges(IOMEM), profile_for("6.1"))
    assert handed.table == (
        (0x1000, 0x9_E000, 1),
        (0x1BF0_0000, 0x1_0000, 3),
        (0x1BF1_0000, 0x1_0000, 4),
        (0, 0x1000, 2),
        (0x9_F000, 0x6_1000, 2),
        (0x1000_0000, 0x1000, 2),
        OWN,
    )
    assert handed.lost == ()


@pytest.mark.parametrize("release", ["5.2", "4.19"])
def test_before_5_3_no_reserved_range_is_in_the_table(release):
    handed = capture_by_file(with_reserved(500), profile_for(release))
    assert [kind for _, _, kind in handed.table] == [1, 3, 4, 1]


@pytest.mark.parametrize("release", ["5.3", "5.10", "6.1", "7.3"])
def test_with_128_entries_before_it_the_own_ram_is_lost(release):
    """One entry of low RAM and two of ACPI's come before RESERVED."""
    for reserved in (123, 124, 125, 126):
        handed = capture_by_file(with_reserved(reserved), profile_for(release))
        assert len(handed.table) == min(reserved + 4, 128)
        assert (OWN in handed.table) == (reserved <= 124)
        assert (OWN in handed.lost) == (reserved > 124)


def test_by_kexec_tools_the_table_is_sorted_and_goes_on_in_a_node():
    handed = capture_by_tools(with_reserved(200))
    rows = [*handed.table, *handed.ext]
    assert len(handed.table) == 128
    assert OWN in rows
    assert rows == sorted(rows)
    assert handed.lost == ()


def test_of_more_than_1024_entries_kexec_tools_lose_reserved_ones_only():
    handed = capture_by_tools(with_reserved(2000))
    rows = [*handed.table, *handed.ext]
    assert len(rows) == TOOLS_CRASH_ENTRIES
    assert {kind for _, _, kind in handed.lost} <= {2, 3, 4}
    assert OWN in rows


def test_a_crash_range_above_4_gib_comes_with_one_below():
    text = (
        IOMEM
        + "100000000-1ffffffff : System RAM\n  110000000-11fffffff : Crash kernel\n"
    )
    own = crash_ranges(named_ranges(text))
    assert own == ((0x500_0000, 0xD00_0000), (0x1_1000_0000, 0x1_2000_0000))
    handed = capture_by_file(named_ranges(text), profile_for("6.1"))
    assert [row[:2] for row in handed.table[-2:]] == [(s, e - s) for s, e in own]


def test_the_dump_holds_all_ram_but_the_crash_kernels_and_the_first_mib():
    by_file = dumped_by_file(named_ranges(IOMEM))
    assert list(by_file) == [
        (MIB, 0x500_0000),
        (0xD00_0000, 0x1000_0000),
        (0x1000_1000, 0x1BF0_0000),
    ]
    by_tools = dumped_by_tools(named_ranges(IOMEM))
    assert list(by_tools) == [(0x1000, 0x9_F000), *by_file]


def test_ram_that_a_driver_added_is_dumped_too():
    text = IOMEM + "100000000-1ffffffff : Persistent Memory\n"
    text += "  100000000-1ffffffff : System RAM (kmem)\n"
    for dumped in (dumped_by_file, dumped_by_tools):
        assert (1 << 32, 1 << 33) in list(dumped(named_ranges(text)))


def test_deposits_are_cut_out_of_system_ram_and_nothing_else_changes():
    pages = ExtentSet([(0x100, 0x101), (0x1_0001, 0x1_0003), (0x2_0000, 0x2_0001)])
    ours = iomem_without(IOMEM, pages)
    gone = set(IOMEM.splitlines()) - set(ours.splitlines())
    assert gone == {"00100000-0fffffff : System RAM", "10001000-1befffff : System RAM"}
    added = [line for line in ours.splitlines() if line not in IOMEM.splitlines()]
    assert added == [
        "00100000-00100fff : Reserved",
        "00101000-0fffffff : System RAM",
        "10001000-10002fff : Reserved",
        "10003000-1befffff : System RAM",
    ]
    dumped = dumped_by_tools(named_ranges(ours)).pages_touched()
    assert not dumped & pages


def test_what_lies_between_deposits_is_one_entry_for_the_capture_kernel():
    """Seen: 1117 extents, 108 left out, a hole over the highest for PCI devices."""
    # Some are RESERVED to the running kernel, others are RAM; on both sides of what is
    # kept for the capture kernel.
    old = [(at, at + 1) for at in range(0x1_1000, 0x1_2400, 0x80)]
    ram = ByteRangeSet([(0x1000_1000, 0x1BF0_0000)]) - ExtentSet(old).to_bytes()
    lines = [f"{a:08x}-{b - 1:08x} : System RAM" for a, b in ram]
    lines += [f"{a:05x}000-{a:05x}fff : Reserved" for a, _ in old]
    inner = "\n".join(sorted(lines))
    text = IOMEM.replace("10001000-1befffff : System RAM", inner)
    low = [(at, at + 1) for at in range(0x200, 0x4E00, 0x20)]
    high = [(at, at + 1) for at in range(0xD040, 0x1_0000, 0x10)]
    pages = ExtentSet([*low, *high, *old])
    assert len(list(pages)) > 1024
    ours = named_ranges(iomem_without(text, pages))
    handed = capture_by_tools(ours)
    assert not handed.lost
    rows = [(a, a + s) for a, s, kind in handed.table if kind == 2 and a >= MIB]
    assert rows[:2] == [
        (low[0][0] * PAGE, low[-1][1] * PAGE),
        (high[0][0] * PAGE, old[-1][1] * PAGE),
    ]
    assert not dumped_by_tools(ours).pages_touched() & pages


def test_no_range_goes_over_what_kexec_tools_cut_out():
    """What they leave behind it they call RAM, and RAM is dumped."""
    text = IOMEM.replace("10001000", "  0e000000-0fffffff : GART\n10001000", 1)
    pages = ExtentSet([(0x4000, 0x4001), (0xD800, 0xD801), (0x1_1000, 0x1_1001)])
    ours = named_ranges(iomem_without(text, pages))
    wide = {(a, b) for a, b, name in ours if name == "Reserved" and b - a > PAGE}
    assert wide == {(0x9_F000, MIB)}


def test_what_acpi_has_between_deposits_stays_an_entry_of_its_own():
    text = IOMEM.replace("1bf20000", "").replace(
        "fec00000", "1bf20000-1fffffff : System RAM\nfec00000"
    )
    pages = ExtentSet([(0x1_8000, 0x1_8001), (0x1_F000, 0x1_F001)])
    table = capture_by_tools(named_ranges(iomem_without(text, pages))).table
    assert (0x1BF0_0000, 0x1_0000, 3) in table
    assert (0x1_8000 * PAGE, PAGE, 2) in table
    assert (0x1_F000 * PAGE, PAGE, 2) in table


def test_a_deposit_in_freed_memory_of_the_kernels_image_shortens_its_mapping():
    """Booted: 121 of 130 pages were, and the mapping has a header of its own."""
    kcore = elf(
        (0xFFFF_8880_0000_1000, 0x1000, 0x9_E000),
        (0xFFFF_FFFF_C000_0000, 0, 256 * MIB),
        (TEXT_MAP + 0x100_0000, 0x200_0000, KERNEL_BYTES),
    )
    inside = ExtentSet([(0x4000, 0x4001), (0x4800, 0x4801), (0x1_0001, 0x1_0002)])
    files = crash_files(IOMEM, kcore, inside)
    assert files.text_bytes == 0x4000 * PAGE - 0x200_0000
    assert kernel_text(files.kcore).size == files.text_bytes
    # Without the note, whose bytes are not among the headers.
    assert headers_size(files.kcore) == len(files.kcore) == len(kcore) - 56
    dumped = dumped_by_tools(named_ranges(files.iomem), files.text_bytes)
    assert not dumped.pages_touched() & inside
    untouched = crash_files(IOMEM, kcore, ExtentSet([(0x1_0001, 0x1_0002)]))
    assert untouched.text_bytes == KERNEL_BYTES
    assert kernel_text(untouched.kcore).size == KERNEL_BYTES


def test_the_headers_of_a_dump_name_physical_memory():
    data = elf((0, MIB, 3 * PAGE), (0, 4 * MIB, PAGE), (TEXT_MAP, MIB, PAGE))
    assert list(dumped_ranges(data)) == [
        (MIB, MIB + 3 * PAGE),
        (4 * MIB, 4 * MIB + PAGE),
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "vmcore of 0 bytes: an ELF header has 64"),
        (b"\x7fELF" + bytes(60), "is no 64-bit ELF core"),
        (elf((0, 0, PAGE), kind=2), "is no 64-bit ELF core"),
        (elf((0, 0, PAGE))[:-1], "2 program headers of 56 bytes at 0x40 end at 0xb0"),
    ],
)
def test_what_is_no_dump_is_refused_in_one_line(data, said):
    with pytest.raises(BadImageError, match=said):
        dumped_ranges(data)


def test_a_kcore_without_the_kernel_is_refused():
    with pytest.raises(
        BadImageError, match="no segment at or above 0xffffffff80000000"
    ):
        crash_files(IOMEM, elf((0xFFFF_8880_0000_1000, 0, PAGE)), ExtentSet())


def test_more_headers_than_kexec_tools_read_are_cut_to_those_they_need():
    runs = [(0xFFFF_8890_0000_0000 + n * MIB, n * MIB, PAGE) for n in range(1, 2000)]
    low = (0xFFFF_8880_0000_0000, 0, PAGE)
    kcore = elf(*runs, low, (TEXT_MAP, 0x200_0000, KERNEL_BYTES))
    assert len(kcore) > KCORE_BYTES == 65536
    ours = crash_files(IOMEM, kcore, ExtentSet([(0x2100, 0x2101)])).kcore
    assert KCORE_BYTES - 200 < len(ours) <= KCORE_BYTES
    assert headers_size(ours) == len(ours)
    assert kernel_text(ours).size == 0x10_0000
    places = range(64 + 16, len(ours), 56)
    vaddrs = [struct.unpack_from("<Q", ours, at)[0] for at in places]
    assert min(vaddrs) == low[0]
    assert len(set(vaddrs)) == len(vaddrs)


def test_without_ram_below_640_kib_the_tools_copy_all_of_it():
    text = IOMEM.replace("00001000-0009efff : System RAM\n", "")
    assert (0, 0xA_0000) in list(dumped_by_tools(named_ranges(text)))
