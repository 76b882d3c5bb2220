"""What programs other than a kernel print reads as it was, or says what lacks."""

import io
import struct
from collections import Counter

import printers
import pytest
from printers import FORMS, PAGES, ROWS
from rawbytes import zero_page

from e820pool.errors import BadImageError, E820PoolError, InputError
from e820pool.sources.recognise import read_map

# A note with one of these says that entries are missing or not understood.
SAYS_SO = {"line-cut", "entries-missing", "unknown-words"}
UNKNOWN = 0xFFFF_FFFE


def read(text, **options):
    data = text if isinstance(text, bytes) else text.encode()
    return read_map("-", stdin=io.BytesIO(data), **options)


def ids(found):
    return {one.id for one in found.notes}


def said(found, id_):
    return next(one.message for one in found.notes if one.id == id_)


# What head prints are files, to which no logger adds a prefix or other messages.
LISTS = {name: one for name, one in FORMS.items() if name != "sysfs head"}
# A headline of columns ends where its line ends.
IN_A_LINE = {name: one for name, one in LISTS.items() if name != "uefi shell"}


@pytest.fixture(params=FORMS)
def form(request):
    """Return what prints a form, with the rows that it can say."""
    return FORMS[request.param]


def test_a_printed_map_reads_as_it_was(form):
    write, rows = form
    found = read(write(rows))
    assert found.rows() == list(rows)
    assert not ids(found) & SAYS_SO


@pytest.mark.parametrize(
    "before", ["> ", "> > ", "    ", "# ", "Nov 28 10:00:01 host kernel: ", "| "]
)
@pytest.mark.parametrize("name", LISTS)
def test_what_stands_before_each_line_does_not_matter(name, before):
    write, rows = FORMS[name]
    text = "".join(f"{before}{line}\n" for line in write(rows).splitlines())
    assert read(text).rows() == list(rows)


@pytest.mark.parametrize("ending", ["\r\n", "\r\r\n"])
def test_line_ends_do_not_matter(form, ending):
    write, rows = form
    assert read(ending.join(write(rows).splitlines()) + ending).rows() == list(rows)


def broken(lines, before):
    """Yield the lines with each, in turn, broken at each column."""
    for at, line in enumerate(lines):
        for column in range(1 + at * 5 % 11, len(line), 11):
            parts = [line[:column], line[column:]]
            yield [before + one for one in (*lines[:at], *parts, *lines[at + 1 :])]


@pytest.mark.parametrize("before", ["", "> ", "Nov 28 10:00:01 host kernel: "])
@pytest.mark.parametrize("name", LISTS)
def test_a_line_that_was_wrapped_is_read_or_named(name, before):
    write, rows = FORMS[name]
    results = Counter()
    for lines in broken(write(rows).splitlines(), before):
        try:
            found = read("\n".join(lines))
        except BadImageError:
            results["refused"] += 1
            continue
        if found.rows() == list(rows):
            results["same"] += 1
        else:
            assert ids(found) & SAYS_SO, lines
            results["named"] += 1
    # Most places are put together again.
    assert results["same"] > 2 * (results["named"] + results["refused"])


def test_a_line_that_is_cut_is_named_with_its_number():
    for name, (write, rows) in FORMS.items():
        lines = write(rows).splitlines()
        at = next(n for n, line in enumerate(lines) if "6ffd" in line.lower())
        wanted = "/end" in lines[at] or "==>" in lines[at - 1]
        lines[at] = lines[at][: lines[at].lower().index("6ffd") + (2 if wanted else 4)]
        if wanted:
            lines[at] = lines[at][:-2]
        found = read("\n".join(lines))
        assert len(found) < len(rows), name
        assert "line-cut" in ids(found), name
        assert f"({at + 1}" in said(found, "line-cut") or wanted, name


@pytest.mark.parametrize("name", IN_A_LINE)
def test_entries_in_one_line_are_all_read(name):
    write, rows = FORMS[name]
    lines = write(rows).splitlines()
    found = read(" ".join(lines))
    assert found.rows() == list(rows)


@pytest.mark.parametrize("name", LISTS)
def test_other_messages_may_come_between(name):
    write, rows = FORMS[name]
    noise = "[   12.345678] usb 1-1: new high-speed USB device number 2 using xhci_hcd"
    lines = write(rows).splitlines()
    mixed = [part for line in lines for part in (line, noise)]
    assert read("\n".join(mixed)).rows() == list(rows)


