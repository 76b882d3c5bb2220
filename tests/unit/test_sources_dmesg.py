"""Kernel logs in every dialect, with all that loggers, mail and people do to them."""

import pytest

from e820pool.errors import BadImageError, InputError
from e820pool.sources.dmesg import looks_like_dmesg, read_dmesg
from e820pool.type_words import TYPE_WITHOUT_NUMBER

ROWS = [(0x0, 0x9FC00, 1), (0x9FC00, 0x400, 2), (0x100000, 0x7FF00000, 1)]
LINES = [
    "BIOS-provided physical RAM map:",
    "BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable",
    "BIOS-e820: [mem 0x000000000009fc00-0x000000000009ffff] reserved",
    "BIOS-e820: [mem 0x0000000000100000-0x000000007fffffff] usable",
    "NX (Execute Disable) protection: active",
]


def log(lines, before="", after="\n"):
    return "".join(f"{before}{line}{after}" for line in lines)


def ids(found):
    return {note.id for note in found.notes}


def message(found, id_):
    return next(note.message for note in found.notes if note.id == id_)


def renamed(who, headline, lines=None):
    lines = LINES[:-1] if lines is None else lines
    changed = [line.replace("BIOS-e820", who) for line in lines]
    return [line.replace("BIOS-provided", headline) for line in changed]


def test_a_plain_log_reads_without_a_note():
    found = read_dmesg(log(LINES), origin="x")
    assert found.rows() == ROWS
    assert found.notes == ()
    assert found.origin == "x (BIOS-provided map of a kernel log, BIOS-e820)"


@pytest.mark.parametrize(
    "before",
    [
        "[    0.000000] ",
        " [    0.000000][    T0] ",
        "[  +0.000000] ",
        "[Mon Nov  2 10:00:00 2026] ",
        "<6>[    0.000000] ",
        "kern  :info  : [    0.000000] ",
        "Nov 02 10:00:00 host kernel: ",
        "Nov  2 10:00:00 host kernel: [    0.000000] ",
        "2026-11-02T10:00:00.123456+01:00 host kernel: ",
        "10:00:00,534 INFO kernel:",
        "> ",
        ">>>>> [    0.000000] ",
        "      # [    0.000000] ",
        "* ",
        "| ",
        "\t",
    ],
)
def test_what_stands_before_a_line_does_not_matter(before):
    assert read_dmesg(log(LINES, before)).rows() == ROWS


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ("", "\r\n", "CR LF"),
        ("", "\r\r\n", "CR LF"),
        ("\x1b[32m[    0.000000] \x1b[0m\x1b[33m", "\x1b[0m\n", "colour"),
        ("> ", "\n", "quote mark"),
    ],
)
def test_what_was_removed_from_lines_is_told(before, after, change):
    found = read_dmesg(log(LINES, before, after))
    assert found.rows() == ROWS
    assert change in message(found, "decorated")


def test_colour_inside_a_line_is_removed():
    line = LINES[1].replace("BIOS-e820: ", "\x1b[33mBIOS-e820: \x1b[0m\x1b[31m")
    assert read_dmesg(log([line, *LINES[2:]])).rows() == ROWS


@pytest.mark.parametrize("cut", range(20, 61))
def test_a_soft_break_may_fall_anywhere_in_a_line(cut):
    text = log(LINES).replace(LINES[2], f"{LINES[2][:cut]}=\n{LINES[2][cut:]}")
    found = read_dmesg(text)
    assert found.rows() == ROWS
    assert "soft break" in message(found, "decorated")


@pytest.mark.parametrize("quote", ["", "> ", ">> "])
@pytest.mark.parametrize("end", [" ", "", "=20"])
def test_a_type_that_mail_wrapped_to_the_next_line_is_joined(quote, end):
    text = log(LINES, quote).replace("] reserved", f"]{end}\n{quote}reserved")
    found = read_dmesg(text)
    assert found.rows() == ROWS
    assert "wrapped line" in message(found, "decorated")


def test_a_line_that_ends_in_an_equals_sign_of_its_own_costs_nothing():
    lines = ["Command line: root=/dev/sda1 x=", *LINES]
    assert read_dmesg(log(lines)).rows() == ROWS


@pytest.mark.parametrize("who", ["BIOS-e820", "BIOS-e801", "BIOS-88", "Xen", "LGUEST"])
def test_every_teller_of_the_first_map_is_known(who):
    found = read_dmesg(log(renamed(who, "BIOS-provided", LINES)))
    assert found.rows() == ROWS
    assert ("fallback-map" in ids(found)) == (who in ("BIOS-e801", "BIOS-88"))


