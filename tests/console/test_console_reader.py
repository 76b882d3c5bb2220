"""The console reader on text that no kernel wrote, or not all of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e820pool.errors import BadImageError
from e820pool.lab.machine_view import view_of_console
from e820pool.sources.kernel_console import read_console

MAPS = ("bios_map", "extended_map", "setup_data_map", "user_map")

WORDS = st.sampled_from(
    [
        "BIOS-provided physical RAM map:",
        "BIOS-e820: [mem 0x0000000000000000-0x000000000009efff] usable",
        "BIOS-e820: [mem 0x0-0xffffffffffffffff]  System RAM",
        "extended physical RAM map:",
        "reserve setup_data: [mem 0x0000000000001000-0x0000000000001fff] usable",
        "e820: update [mem 0x00001000-0x00001fff] usable ==> usable",
        "Linux version 6.1.0-50-cloud-amd64 (x)",
        "** 12 printk messages dropped **",
        "too many entries; ignoring [mem 0x1000-0x0]",
        "  node   0: [mem 0xffffffffffffffff-0x0]",
        "MEMBLOCK configuration:",
        " memory[0x0]\t[0x0-0xf], 0x10 bytes flags: 0x0",
        ".text .data .bss are not marked as E820_TYPE_RAM!",
        "e820: remove [mem 0x2-0x1] ",
        "Kernel panic - not syncing: ",
        "kernel BUG at a!",
        " -- System halted",
        "\x00\x1b[31m",
    ]
)
LINES = st.lists(WORDS | st.text(max_size=40), max_size=30)


@given(LINES)
def test_any_text_can_be_read(lines):
    facts = read_console("\n".join(f"[    0.000000] {line}" for line in lines))
    assert facts.lost_messages >= 0
    assert all(span.size >= 0 for span in facts.memory)


@pytest.mark.parametrize("word", ["E820_RAM", "E820_TYPE_RAM"])
def test_kernels_before_4_12_call_ram_e820_ram(word):
    text = f""".text .data .bss are not marked as {word}!
    e820: remove [mem 0x01000000-0x01ffffff] """
    facts = read_console(text)
    assert facts.warnings == ("kernel-range-not-ram",)
    assert facts.kernel_range == (16 << 20, 32 << 20)


def test_memory_that_goes_on_under_another_flag_is_one_range():
    """A kernel that took over a handover lists its scratch areas by themselves."""
    text = """Early memory node ranges
      node   0: [mem 0x0000000000001000-0x000000000009efff]
      node   0: [mem 0x0000000000100000-0x0000000000ffffff]
      node   0: [mem 0x0000000001000000-0x00000000077fffff]
      node   0: [mem 0x0000000007800000-0x000000000fffffff]"""
    facts = read_console(text)
    assert facts.memory == ((0x1000, 0x9F000), (1 << 20, 256 << 20))


@given(data=st.data())
def test_a_log_cut_anywhere_shows_a_start_of_what_the_whole_shows(recording_of, data):
    text = recording_of("6.1", "spill").text
    cut = data.draw(st.integers(0, len(text)))
    whole, part = read_console(text), read_console(text[:cut])
    for name in MAPS:
        rows, expected = getattr(part, name) or (), getattr(whole, name) or ()
        # A last line that was cut may lack its type, and is then no RAM.
        assert rows[:-1] == expected[: max(len(rows) - 1, 0)]
    assert part.fatal is None


def test_of_two_boots_in_one_log_the_last_counts(recording_of):
    first, last = recording_of("6.1", "types"), recording_of("7.3", "node")
    both = read_console(first.text + last.text)
    assert both == read_console(last.text)


def test_a_timestamped_serial_log_with_carriage_returns_reads_the_same(recording_of):
    text = recording_of("5.10", "node").text
    assert read_console(text.replace("\n", "\r\n")) == read_console(text)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("Kernel panic - not syncing: Out of frogs", "Out of frogs"),
        (
            """kernel BUG at mm/memblock.c:12!
            [    0.1] RIP: 0010:grow.isra.0+0x1/0x2
            PANIC: early exception 0x06 IP 10:0 error 0 cr2 0x0""",
            "kernel BUG at mm/memblock.c:12 in grow",
        ),
        (
            """BUG: unable to handle page fault for address: ffff88, x
            RIP: 0010:fill+0x1/0x2
            Kernel panic - not syncing: Attempted to kill the idle task!""",
            "unable to handle page fault for address: ffff88 in fill",
        ),
        ("PANIC: early exception 0x0e IP 10:0", "early exception 0x0e"),
        # 2.6.32.69
        (
            """PANIC: early exception 0e rip 10:ffffffff8113164f error 0 cr2 ff0
Pid: 0, comm: swapper Not tainted 2.6.32.69 #2
RIP init_memory_mapping+0x44f/0x4e0""",
            "early exception 0x0e in init_memory_mapping",
        ),
        # 4.9.229
        (
            """PANIC: early exception 0x06 IP 10:ffffffff811c8240 error 0 cr2 0x0
            RIP: 0010:[<ffffffff811c8240>]  [<ffffffff811c8240>] add_entry+0x5/0x6b""",
            "early exception 0x06 in add_entry",
        ),
        (
            "\nDestination address inappropriately aligned\n\n -- System halted",
            "Destination address inappropriately aligned",
        ),
        (
            """Unexpected page-fault:
Error Code: 000000000000000a
CR2: 0x0000397690000000
RIP relative to _head: 0x0000000000af6b07


Stopping.


 -- System halted""",
            "page fault at 0x397690000000 in the decompressor",
        ),
        ("---[ end Kernel panic - not syncing: tail only ]---", None),
        ("kernel BUG at drivers/x.c:1!\nRun /init as init process", None),
        ("nothing of the kind", None),
    ],
)
def test_why_a_boot_ended(lines, reason):
    assert read_console(lines).fatal == reason


def test_where_no_map_is_shown_there_is_no_view(recording_of):
    handoff = recording_of("6.1", "plain").handoff
    with pytest.raises(BadImageError, match="shows no memory map of a kernel"):
        view_of_console(handoff, "SeaBIOS\n")


def test_rows_that_found_no_room_get_the_type_the_handoff_gave_them(recording_of):
    one = recording_of("7.3", "table-full")
    view = view_of_console(one.handoff, one.text)
    written = {(addr, size): kind for addr, size, kind in one.table[1]}
    assert view.dropped
    for addr, size, kind in view.dropped:
        assert kind == written.get((addr, size), 0xFFFF_FFFE)


@pytest.mark.parametrize(
    ("words", "end"),
    [
        ("Real mode trampoline was not allocated", "no-trampoline"),
        # 4.4.178
        ("Cannot allocate trampoline", "no-trampoline"),
        ("alloc_low_pages: ran out of memory", "no-free-memory"),
        # As 3.10.108 has it.
        ("alloc_low_page: can not alloc memory", "no-free-memory"),
    ],
)
def test_older_kernels_say_the_same_end_in_other_words(words, end):
    assert read_console(f"Kernel panic - not syncing: {words}").end.id == end