class TestXen:
    def test_the_machine_s_map_is_read_and_the_domain_s_named(self):
        domain = printers.linux(ROWS[:3], who="Xen")
        found = read(printers.xen_new(ROWS) + domain)
        assert found.rows() == list(ROWS)
        message = said(found, "pseudo-physical")
        assert "'Xen:', 3 entries" in message
        assert "7 entries, from line 1, 'Xen-e820 RAM map'" in message

    def test_the_domain_s_map_is_read_where_it_is_asked_for(self):
        text = printers.xen_new(ROWS) + printers.linux(ROWS[:3], who="Xen")
        found = read(text, block="bios")
        assert found.rows() == list(ROWS[:3])
        assert {"pseudo-physical", "other-maps"} <= ids(found)

    def test_a_domain_s_map_alone_is_said_to_be_pseudo_physical(self):
        found = read(printers.linux(ROWS, who="Xen"))
        assert found.rows() == list(ROWS)
        assert "only the hypervisor prints" in said(found, "pseudo-physical")

    def test_suse_s_dom0_prints_both(self):
        found = read(printers.suse_dom0(ROWS) + printers.linux(ROWS[:3], who="Xen"))
        assert found.rows() == list(ROWS)
        assert "3 entries" in said(found, "pseudo-physical")

    @pytest.mark.parametrize(
        "title", ["EFI RAM map", "TBOOT RAM map", "Multiboot-e820 RAM map"]
    )
    @pytest.mark.parametrize("write", [printers.xen_old, printers.xen_new])
    def test_every_headline_of_xen_is_known(self, title, write):
        found = read(write(ROWS, title=title))
        assert found.rows() == list(ROWS)
        assert title in found.origin

    def test_the_map_before_xen_s_own_changes_is_the_other(self):
        first = printers.xen_new(ROWS[:2], title="Initial Xen-e820 RAM map")
        found = read(first + printers.xen_new(ROWS))
        assert found.rows() == list(ROWS)
        assert "'Initial Xen-e820 RAM map'" in said(found, "other-maps")
        assert "xen-initial-map" in ids(read(first))

    @pytest.mark.parametrize("stamp", ["[2024-01-02 03:04:05] ", "[000000342ad31415] "])
    def test_stamps_are_no_entries(self, stamp):
        found = read(printers.xen_new(ROWS, before=f"(XEN) {stamp}"))
        assert found.rows() == list(ROWS)
        assert not ids(found) & SAYS_SO

    def test_an_excerpt_without_headline_and_prefix_reads(self):
        for write in (printers.xen_old, printers.xen_new):
            text = write(ROWS, before="").partition("\n")[2]
            found = read(text)
            assert found.rows() == list(ROWS)
            assert "no-headline" in ids(found)

    def test_of_two_boots_the_last_is_read(self):
        found = read(printers.xen_new(ROWS[:3]) + printers.xen_new(ROWS))
        assert found.rows() == list(ROWS)
        assert "read was number 2, from line 7" in said(found, "several-boots")

    def test_an_old_kernel_s_log_is_no_map_of_xen(self):
        rows = [(0, 0xA0000, 1), (0x100000, 0x7FF00000, 2)]
        words = {1: "usable", 2: "reserved"}
        text = "".join(
            f" BIOS-e820: {a:016x} - {a + s:016x} ({words[t]})\n" for a, s, t in rows
        )
        found = read("BIOS-provided physical RAM map:\n" + text)
        assert found.rows() == rows
        assert "kernel log" in found.origin
        assert not ids(found) & {"line-cut", "other-maps"}