@pytest.mark.parametrize(
    ("line", "row"),
    [
        (" BIOS-e820: 000000000009fc00 @ 0000000000000000 (usable)", (0, 0x9FC00, 1)),
        (" e820: 000000000009fc00 @ 0000000000001000 (reserved)", (0x1000, 0x9FC00, 2)),
        (" BIOS-e820: 0000000000001000 - 0000000000003000 (ACPI NVS)", (4096, 8192, 4)),
        (" BIOS-e820: 0000000000001000 - 0000000000003000 (unusable)", (4096, 8192, 5)),
        (" BIOS-e820: 0000000000001000 - 0000000000003000 type 20", (4096, 8192, 20)),
        (
            "user: [mem 0x0000000000001000-0x0000000000002fff] ACPI data",
            (4096, 8192, 3),
        ),
        ("modified: [mem 0x1000-0x2fff] persistent (type 12)", (4096, 8192, 12)),
        ("BIOS-e820: [mem 0x1000-0x2fff]  persistent RAM (type 7)", (4096, 8192, 7)),
        ("BIOS-e820: [mem 0x1000-0x2fff]  System RAM", (4096, 8192, 1)),
        ("BIOS-e820: [mem 0x1000-0x2fff]  device reserved", (4096, 8192, 2)),
        ("BIOS-e820: [mem 0x1000-0x2fff] soft reserved", (4096, 8192, 0xEFFFFFFF)),
        ("BIOS-e820: [mem 0x1000-0x2fff] type 4294967295", (4096, 8192, 0xFFFFFFFF)),
        ("BIOS-e820: [mem 0x1000-0x0fff] reserved", (4096, 0, 2)),
        (
            "BIOS-e820: [mem 0xfffffffffffff000-0xffffffffffffffff] reserved",
            ((1 << 64) - 4096, 4096, 2),
        ),
        (
            " BIOS-e820: fffffffffffff000 - 0000000000000000 (reserved)",
            ((1 << 64) - 4096, 4096, 2),
        ),
    ],
)
def test_a_line_of_each_dialect_gives_its_row(line, row):
    assert read_dmesg(f"{line}\nnext\n").rows() == [row]


@pytest.mark.parametrize(
    "line",
    [
        "e820: [mem 0xc0000000-0xfeffbfff] available for PCI devices",
        "e820: update [mem 0x00000000-0x00000fff] usable ==> reserved",
        "e820: remove [mem 0x000a0000-0x000fffff] usable",
        "e820 update range: 0000000000000000 - 0000000000001000 (usable) ==> (x)",
        "RAMDISK: [mem 0xbf8b0000-0xbfffffff]",
        "  node   0: [mem 0x0000000000001000-0x000000000009efff]",
        "PM: Registered nosave memory: [mem 0x00000000-0x00000fff]",
        "myuser: nothing",
        "not-user: [mem 0x1000-0x2fff] usable",
    ],
)
def test_other_lines_with_ranges_are_no_entries(line):
    assert read_dmesg(log([*LINES[:-1], line])).rows() == ROWS


def test_gap_lines_are_no_entries_and_are_counted():
    lines = [
        "BIOS-provided physical RAM map:",
        "BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff]  System RAM",
        "BIOS-e820: [gap 0x000000000009fc00-0x00000000000fffff]",
        "BIOS-e820: [mem 0x0000000000100000-0x000000007fffffff]  System RAM",
        "end",
    ]
    found = read_dmesg(log(lines))
    assert found.rows() == [ROWS[0], ROWS[2]]
    assert message(found, "gap-lines").startswith("1 [gap ..] line,")
    assert "lines-missing" not in ids(found)


def test_a_line_that_is_missing_between_gap_lines_is_noticed():
    lines = [
        "BIOS-provided physical RAM map:",
        "BIOS-e820: [gap 0x0000000000000000-0x0000000000000fff]",
        "BIOS-e820: [mem 0x0000000000001000-0x000000000009fbff]  System RAM",
        "BIOS-e820: [mem 0x0000000000100000-0x000000007fffffff]  System RAM",
        "end",
    ]
    found = read_dmesg(log(lines))
    assert "line 4: nothing is said of [mem 0x9fc00-0xfffff]" in message(
        found, "lines-missing"
    )


@pytest.mark.parametrize(
    ("words", "note"), [("usabl", "unknown-words"), ("fo bar", "unknown-words")]
)
def test_words_no_kernel_prints_keep_the_range_and_are_never_ram(words, note):
    text = log(LINES).replace("7fffffff] usable", f"7fffffff] {words}")
    found = read_dmesg(text)
    assert found.rows()[2] == (0x100000, 0x7FF00000, TYPE_WITHOUT_NUMBER)
    assert repr(words) in message(found, note)


