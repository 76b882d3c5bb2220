"""build: what it prints, and what it refuses without leaving anything behind."""

import json
import sys

import pytest
import rawbytes
from rawhandoff import GIB, MIB, ROWS, map_file

DEPOSIT = ("--deposit", "1G+8K")
KERNEL = rawbytes.bzimage()
# init_size of rawbytes' 6.1 image, from its preferred address on.
WINDOW = (16 * MIB, 16 * MIB + 0x3378000)


@pytest.fixture
def build(refused, machine, out):
    """Return a function that wants a refusal and nothing in the parent folder."""

    def call(code, *words, source=machine):
        message = refused(code, "build", source, "-o", out, *words)
        assert list(out.parent.iterdir()) == []
        return message

    return call


@pytest.fixture
def kernel(tmp_path):
    path = tmp_path / "vmlinuz"
    path.write_bytes(KERNEL)
    return path


def parts_of(done):
    return {one["what"]: (one["addr"], one["size"]) for one in done.json["parts"]}


@pytest.mark.parametrize("text", ["8K$1G,4K$1026M", "memmap=8K$1G,4K@1026M"])
def test_a_list_as_memmap_takes_it_is_several_deposits(ok, machine, out, text):
    ok("build", machine, "-o", out, "--deposit", text)
    told = json.loads((out / "manifest.json").read_text())["deposits"]
    spans = [(one["base_pfn"], one["nr_pages"]) for one in told]
    assert spans == [(0x40000, 2), (0x40200, 1)]


def test_it_says_what_to_place_where_and_what_to_do_next(ok, machine, out):
    done = ok("build", machine, "-o", out, *DEPOSIT)
    first, *table, last = done.out.splitlines()
    assert first == f"{out}: 8 e820 entries; 1 deposit, 2 pages RESERVED"
    assert table[0].split() == ["part", "address", "bytes"]
    assert [line.split()[0] for line in table[1:]] == [
        "boot_params",
        "setup_data",
        "cmdline",
    ]
    assert last == f"next: e820pool check {out} --kernel all"


def test_the_next_command_can_be_copied_whatever_the_folder_is_called(ok, machine, out):
    strange = out.parent / "a b;c"
    done = ok("build", machine, "-o", strange, *DEPOSIT)
    assert f"next: e820pool check '{strange}' --kernel all" in done.out


def test_a_package_that_is_missing_is_no_failure_of_the_laboratory(build, monkeypatch):
    monkeypatch.setitem(sys.modules, "libfdt", None)
    message = build(4, *DEPOSIT, "--encoding", "series-v2")
    assert message == "a device tree needs pylibfdt: pip install pylibfdt"


def test_a_spill_is_said(ok, machine, out):
    words = [
        w for i in range(65) for w in ("--deposit", f"{(8 << 30) + (i << 21):#x}+4K")
    ]
    done = ok("build", machine, "-o", out, *words)
    assert (
        "136 e820 entries, 8 of them in SETUP_E820_EXT; 65 deposits, 65 pages"
        in done.out
    )


def test_the_json_twin_has_its_keys(ok, machine, out):
    told = ok("build", machine, "-o", out, *DEPOSIT, "--format", "json").json
    assert set(told) >= {
        "schema",
        "kind",
        "directory",
        "nr_entries",
        "nr_deposits",
        "nr_deposited_pages",
        "parts",
    }
    assert (told["schema"], told["kind"], told["directory"]) == (
        1,
        "built-handoff",
        str(out),
    )
    assert (told["nr_entries"], told["nr_deposits"], told["nr_deposited_pages"]) == (
        8,
        1,
        2,
    )
    assert told["parts"][0] == {"what": "boot_params", "addr": 0x100000, "size": 4096}