class TestKexec:
    def test_ranges_have_types_of_their_own_and_0_is_ram(self):
        rows = [*ROWS, (0x1_8000_0000, 0x1000000, 7), (0x1_9000_0000, 0x1000000, 12)]
        assert read(printers.kexec_ranges(rows)).rows() == rows

    def test_the_table_handed_on_is_read_and_the_ranges_named(self):
        text = printers.kexec_ranges(ROWS[:3]) + printers.kexec_table(ROWS)
        found = read(text)
        assert found.rows() == list(ROWS)
        assert "(3 entries, from line 1, 'MEMORY RANGES')" in said(found, "other-maps")

    def test_of_a_capture_kernel_s_load_the_ranges_are_the_machine_s(self):
        text = printers.kexec_ranges(ROWS)
        text += printers.kexec_ranges(ROWS[:4], title="CRASH MEMORY RANGES")
        text += printers.kexec_table(ROWS[2:4])
        assert read(text).rows() == list(ROWS)

    def test_a_kernel_s_own_map_comes_first(self):
        found = read(printers.linux(ROWS) + printers.kernel_kexec(ROWS[:3]))
        assert found.rows() == list(ROWS)
        assert "3 entries, from line 10, 'E820 memmap'" in said(found, "other-maps")

    def test_what_follows_the_128th_entry_belongs_to_the_list(self):
        rows = [(n << 20, 0x1000, 1 + n % 2) for n in range(200)]
        assert read(printers.kexec_table(rows)).rows() == rows

    @pytest.mark.parametrize("write", [printers.kexec_ranges, printers.kexec_table])
    def test_without_a_headline_a_zero_tells_which_list_it_is(self, write):
        found = read(write(ROWS).partition("\n")[2])
        assert found.rows() == list(ROWS)
        assert "no-headline" in ids(found)

    def test_lines_of_iomem_that_kexec_prints_beside_it_do_not_matter(self):
        iomem = "".join(f"{a:016x}-{a + s - 1:016x} : System RAM\n" for a, s, _ in ROWS)
        assert read(iomem + printers.kexec_ranges(ROWS)).rows() == list(ROWS)


class TestSysfs:
    @pytest.mark.parametrize("folder", ["", "./", "memmap/", "/sys/firmware/memmap/"])
    def test_paths_may_begin_anywhere(self, folder):
        assert read(printers.sysfs_grep(ROWS, folder)).rows() == list(ROWS)

    def test_the_order_of_the_files_does_not_matter(self):
        lines = sorted(printers.sysfs_grep(ROWS * 2).splitlines(), reverse=True)
        assert read("\n".join(lines)).rows() == list(ROWS * 2)

    def test_numbers_of_lines_may_stand_between(self):
        text = printers.sysfs_grep(ROWS)
        for key in ("start", "end", "type"):
            text = text.replace(f"{key}:", f"{key}:1:")
        assert read(text).rows() == list(ROWS)

    def test_a_number_that_lacks_is_noted(self):
        text = "".join(
            line + "\n"
            for line in printers.sysfs_grep(ROWS).splitlines()
            if "/2/" not in line
        )
        assert "no number 2" in said(read(text), "entries-missing")

    def test_an_entry_without_its_type_is_noted(self):
        text = printers.sysfs_grep(ROWS).replace("/sys/firmware/memmap/2/type:", "")
        found = read(text)
        assert len(found) == len(ROWS) - 1
        assert "1 line" in said(found, "line-cut")

    def test_two_machines_are_refused(self):
        text = printers.sysfs_grep(ROWS) + printers.sysfs_grep(ROWS[2:])
        with pytest.raises(BadImageError, match="0/end is '0x9fbff' and, in line 22"):
            read(text)

    def test_an_address_that_is_a_word_is_a_line_that_is_cut(self):
        text = printers.sysfs_head(ROWS).replace("0x17fffffff", "nx17fffffff")
        found = read(text)
        assert len(found) == len(ROWS) - 1
        assert "line-cut" in ids(found)

    def test_a_name_that_no_kernel_has_is_never_ram(self):
        found = read(printers.sysfs_grep(ROWS).replace("Reserved", "Ramdisk"))
        assert [kind for _, _, kind in found.rows()].count(UNKNOWN) == 2
        assert "'Ramdisk'" in said(found, "unknown-words")


class TestLoaders:
    def test_seabios_s_count_is_held_against_what_was_read(self):
        lines = printers.seabios(ROWS).splitlines()
        del lines[4]
        message = said(read("\n".join(lines)), "entries-missing")
        assert "none has the number 2" in message

    def test_grub_gives_a_number_where_it_has_no_word(self):
        rows = [*ROWS, (0x2_0000_0000, 0x1000, 20)]
        assert read(printers.grub(rows)).rows() == rows

    def test_old_words_of_grub_are_known(self):
        text = printers.grub(ROWS).replace(" RAM", "").replace("able", "able")
        assert read(text).rows() == list(ROWS)

    def test_words_that_are_not_known_are_never_ram(self):
        found = read(printers.grub(ROWS).replace("ACPI reclaimable", "fancy"))
        assert (0x6FFDF000, 0x1000, UNKNOWN) in found.rows()
        assert "'fancy RAM'" in said(found, "unknown-words")

    def test_what_coreboot_occupies_is_ram_to_the_next(self):
        text = printers.coreboot(PAGES).replace("RAM", "RAMSTAGE", 1)
        assert read(text).rows() == list(PAGES)
        text = printers.coreboot(PAGES).replace("RESERVED", "CONFIGURATION TABLES")
        assert read(text).rows() == list(PAGES)

    def test_a_kernel_s_log_comes_before_the_firmware_s(self):
        found = read(printers.seabios(ROWS[:3]) + printers.linux(ROWS))
        assert found.rows() == list(ROWS)
        assert "SeaBIOS's e820 map (3 entries" in said(found, "other-maps")


