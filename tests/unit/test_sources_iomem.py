"""/proc/iomem: which lines form the map, nested or not, whole or not."""

import pytest

from e820pool.errors import BadImageError
from e820pool.sources.iomem import looks_like_iomem, read_iomem
from e820pool.type_words import TYPE_WITHOUT_NUMBER

TEXT = """\
00000000-00000fff : Reserved
00001000-0009fbff : System RAM
0009fc00-000fffff : Reserved
  000f0000-000fffff : System ROM
00100000-bfffffff : System RAM
  01000000-02276f47 : Kernel code
  bc000000-bfffffff : Crash kernel
c0000000-febfffff : PCI Bus 0000:00
  e0000000-efffffff : PCI MMCONFIG 0000 [bus 00-ff]
    e0000000-efffffff : Reserved
fec00000-fec003ff : IOAPIC 0
fee00000-feefffff : Reserved
  fee00000-fee00fff : Local APIC
    fee00000-fee00fff : Reserved
100000000-63fffffff : System RAM
"""
ROWS = [
    (0, 0x1000, 2),
    (0x1000, 0x9EC00, 1),
    (0x9FC00, 0x60400, 2),
    (0x100000, 0xBFF00000, 1),
    (0xE0000000, 0x10000000, 2),
    (0xFEE00000, 0x100000, 2),
    (0x1_0000_0000, 0x5_4000_0000, 1),
]


def ids(found):
    return [note.id for note in found.notes]


def test_lines_with_an_e820_name_form_the_map_nested_ones_too():
    found = read_iomem(TEXT, origin="x")
    assert found.rows() == ROWS
    assert found.notes == ()
    assert found.origin == "x (/proc/iomem text)"


@pytest.mark.parametrize("before", ["$ cat /proc/iomem\n", "\n\n", "# as root\n"])
def test_other_lines_do_not_matter(before):
    assert read_iomem(before + TEXT).rows() == ROWS


@pytest.mark.parametrize("change", ["\r\n", " \n"])
def test_line_ends_do_not_matter(change):
    assert read_iomem(TEXT.replace("\n", change)).rows() == ROWS


@pytest.mark.parametrize("indent", ["", "            ", "> "])
def test_a_file_whose_nesting_was_lost_gives_the_same_map(indent):
    flat = "".join(f"{indent}{line.strip()}\n" for line in TEXT.splitlines())
    found = read_iomem(flat)
    assert found.rows() == ROWS
    assert ids(found) == ["nesting-lost"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("System RAM", 1),
        ("Reserved", 2),
        ("reserved", 2),
        ("ACPI Tables", 3),
        ("ACPI Non-volatile Storage", 4),
        ("Unusable memory", 5),
        ("Persistent Memory", 7),
        ("Persistent Memory (legacy)", 12),
        ("Soft Reserved", 0xEFFFFFFF),
        ("Unknown E820 type", TYPE_WITHOUT_NUMBER),
    ],
)
def test_each_name_gives_its_type(name, kind):
    text = f"00000000-00000fff : {name}\nfec00000-fec003ff : IOAPIC 0\n"
    assert read_iomem(text).rows() == [(0, 0x1000, kind)]


def test_ram_that_a_driver_added_is_told_and_is_no_ram():
    text = TEXT + (
        "a90000000-b8fffffff : Soft Reserved\n"
        "  a90000000-b8fffffff : dax0.0\n"
        "    a90000000-b8fffffff : System RAM (kmem)\n"
    )
    found = read_iomem(text)
    assert found.rows() == [*ROWS, (0xA9000_0000, 0x1_0000_0000, 0xEFFFFFFF)]
    assert ids(found) == ["driver-ram"]


def test_a_nested_range_of_another_type_is_kept():
    text = TEXT.replace("Crash kernel", "ACPI Tables")
    assert (0xBC000000, 0x4000000, 3) in read_iomem(text).rows()


def test_a_crash_kernel_of_no_size_does_not_matter():
    text = TEXT.replace("bc000000-bfffffff : Crash", "00000000-00000000 : Crash")
    found = read_iomem(text)
    assert found.rows() == ROWS
    assert found.notes == ()


def test_the_view_of_a_non_root_user_is_refused_with_the_reason():
    hidden = "".join(
        f"{line[: -len(line.lstrip())]}00000000-00000000 : {line.partition(' : ')[2]}\n"
        for line in TEXT.splitlines()
    )
    with pytest.raises(BadImageError) as caught:
        read_iomem(hidden, origin="x")
    assert str(caught.value) == (
        "'x': 15 ranges, 00000000-00000000 each: the kernel hides addresses from "
        "readers without CAP_SYS_ADMIN, read it as root"
    )


def test_a_text_without_an_e820_name_is_refused():
    with pytest.raises(BadImageError, match="none of 1 /proc/iomem lines has the name"):
        read_iomem("00001000-0009fbff : PCI Bus 0000:00\n")


def test_a_reversed_range_is_refused():
    with pytest.raises(BadImageError, match=r"0x2000-0x1000.*ends before it starts"):
        read_iomem("00002000-00001000 : System RAM\n")


def test_a_missing_start_and_a_missing_end_are_told():
    lines = TEXT.splitlines(keepends=True)
    assert ids(read_iomem("".join(lines[1:]))) == ["start-cut"]
    assert ids(read_iomem("".join(lines[:8]))) == ["end-unseen"]