def test_the_directory_has_the_files_of_the_design(ok, machine, out):
    ok("build", machine, "-o", out, *DEPOSIT)
    assert sorted(p.name for p in out.iterdir()) == [
        "boot_params.bin",
        "cmdline.txt",
        "firmware.json",
        "manifest.json",
        "memmap",
        "setup_data-0.bin",
    ]
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["schema"], manifest["kind"]) == (1, "handoff")
    assert manifest["deposits"] == [
        {"base_pfn": 0x40000, "nr_pages": 2, "owner": 0, "firmware_type": 1}
    ]
    assert (out / "memmap/4/type").read_text().strip() == "System RAM"
    assert (out / "memmap/3/type").read_text().strip() == "Reserved"
    assert (out / "memmap/3/start").read_text().strip() == "0x40000000"


def test_an_older_handoff_is_replaced(ok, machine, out):
    ok("build", machine, "-o", out, "--deposit", "1G+8K", "--deposit", "2G+4K")
    ok("build", machine, "-o", out, *DEPOSIT)
    assert len(list((out / "memmap").iterdir())) == 8
    assert [p.name for p in out.parent.iterdir()] == ["out"]


def test_a_refused_build_leaves_the_older_handoff(ok, refused, machine, out):
    ok("build", machine, "-o", out, *DEPOSIT)
    before = (out / "manifest.json").read_bytes()
    refused(3, "build", machine, "-o", out, "--deposit", "0xc0000000+4K")
    assert (out / "manifest.json").read_bytes() == before
    assert [p.name for p in out.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("what", ["file", "folder", "link"])
def test_what_is_no_handoff_is_not_replaced(refused, machine, out, what):
    if what == "file":
        out.write_text("mine")
    elif what == "folder":
        out.mkdir()
        (out / "mine").write_text("mine")
    else:
        out.symlink_to(machine)
    assert "not replaced" in refused(3, "build", machine, "-o", out, *DEPOSIT)
    assert [p.name for p in out.parent.iterdir()] == ["out"]


def test_a_folder_that_cannot_be_made_is_said(refused, machine, tmp_path):
    missing = tmp_path / "no" / "out"
    assert "make it first" in refused(3, "build", machine, "-o", missing, *DEPOSIT)
    below = machine / "out"
    assert "not a directory" in refused(3, "build", machine, "-o", below, *DEPOSIT)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["machine.json"]


@pytest.mark.parametrize(
    ("ranges", "shown"),
    [
        (
            ["1G+8K", "0x40001000+4K"],
            ["0x40000000-0x40001fff", "0x40001000-0x40001fff"],
        ),
        (["1G+8K", "1G+8K"], ["overlap", "0x40000000-0x40001fff"]),
        (["0x40000800+4K"], ["0x40000800", "0x400017ff", "0x1000"]),
        (["0x40000000-0x40001000"], ["0x40000000-0x40000fff", "0x1000"]),
        (["1G+100"], ["0x40000063", "0x1000"]),
        (["0x1000+4K"], ["0x1000-0x1fff", "below 0x100000"]),
        (["0xff000+8K"], ["0xff000-0x100fff", "below 0x100000"]),
        (
            ["0xfed00000+4K"],
            ["0xfed00000-0xfed00fff", "0xfec00000-0xffffffff", "is reserved"],
        ),
        (
            ["0xbfffe000+12K"],
            ["0xbfffe000-0xc0000fff", "0xc0000000-0xc000ffff", "is ACPI data"],
        ),
        (["0xd0000000+4K"], ["0xd0000000-0xd0000fff", "not whole pages of RAM"]),
        (["1T+4K"], ["0x10000000000-0x10000000fff"]),
        (["0xfffffffffffff000+4K"], ["0x10000000000000000", "too high"]),
        (["1G+0"], ["[0x40000000, 0x40000000)", "empty"]),
        (["2G-1G"], ["[0x80000000, 0x40000001)", "empty"]),
        (["1G"], ["'1G'", "START-END (END inclusive), START+SIZE"]),
        (["1G+-4K"], ["'-4K'"]),
        (["+"], ["'+'"]),
        ([""], ["''"]),
        (["1G+4X"], ["'4X'"]),
        (["1G+" + "9" * 5000], ["is not a size"]),
        (["1G+99999999999T"], ["limit is 0xffffffffffffffff"]),
        (["1G+4K\nx"], ["'4K\\nx'"]),
        (["@"], ["'@'"]),
    ],
)
def test_a_bad_deposit_shows_itself_and_the_limit(build, ranges, shown):
    message = build(3, *(word for text in ranges for word in ("--deposit", text)))
    for text in shown:
        assert text in message


def deposit_file(**more):
    one = {"base_pfn": 0x40000, "nr_pages": 1} | more
    return json.dumps({"schema": 1, "deposits": [one]}).encode()


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (None, "cannot read"),
        (b"", "is empty"),
        (b"# nothing\n", "names 0 deposits"),
        (b"1G+4K\nrubbish\n", "line 2: 'rubbish'"),
        (b"1G+5\n", "line 1: range '1G+5' is [mem 0x40000000-0x40000004]"),
        (b"\x00\xff\x00\x01" * 40, "deposits"),
        (b'{"schema": 1, "kind": "deposits"}', "deposits is missing"),
        (b'{"schema": 2, "kind": "deposits", "deposits": []}', "schema 0x2"),
        (b'{"schema": 1, "deposits": [[1]]}', "deposits[0] is [1]: want an object"),
        (
            b'{"schema": 1, "deposits": [[1, -1]]}',
            "nr_pages is -1: want a whole number >= 0",
        ),
        (b'{"schema": 1, "deposits": [[1, 0]]}', "[0x1, 0x1) is empty"),
        (b'{"schema": 1, "deposits": [[1, 1.5]]}', "1.5: want a whole number"),
        (b'{"schema": 1, "deposits": [[1, 1' + b"0" * 5000 + b"]]}", "5001 digits"),
        (
            deposit_file(firmware_type=5),
            "said to be unusable to the firmware",
        ),
        (
            deposit_file(owner=1 << 64),
            "0x10000000000000000 is beyond the limit 0xffffffffffffffff",
        ),
        (b"[" * 100000, "nested too deeply"),
        (b"{" * 100000, "not JSON"),
    ],
)
def test_a_bad_file_of_deposits_shows_itself(build, tmp_path, content, shown):
    path = tmp_path / "deposits"
    if content is not None:
        path.write_bytes(content)
    assert shown in build(3, "--deposit", f"@{path}")