class TestEfi:
    def shell(self, name, attributes=0xF):
        rows = [(0x100000, 0x100000, 1), (0x1_0000_0000, 0x10000000, 1)]
        text = printers.efi_shell(rows).replace("Available", f"{name:<9}", 1)
        return read(text.replace(f"{0xF:016X}", f"{attributes:016X}")).rows()[0][2]

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            *(("LoaderCode", 1), ("LoaderData", 1), ("BS_Code", 1), ("BS_Data", 1)),
            *(("RT_Code", 2), ("RT_Data", 2), ("Reserved", 2), ("MMIO", 2)),
            *(("MMIO_Port", 2), ("PalCode", 2), ("ACPI_Recl", 3), ("ACPI_NVS", 4)),
            *(
                ("Unusable", 5),
                ("Persistent", 7),
                ("Unaccepted", 1),
                ("70000000", UNKNOWN),
            ),
        ],
    )
    def test_types_are_what_the_stub_makes_of_them(self, name, kind):
        assert self.shell(name) == kind

    def test_specific_purpose_memory_is_soft_reserved(self):
        assert self.shell("Available", 0x4000F) == 0xEFFFFFFF
        line = (
            "efi: mem00: [Conventional|   |  |  |  |SP|  |  |  |  |  |   |WB|WT|WC|UC] "
        )
        text = f"{line}range=[0x0000000100000000-0x00000001ffffffff] (4096MB)\n"
        assert read(text).rows() == [(1 << 32, 1 << 32, 0xEFFFFFFF)]

    def test_neighbours_of_one_type_are_joined(self):
        rows = [(0x100000, 0x100000, 1), (0x200000, 0x100000, 1), (0x300000, 4096, 2)]
        found = read(printers.efi_shell(rows))
        assert found.rows() == [(0x100000, 0x200000, 1), (0x300000, 4096, 2)]
        assert "EFI stub" in said(found, "efi-memory-map")

    def test_pages_that_do_not_fit_the_range_are_a_line_that_is_cut(self):
        text = printers.efi_shell(PAGES).replace(f"{0x80000:016X}", f"{0x8000:016X}")
        assert "line-cut" in ids(read(text))

    def test_a_number_that_lacks_is_noted(self):
        lines = printers.efi_kernel(PAGES).splitlines()
        del lines[1]
        assert "number 1" in said(read("\n".join(lines)), "entries-missing")