def test_iomem_is_told_from_other_text():
    assert looks_like_iomem(TEXT)
    assert not looks_like_iomem("BIOS-e820: [mem 0x0-0xfff] usable\n")
    assert not looks_like_iomem("1000-2000 is a range\n")


WHOLE = (
    *("00000000-00000fff : Reserved", "00001000-0009fbff : System RAM"),
    *("00100000-6ffdefff : System RAM", "  02000000-02ffffff : Kernel code"),
    *("6ffdf000-6fffffff : ACPI Non-volatile Storage", "70000000-7000ffff : Reserved"),
    *("fec00000-fec003ff : IOAPIC 0", "100000000-17fffffff : System RAM"),
)
WHOLE_ROWS = [
    *((0, 0x1000, 2), (0x1000, 0x9EC00, 1), (0x100000, 0x6FEDF000, 1)),
    *((0x6FFDF000, 0x21000, 4), (0x70000000, 0x10000, 2), (1 << 32, 0x80000000, 1)),
]
PREFIXES = (
    *("/proc/iomem:", "Nov 02 10:00:00 host report[17]: ", "    ", "iomem.txt-", "\t"),
    *("2026-11-02T10:00:00+01:00 host x: ", "host-4: ", "| ", "[  12.345678] "),
)


@pytest.mark.parametrize("before", PREFIXES)
def test_any_prefix_may_stand_before_a_line(before):
    found = read_iomem("".join(f"{before}{line}\n" for line in WHOLE))
    assert found.rows() == WHOLE_ROWS
    assert ids(found) == []


@pytest.mark.parametrize("form", ["     {}\t{}", "{}:{}", "{:>4}  {}"])
def test_lines_may_be_numbered(form):
    text = "".join(form.format(n, line) + "\n" for n, line in enumerate(WHOLE, 8))
    assert read_iomem(text).rows() == WHOLE_ROWS


@pytest.mark.parametrize("between", [" ", "", "<br>", "\r", "\\n", "#012"])
def test_lines_may_be_joined(between):
    # Without a blank a name that ends in a hexadecimal digit cannot be told from it.
    lines = [line for line in WHOLE if between or not line.endswith(("code", "0"))]
    assert read_iomem(between.join(lines)).rows() == WHOLE_ROWS


@pytest.mark.parametrize("before", ["", "> ", "host x: "])
@pytest.mark.parametrize("next_", ["", "same"])
@pytest.mark.parametrize("column", range(10, 30))
def test_a_line_may_be_wrapped_anywhere(before, next_, column):
    next_ = before if next_ else next_
    lines = []
    for line in WHOLE:
        lines.append(before + line[:column])
        lines += [next_ + line[column:]] if line[column:] else []
    found = read_iomem("".join(f"{line}\n" for line in lines))
    assert found.rows() == WHOLE_ROWS


@pytest.mark.parametrize(
    "cut", ["6ffdf000-6fff", "6ffdf000-6fffffff :", "6fffffff : Reserved"]
)
def test_a_line_that_is_cut_is_counted(cut):
    found = read_iomem("\n".join([*WHOLE[:4], cut, *WHOLE[5:]]))
    assert found.rows() == [row for row in WHOLE_ROWS if row[2] != 4]
    told = next(note.message for note in found.notes if note.id == "line-cut")
    assert told.startswith("only pieces of 1 line can")
    assert told.endswith("line 5")


@pytest.mark.parametrize("before", ["", "/proc/iomem:", "host: "])
def test_a_damaged_name_to_which_a_line_was_joined_is_counted(before):
    # Found by mutation: a soft line end in place of a name's last letter.
    lines = [before + line for line in WHOLE]
    lines[4] = f"{lines[4][:-1]}="
    found = read_iomem("\n".join(lines))
    assert len(found) < len(WHOLE_ROWS)
    assert "line-cut" in ids(found)


def test_a_name_whose_first_letter_became_a_colon_is_counted():
    # Found by mutation: what follows the colon is no name.
    found = read_iomem("\n".join(WHOLE).replace(": Reserved", ": :eserved", 1))
    assert len(found) == len(WHOLE_ROWS) - 1
    assert "line-cut" in ids(found)


def test_a_range_that_is_swallowed_by_a_name_is_counted():
    lines = [*WHOLE[:6], WHOLE[6] + "d" + WHOLE[7]]
    assert "line-cut" in ids(read_iomem("\n".join(lines)))


@pytest.mark.parametrize(
    "form", ['"{}"', '    "{}",', "'{}',", "{}$", 'level=info msg="{}"']
)
def test_quotes_around_a_line_are_no_part_of_a_name(form):
    lines = [form.format(line) for line in TEXT.splitlines()]
    assert read_iomem("\n".join(lines)).rows() == ROWS


def test_a_cell_with_the_line_s_number_is_no_digit_of_an_address():
    cells = "<tr><td>{}</td><td>{}</td></tr>"
    lines = [cells.format(at, line) for at, line in enumerate(TEXT.splitlines(), 1)]
    assert read_iomem("\n".join(lines)).rows() == ROWS


def test_a_blank_that_breaks_no_line_is_one():
    assert read_iomem(TEXT.replace(" ", "\xa0")).rows() == ROWS


def test_a_wrapped_name_that_begins_as_a_type_s_is_no_cut_line():
    found = read_iomem(TEXT.replace("System ROM", "System\nROM"))
    assert found.rows() == ROWS
    assert "line-cut" not in ids(found)