def test_a_directory_is_no_file_of_deposits(build, tmp_path):
    assert "is a directory" in build(3, "--deposit", f"@{tmp_path}")
    assert "not a directory" in build(3, "--deposit", f"@{tmp_path}/machine.json/x")


def test_a_command_line_of_2047_bytes_fits(ok, machine, out):
    ok("build", machine, "-o", out, *DEPOSIT, "--cmdline", "a" * 2047)
    assert (out / "cmdline.txt").read_bytes() == b"a" * 2047
    ok("check", out, "--kernel", "6.1")


def test_a_command_line_of_2048_bytes_does_not_fit(build):
    assert "2048 bytes does not fit: the kernel reads 2047" in build(
        1, *DEPOSIT, "--cmdline", "a" * 2048
    )


def test_a_kernel_may_allow_a_shorter_line(build, ok, machine, out, tmp_path):
    image = tmp_path / "vmlinuz"
    image.write_bytes(rawbytes.bzimage(cmdline_size=255))
    words = (*DEPOSIT, "--kernel", image, "--cmdline")
    assert "256 bytes does not fit: the kernel reads 255" in build(1, *words, "a" * 256)
    ok("build", machine, "-o", out, *words, "a" * 255)


@pytest.mark.parametrize(
    ("line", "shown"),
    [("a\0b", "NUL at 1"), ("quiet \N{SNOWMAN}", "at 6: the limit is Latin-1")],
)
def test_a_command_line_that_no_kernel_can_get_is_refused(build, line, shown):
    assert shown in build(3, *DEPOSIT, "--cmdline", line)