def test_a_type_too_large_for_a_number_is_an_unknown_word():
    found = read_dmesg(log(LINES).replace("] reserved", "] type 4294967296"))
    assert found.rows()[1][2] == TYPE_WITHOUT_NUMBER


@pytest.mark.parametrize("cut", ["", "\n", "\nNX protection\n"])
def test_a_line_that_ends_before_its_type_keeps_its_range(cut):
    text = "\n".join(LINES[:3]) + "\nBIOS-e820: [mem 0x100000-0x7fffffff]" + cut
    found = read_dmesg(text)
    assert found.rows()[2] == (0x100000, 0x7FF00000, TYPE_WITHOUT_NUMBER)
    assert "line 4" in message(found, "type-cut")


def test_a_line_that_ends_inside_its_range_is_told():
    found = read_dmesg(
        "\n".join(LINES[:3]) + "\nBIOS-e820: [mem 0x0000000000100000-0x00"
    )
    assert len(found) == 2
    assert "line 4" in message(found, "line-cut")


def test_the_end_of_the_log_inside_the_map_is_told():
    found = read_dmesg(log(LINES[:-1]))
    assert "line 4" in message(found, "end-unseen")


def test_a_map_without_headline_is_told():
    assert "no-headline" in ids(read_dmesg(log(LINES[1:])))
    found = read_dmesg(log(LINES[2:]))
    assert "0x9fc00" in message(found, "start-cut")


def test_ram_that_the_kernel_saw_and_the_map_lacks_is_told():
    text = log([*LINES, "last_pfn = 0x240000 max_arch_pfn = 0x400000000"])
    assert "0x240000" in message(read_dmesg(text), "ram-missing")
    text = log([*LINES, "last_pfn = 0x80000 max_arch_pfn = 0x400000000"])
    assert read_dmesg(text).notes == ()


def test_lines_missing_between_the_map_and_the_cpus_are_told():
    text = log([*LINES, "smp: Bringing up secondary CPUs ..."])
    assert "end-unseen" in ids(read_dmesg(text))
    whole = [*LINES, "last_pfn = 0x80000 max_arch_pfn = 0x400000000"]
    text = log([*whole, "smp: Bringing up secondary CPUs ..."])
    assert read_dmesg(text).notes == ()


@pytest.mark.parametrize(
    "line",
    [
        "Ooops! Too many entries in the memory map!",
        "e820: too many entries; ignoring [mem 0x00100000-0x001fffff]",
        "E820 table full; ignoring [mem 0x00100000-0x001fffff]",
    ],
)
def test_entries_that_the_kernel_dropped_are_told(line):
    found = read_dmesg(log([line, line, *LINES]))
    assert "2 lines, first line 1" in message(found, "entries-dropped")


def test_two_dialects_in_one_map_are_told():
    mixed = " BIOS-e820: 0000000080000000 - 0000000090000000 (reserved)"
    found = read_dmesg(log([*LINES[:-1], mixed, "end"]))
    assert "line 5 is written as kernels pre-3.5 do" in message(found, "mixed-dialects")
    both = [*LINES[:-1], "BIOS-e820: [mem 0x80000000-0x80000fff]  device reserved", "x"]
    assert "mixed-dialects" in ids(read_dmesg(log(both)))


def test_words_of_two_dialects_alone_are_no_mixture():
    lines = [*LINES[:-1], "BIOS-e820: [mem 0x80000000-0x80000fff] ACPI NVS", "end"]
    assert read_dmesg(log(lines)).notes == ()


OTHER = [line.replace("7fffffff", "3fffffff") for line in LINES]


class TestBoots:
    def test_the_last_whole_boot_is_read(self):
        found = read_dmesg(log([*LINES, *OTHER]))
        assert found.rows()[2] == (0x100000, 0x3FF00000, 1)
        assert "2 boots show a map: read was number 2, from line 6;" in message(
            found, "several-boots"
        )

    def test_a_cut_last_boot_is_passed_over(self):
        found = read_dmesg(log([*LINES, *OTHER[:-2]]))
        assert found.rows() == ROWS
        assert "number 1" in message(found, "several-boots")
        assert "end-unseen" not in ids(found)

    def test_equal_boots_are_said_to_be_equal(self):
        found = read_dmesg(log([*LINES, *LINES]))
        assert "all the same" in message(found, "several-boots")

    def test_boots_without_headlines_are_told_apart_by_their_first_entry(self):
        found = read_dmesg(log(LINES[1:4] * 3))
        assert found.rows() == ROWS
        assert "3 boots" in message(found, "several-boots")

    def test_a_banner_starts_a_boot(self):
        banner = "Linux version 6.1.0 (user@host) #1 SMP"
        found = read_dmesg(log([banner, *LINES, banner, *OTHER]))
        assert len(found) == 3
        assert "2 boots" in message(found, "several-boots")

    def test_the_notes_are_those_of_the_boot_that_is_read(self):
        dropped = "e820: too many entries; ignoring [mem 0x00100000-0x001fffff]"
        found = read_dmesg(log([*LINES, dropped, *OTHER]))
        assert ids(found) == {"several-boots"}