class TestHexdump:
    PAGE = zero_page(list(ROWS))

    def test_nothing_but_digits_reads(self):
        assert read(self.PAGE.hex()).rows() == list(ROWS)

    @pytest.mark.parametrize(
        "write", [printers.hexdump_c, printers.xxd, printers.hexdump_words]
    )
    @pytest.mark.parametrize("before", ["", "> "])
    def test_a_dump_of_a_zero_page_reads(self, write, before):
        lines = write(self.PAGE).splitlines()
        assert read("\n".join(before + line for line in lines)).rows() == list(ROWS)

    @pytest.mark.parametrize(
        ("base", "width", "order"),
        [
            *(("07x", 2, "<"), ("06x", 2, "<"), ("06x", 4, "<"), ("06x", 8, "<")),
            *(("07o", 1, "<"), ("07d", 1, "<"), ("07o", 2, "<"), ("08x", 1, "<")),
            *(("08x:", 1, ">"), ("08x:", 4, ">"), ("08x:", 8, ">")),
        ],
    )
    @pytest.mark.parametrize("squeeze", [False, True])
    @pytest.mark.parametrize("gap", [" ", "    "])
    def test_every_width_and_base_of_a_dump_reads(
        self, base, width, order, squeeze, gap
    ):
        page, end = self.PAGE, ":" * base.endswith(":")
        words = {1: "B", 2: "H", 4: "I", 8: "Q"}[width]
        lines, before = [], None
        for at in range(0, 4096, 16):
            part = page[at : at + 16]
            if squeeze and part == before:
                lines += ["*"] * (lines[-1] != "*")
                continue
            before = part
            numbers = struct.unpack(f"{order}{16 // width}{words}", part)
            shown = (" " if end else gap).join(f"{n:0{2 * width}x}" for n in numbers)
            lines.append(f"{at:{base.rstrip(':')}}{end} {shown}")
        lines.append(f"{4096:{base.rstrip(':')}}")
        assert read("\n".join(lines)).rows() == list(ROWS)

    def test_a_dump_of_nothing_but_digits_and_blanks_is_no_bare_one(self):
        # Found by trying: `hexdump -v` was taken for `xxd -p`, and gave a traceback.
        lines = [
            f"{at:07x} "
            + " ".join(
                f"{word:04x}" for word in struct.unpack("<8H", self.PAGE[at : at + 16])
            )
            for at in range(0, 4096, 16)
        ]
        assert 8192 < len("\n".join(lines)) < 16384
        assert read("\n".join([*lines, "0001000"])).rows() == list(ROWS)

    @pytest.mark.parametrize("before", ["", "> "])
    def test_bare_digits_may_stand_between_prompts(self, before):
        digits = self.PAGE.hex()
        lines = [before + digits[at : at + 60] for at in range(0, 8192, 60)]
        assert read("\n".join(["# xxd -p data", *lines, "# "])).rows() == list(ROWS)

    def test_a_line_that_lacks_is_named_with_its_address(self):
        lines = printers.xxd(self.PAGE).splitlines()
        del lines[0x1E]
        with pytest.raises(BadImageError, match="line 31 of a hexdump is at 0x1f0"):
            read("\n".join(lines))

    def test_a_part_of_a_page_is_refused_with_the_limit(self):
        with pytest.raises(BadImageError, match="a boot_params has 0x1000"):
            read(printers.xxd(self.PAGE[:2048]))

    def test_an_address_that_is_absurd_costs_no_memory(self):
        text = "00000000: 0000  ..\n00000002: 0000  ..\n*\nffffffffffff: 0000  ..\n"
        with pytest.raises(BadImageError, match="the limit is 0x100000"):
            read(text)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("MemTotal:       16316412 kB\nMemFree: 1 kB\n", "/proc/meminfo"),
        ("RANGE  SIZE  STATE REMOVABLE BLOCK\n0x0-0x7 2G online\n", "lsmem"),
        ("Handle 0x1000, DMI type 16, 23 bytes\n", "dmidecode"),
        ("reg00: base=0x000000000 (    0MB), size= 2048MB\n", "/proc/mtrr"),
        ("[ 0.0] MEMBLOCK configuration:\n", "memblock"),
        ("(XEN) Xen version 4.17\n(XEN) Latest ChangeSet:\n", "log of Xen"),
        ("[    5.000000] usb 1-1: new device\n", "kernel log without"),
        ("/dts-v1/;\n/ { };\n", "device tree"),
        ("%PDF-1.4\n", "PDF"),
        ("<html>\n<p>x</p>\n", "web page"),
        ("0xffff888000090000:\t0x0000000000000000\t0x0000000000000000\n", "debugger"),
        ("0000000000090000: 0x00 0x00 0x00 0x00\n", "debugger"),
        ("ffff888000090000:  0000000000000000 0000000000000000   ....\n", "debugger"),
        ("0000000 000000 000003 050000\n", "in octal"),
        ("unsigned char data[] = {\n  0x00, 0x00,\n", "array of C"),
    ],
)
def test_what_is_not_read_is_named_with_what_to_give(text, what):
    with pytest.raises(BadImageError, match=f"{what}.*: give "):
        read(text)


def test_a_block_is_only_a_kernel_log_s():
    with pytest.raises(InputError, match="has no user map: it is no kernel log"):
        read(printers.sysfs_grep(ROWS), block="user")


def test_nothing_but_cut_lines_is_refused_with_their_numbers():
    lines = [line[:28] for line in printers.grub(ROWS).splitlines()]
    with pytest.raises(E820PoolError, match=r"7 lines \(1, 2, 3, 4, 5, 6, 7\)"):
        read("\n".join(lines))