def test_more_entries_than_any_kernel_holds_do_not_fit(build, tmp_path):
    path = tmp_path / "deposits.txt"
    lines = [f"{(8 << 30) + (i << 13):#x}+4K" for i in range(1598)]
    path.write_text("\n".join(lines), encoding="utf-8")
    message = build(1, "--deposit", f"@{path}")
    assert "3202 entries do not fit: the limit is 3200" in message
    assert "entry 3200 at 0x" in message


def test_3200_entries_fit(ok, machine, out, tmp_path):
    path = tmp_path / "deposits.txt"
    lines = [f"{(8 << 30) + (i << 13):#x}+4K" for i in range(1597)]
    path.write_text("\n".join(lines), encoding="utf-8")
    ok("build", machine, "-o", out, "--deposit", f"@{path}")
    told = ok("rebuild", out, "--format", "json").json
    assert len(told["extents"]) == 1597


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_a_limit_that_nothing_can_meet_is_refused(build, limit):
    assert f"8 entries do not fit: the limit is {limit}" in build(
        1, *DEPOSIT, "--max-entries", limit
    )


def test_a_limit_that_is_met_changes_nothing(ok, machine, out):
    done = ok("build", machine, "-o", out, *DEPOSIT, "--max-entries", 8)
    assert "8 e820 entries; 1 deposit" in done.out


def test_an_unknown_encoding_lists_the_known_ones(build):
    assert "encoding 'magic' is not one of: guarded, split" in build(
        3, *DEPOSIT, "--encoding", "magic"
    )


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        (
            "boot_params=1G",
            "boot_params at [mem 0x40000000-0x40000fff] covers deposited",
        ),
        (
            "boot_params=0x3ffff001",
            "covers deposited bytes [mem 0x40000000-0x40000000]",
        ),
        ("cmdline=0x40001fff", "covers deposited bytes [mem 0x40001fff-0x40001fff]"),
        ("cmdline=0x3ffff900", "[mem 0x3ffff900-0x400000ff] covers deposited"),
        ("setup_data-0=0x3fffffff", "covers deposited bytes [mem 0x40000000-"),
        ("boot_params=0xbffff001", "is not RAM in [mem 0xc0000000-0xc0000000]"),
        ("boot_params=0xfed00000", "is not RAM"),
        ("boot_params=0x10000", "lies below 0x100000"),
        ("boot_params=0", "lies below 0x100000"),
        ("boot_params=0xfffff", "lies below 0x100000"),
        ("boot_params=4G", "[mem 0x100000000-0x100000fff]: the boot protocol's limit"),
        ("cmdline=0xfffffffffffffff0", "limit is 0x100000000"),
        ("setup_data-1=2G", "no part is called 'setup_data-1' (wanted at 0x80000000)"),
        ("initrd=2G", "no part is called 'initrd'"),
        ("pool=2G", "no part is called 'pool'"),
        ("kernel=2G", "kernel address 0x80000000 without a kernel"),
    ],
)
def test_a_part_is_not_put_where_it_cannot_lie(build, place, shown):
    assert shown in build(3, *DEPOSIT, "--place", place)


def test_two_parts_do_not_share_a_byte(build):
    message = build(
        3, *DEPOSIT, "--place", "boot_params=2G", "--place", "cmdline=0x80000fff"
    )
    assert "cmdline at [mem 0x80000fff-0x800017fe] overlaps boot_params" in message


def test_parts_lie_where_they_are_wanted(ok, machine, out):
    wanted = {
        "boot_params": 2 * GIB,
        "cmdline": 2 * GIB + 4096,
        "setup_data-0": 3 * MIB,
    }
    places = [w for k, v in wanted.items() for w in ("--place", f"{k}={v:#x}")]
    done = ok("build", machine, "-o", out, *DEPOSIT, *places, "--format", "json")
    found = {what: addr for what, (addr, _) in parts_of(done).items()}
    assert found == {
        "boot_params": 2 * GIB,
        "cmdline": 2 * GIB + 4096,
        "setup_data": 3 * MIB,
    }
    ok("rebuild", out)