class TestBlocks:
    TEXT = log(
        [
            *LINES[:-1],
            *renamed("reserve setup_data", "extended"),
            *renamed("user", "user-defined")[:3],
            *renamed("modified", "modified"),
            "end",
        ]
    )

    @pytest.mark.parametrize(
        ("block", "count"),
        [(None, 3), ("bios", 3), ("setup_data", 3), ("user", 2), ("modified", 3)],
    )
    def test_each_can_be_chosen(self, block, count):
        found = read_dmesg(self.TEXT, block=block)
        assert len(found) == count
        assert "setup-data-map" not in ids(found)
        assert "no-headline" not in ids(found)

    def test_the_others_are_named(self):
        assert message(read_dmesg(self.TEXT), "other-blocks").endswith(
            "setup_data (3 entries), user (2 entries), modified (3 entries)"
        )

    def test_extended_is_the_setup_data_map_where_there_is_no_other(self):
        assert "setup-data-map" in ids(read_dmesg(self.TEXT, block="extended"))

    def test_extended_is_its_own_map_where_there_is_one(self):
        lines = [*LINES, *renamed("extended", "extended")[:3], "end", self.TEXT]
        found = read_dmesg(log(lines[:-1]), block="extended")
        assert len(found) == 2
        assert "setup-data-map" not in ids(found)

    def test_one_that_is_absent_names_those_present(self):
        with pytest.raises(InputError, match="'x' has no user map: it has bios"):
            read_dmesg(log(LINES), block="user", origin="x")

    def test_no_such_block_names_all(self):
        with pytest.raises(InputError, match="'acpi' is none of bios, extended"):
            read_dmesg(log(LINES), block="acpi")

    def test_without_a_bios_map_the_first_is_read_and_told(self):
        found = read_dmesg(log([*renamed("modified", "modified"), "end"]))
        assert found.rows() == ROWS
        assert "modified" in message(found, "no-bios-map")

    def test_a_second_modified_map_of_one_boot_takes_the_first_one_s_place(self):
        second = renamed("modified", "modified")[:3]
        found = read_dmesg(self.TEXT + log([*second, "end"]), block="modified")
        assert len(found) == 2
        assert "several-boots" not in ids(found)


def test_a_headline_without_entries_is_an_error():
    with pytest.raises(BadImageError, match="'x' is a kernel log with 0 entries"):
        read_dmesg(log([LINES[0], LINES[-1]]), origin="x")


def test_a_log_is_told_from_other_text():
    assert looks_like_dmesg(log(LINES))
    assert looks_like_dmesg(" e820: 000000000009f000 @ 0000000000000000 (usable)")
    assert not looks_like_dmesg("00001000-0009efff : System RAM\n")
    assert not looks_like_dmesg("e820: [mem 0xc0000000-0xfeffbfff] available")


HOT_LOG = """\
[    0.000000] Linux version 6.12.117
[    0.000000] BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable
[    0.000000] BIOS-e820: [mem 0x0000000000100000-0x000000001fffffff] usable
"""


@pytest.mark.parametrize(
    ("line", "regions"),
    [
        (
            "ACPI: SRAT: Node 0 PXM 0 [mem 0x100000000-0x17fffffff] hotplug",
            ((1 << 32, 6 << 30),),
        ),
        (
            "SRAT: Node 0 PXM 0 [mem 0x100000000-0x17fffffff] Hot Pluggable",
            ((1 << 32, 6 << 30),),
        ),
        ("SRAT: hot plug zone found 100000000 - 180000000 ", ((1 << 32, 6 << 30),)),
    ],
)
def test_what_the_srat_calls_hot_pluggable_may_hold_memory_devices(line, regions):
    found = read_dmesg(f"{HOT_LOG}[    0.011000] {line}\n")
    assert found.devices.regions == regions
    assert found.devices.devices == ()


@pytest.mark.parametrize(
    "line",
    [
        "ACPI: SRAT: Node 0 PXM 0 [mem 0x00100000-0x1fffffff]",
        "ACPI: SRAT: Node 0 PXM 0 [mem 0x180000000-0x100000000] hotplug",
        "NUMA: Node 0 [mem 0x00000000-0x0009ffff] + [mem 0x00100000-0x1fffffff]",
    ],
)
def test_other_lines_of_nodes_say_nothing_of_devices(line):
    found = read_dmesg(f"{HOT_LOG}[    0.011000] {line}\n")
    assert found.devices is None
    assert len(found) == 2