@pytest.mark.parametrize(
    "value", ["boot_params", "=1G", "boot_params=", "boot_params=x", ""]
)
def test_a_place_that_is_none_is_a_usage_error(build, value):
    assert "argument --place" in build(2, *DEPOSIT, "--place", value)


@pytest.mark.parametrize(
    ("option", "value", "shown"),
    [
        ("--owner", "-1", "-0x1 is outside the limits 0x0 to 0xffffffffffffffff"),
        ("--owner", "0x10000000000000000", "0x10000000000000000 is outside"),
        ("--owner", "9" * 5000, "99999... is outside"),
        ("--owner", "x", "'x' is no whole number"),
        ("--owner", "", "'' is no whole number"),
        ("--max-entries", "-1", "-0x1 is outside"),
        ("--max-entries", "1.5", "'1.5' is no whole number"),
        ("--generation", "-1", "-0x1 is outside"),
        ("--generation", str(1 << 64), "0x10000000000000000 is outside"),
    ],
)
def test_numbers_have_limits(build, option, value, shown):
    assert shown in build(2, *DEPOSIT, f"{option}={value}")


def test_the_largest_numbers_fit(ok, machine, out):
    top = (1 << 64) - 1
    ok("build", machine, "-o", out, *DEPOSIT, "--owner", top, "--generation", top)
    told = ok("rebuild", out, "--format", "json").json
    assert (told["generation"], told["deposits"][0]["owner"]) == (top, top)


def test_a_kernel_is_placed_and_its_header_copied(ok, machine, out, kernel):
    done = ok(
        "build", machine, "-o", out, *DEPOSIT, "--kernel", kernel, "--format", "json"
    )
    assert parts_of(done)["kernel window"] == (WINDOW[0], WINDOW[1] - WINDOW[0])
    page = (out / "boot_params.bin").read_bytes()
    header = page[0x1F1:0x26C]
    ours = {"setup_data", "cmd_line_ptr", "type_of_loader", "code32_start"}
    theirs = dict(_fields(KERNEL[0x1F1:0x26C]))
    for name, value in _fields(header):
        assert name in ours or value == theirs[name], name
    assert dict(_fields(header))["code32_start"] == WINDOW[0]


def _fields(header):
    import struct

    values = struct.unpack_from(rawbytes.SETUP_HEADER, header)
    return zip(rawbytes.SETUP_HEADER_NAMES, values, strict=True)


@pytest.mark.parametrize("text", ["16M+4K", "0x4377000+4K", "32M+1M"])
def test_a_kernel_moves_out_of_the_way_of_deposits(ok, machine, out, kernel, text):
    done = ok(
        "build",
        machine,
        "-o",
        out,
        "--deposit",
        text,
        "--kernel",
        kernel,
        "--format",
        "json",
    )
    start, _ = parts_of(done)["kernel window"]
    assert start > WINDOW[0]
    assert start % 0x200000 == 0
    ok("check", out, "--kernel", kernel)


@pytest.mark.parametrize("text", ["16M+4K", "0x4377000+4K"])
def test_a_deposit_under_the_wanted_window_is_refused(build, kernel, text):
    message = build(3, "--deposit", text, "--kernel", kernel, "--place", "kernel=16M")
    assert (
        "the kernel window [P, P + init_size) at [mem 0x1000000-0x4377fff]" in message
    )
    assert "covers deposited bytes" in message


def test_a_deposit_behind_the_window_is_none_under_it(ok, machine, out, kernel):
    ok(
        "build",
        machine,
        "-o",
        out,
        "--deposit",
        "0x4378000+4K",
        "--kernel",
        kernel,
        "--place",
        "kernel=16M",
    )


def test_a_kernel_that_cannot_move_is_refused_over_a_deposit(build, tmp_path):
    image = tmp_path / "vmlinuz"
    image.write_bytes(rawbytes.bzimage(relocatable_kernel=0))
    message = build(3, "--deposit", "17M+4K", "--kernel", image)
    assert "covers deposited bytes [mem 0x1100000-0x1100fff]" in message


def test_a_kernel_is_loaded_where_it_will_run(build, kernel):
    message = build(3, *DEPOSIT, "--kernel", kernel, "--place", "kernel=0x1234000")
    assert "loaded at 0x1234000 would run at 0x1400000" in message
    assert "0x200000" in message


def test_a_kernel_without_room_does_not_fit(build, tmp_path, kernel):
    small = map_file(
        tmp_path / "small.json", [(0, 0x9F000, 1), (0x100000, 32 * MIB, 1)]
    )
    message = build(1, "--deposit", "2M+4K", "--kernel", kernel, source=small)
    assert "no place for the kernel window" in message
    assert "0x3378000 bytes" in message


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (None, "cannot read"),
        (b"", "is empty"),
        (b"\x7fELF" + bytes(4096), "this is no bzImage but an ELF file: of a vmlinux"),
        (KERNEL[:600], "is cut"),
        (KERNEL[:-1], "is cut: its payload ends"),
        (rawbytes.bzimage(header=0x1234), "0x00001234 at 0x202"),
        (rawbytes.bzimage(version=0x0209), "does not say its init_size"),
        (rawbytes.bzimage(init_size=0), "does not say its init_size"),
        (rawbytes.bzimage(loadflags=0), "without LOADED_HIGH"),
        (
            rawbytes.bzimage(pref_address=1 << 63, relocatable_kernel=0),
            "limit is 0x100000000",
        ),
    ],
)
def test_what_is_no_kernel_is_bad_input(build, tmp_path, content, shown):
    image = tmp_path / "vmlinuz"
    if content is not None:
        image.write_bytes(content)
    assert shown in build(3, *DEPOSIT, "--kernel", image)


@pytest.mark.parametrize(
    "header",
    [
        {"init_size": 0xFFFFFFFF},
        {"pref_address": 1 << 63},
        {"pref_address": (1 << 64) - 0x200000},
        {
            "kernel_alignment": 0x80000000,
            "pref_address": 0x1000000,
            "init_size": 3 << 30,
        },
    ],
)
def test_a_kernel_with_absurd_wishes_does_not_fit(build, tmp_path, header):
    image = tmp_path / "vmlinuz"
    image.write_bytes(rawbytes.bzimage(**header))
    assert "no place for the kernel window" in build(1, *DEPOSIT, "--kernel", image)


def test_an_alignment_of_zero_is_no_division(ok, machine, out, tmp_path):
    image = tmp_path / "vmlinuz"
    image.write_bytes(rawbytes.bzimage(kernel_alignment=0))
    ok("build", machine, "-o", out, "--deposit", "17M+4K", "--kernel", image)


def test_a_directory_is_no_kernel(build, tmp_path):
    assert "is a directory" in build(3, *DEPOSIT, "--kernel", tmp_path)


def test_an_initrd_is_placed_below_what_the_kernel_reads(
    ok, machine, out, tmp_path, kernel
):
    initrd = tmp_path / "initrd"
    initrd.write_bytes(bytes(5000))
    words = (
        "build",
        machine,
        "-o",
        out,
        *DEPOSIT,
        "--initrd",
        initrd,
        "--format",
        "json",
    )
    assert parts_of(ok(*words))["initrd"][1] == 5000
    found = parts_of(ok(*words, "--kernel", kernel, "--place", "initrd=0x7fffd000"))
    assert found["initrd"] == (0x7FFFD000, 5000)


def test_an_initrd_above_what_the_kernel_reads_is_refused(build, tmp_path, kernel):
    initrd = tmp_path / "initrd"
    initrd.write_bytes(bytes(5000))
    words = (*DEPOSIT, "--initrd", initrd, "--kernel", kernel)
    message = build(3, *words, "--place", "initrd=0x7ffff000")
    assert "[mem 0x7ffff000-0x80000387]" in message
    assert "limit is 0x80000000" in message


def test_what_is_no_initrd_is_bad_input(build, tmp_path):
    empty = tmp_path / "empty"
    empty.touch()
    assert "0x0 bytes" in build(3, *DEPOSIT, "--initrd", empty)
    assert "no file with content" in build(3, *DEPOSIT, "--initrd", tmp_path)
    assert "no such file" in build(3, *DEPOSIT, "--initrd", tmp_path / "no")


def test_an_initrd_larger_than_memory_does_not_fit(build, tmp_path):
    initrd = tmp_path / "initrd"
    with initrd.open("wb") as stream:
        stream.truncate(1 << 42)
    assert "no place for initrd: 0x40000000000 bytes" in build(
        1, *DEPOSIT, "--initrd", initrd
    )


@pytest.mark.parametrize(
    ("rows", "code", "shown"),
    [
        (
            [(0x100000, 32 * MIB, 1)],
            3,
            "has 1 entry: kernels before 7.1 refuse fewer than 2",
        ),
        ([(0, 4096, 1), (0x100000, MIB, 128)], 3, "entry 1 at 0x100000 has type 128"),
        ([(0, 4096, 1), (0x100000, (1 << 64) - 0x100000, 1)], 3, "0x100000"),
        ([(0, 0x9F000, 1), (0xC0000000, MIB, 2)], 1, "no place for boot_params"),
    ],
)
def test_a_map_that_kernels_would_misread_is_not_handed_on(
    build, tmp_path, rows, code, shown
):
    assert shown in build(code, source=map_file(tmp_path / "odd.json", rows))


def test_overlapping_firmware_entries_become_disjoint(run, out, tmp_path):
    rows = [*ROWS, (0x80000000, MIB, 2), (0x80000000 - MIB, 2 * MIB, 4)]
    done = run("build", map_file(tmp_path / "odd.json", rows), "-o", out, *DEPOSIT)
    assert done.code == 0
    assert "note: " in done.err
    assert run("check", out).code == 0


def test_quiet_hides_notes(run, out, tmp_path):
    rows = [*ROWS, (0x80000000, MIB, 2)]
    source = map_file(tmp_path / "odd.json", rows)
    assert run("build", source, "-o", out, *DEPOSIT, "-q").err == ""


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("split", "512 pages RESERVED\n"),
        ("overlaid", "512 pages RESERVED\n"),
        ("hole", "512 pages, 0 of them RESERVED\n"),
        ("memmap-list", "512 pages, 0 of them RESERVED\n"),
    ],
)
def test_only_what_is_reserved_is_called_so(encoding, told, run, machine, out):
    words = ("--deposit", "64M+2M", "--encoding", encoding)
    assert told in run("build", machine, *words, "-o", out).out


def test_a_handoff_with_a_part_that_its_manifest_does_not_name_stays(
    ok, refused, machine, out
):
    words = ("build", machine, "--deposit", "1G+2M", "-o", out)
    ok(*words)
    (out / "setup_data-7.bin").write_text("mine")
    assert "is a directory of something else" in refused(3, *words)
    assert (out / "setup_data-7.bin").read_text() == "mine"


def test_a_folder_with_a_manifest_of_something_else_stays(refused, machine, out):
    """`build -o .` in a browser extension's checkout took it, .git with it."""
    git, manifest = out / ".git", out / "manifest.json"
    git.mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main")
    manifest.write_text('{"manifest_version": 3}')
    words = ("build", machine, "-o", out, *DEPOSIT)
    assert "has '.git/HEAD', which is not of e820pool" in refused(3, *words)
    (git / "HEAD").unlink()
    git.rmdir()
    assert "is a directory of something else: not replaced" in refused(3, *words)
    assert manifest.read_text() == '{"manifest_version": 3}'


def test_a_file_of_the_user_beside_a_handoff_stays(refused, ok, machine, out):
    words = ("build", machine, "-o", out, *DEPOSIT)
    ok(*words)
    ok(*words)
    (out / "notes.txt").write_text("mine")
    assert "has 'notes.txt', which is not of e820pool" in refused(3, *words)
    assert (out / "notes.txt").read_text() == "mine"
