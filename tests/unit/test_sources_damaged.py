"""Texts that were damaged in a place where nothing else shows it, kind by kind."""

import base64
import io
import json
import quopri

import printers
import pytest

from e820pool.errors import BadImageError, InputError
from e820pool.sources.deposits_file import read_deposits
from e820pool.sources.recognise import read_map

ROWS = [
    *((0x0, 0x9E800, 1), (0x9E800, 0x1800, 2), (0x100000, 0x7D5F0000, 1)),
    *((0x7D6F0000, 0x8000, 3), (0xE0000000, 0x10000000, 2)),
    (0x100000000, 0x33E000000, 1),
]
WORDS = {1: "usable", 2: "reserved", 3: "ACPI data"}
LINES = [
    "BIOS-provided physical RAM map:",
    *(f"BIOS-e820: [mem {a:#018x}-{a + s - 1:#018x}] {WORDS[t]}" for a, s, t in ROWS),
    "NX (Execute Disable) protection: active",
]


def read(text):
    return read_map("-", stdin=io.BytesIO(text.encode()))


def ids(found):
    return {note.id for note in found.notes}


def records(key="log", **other):
    return [json.dumps({key: line, **other}) + "\n" for line in LINES]


# The fourth line takes these in its place.
DAMAGED_JSON = {
    "a quote is lost": lambda line: line.replace('",', ",", 1),
    "a record is broken in two": lambda line: line.replace("] ", "]\n", 1),
    "a plain line stands between": lambda line: f"-- no entries --\n{line}",
    "a plain line takes its place": lambda _: f"{LINES[3]}\n",
    "a key is another": lambda line: line.replace('"log"', '"logs"'),
}


@pytest.mark.parametrize("kind", DAMAGED_JSON)
def test_a_json_log_loses_no_record_that_is_damaged(kind):
    lines = records(stream="stdout")
    lines[3] = DAMAGED_JSON[kind](lines[3])
    found = read("".join(lines))
    assert found.rows() == ROWS
    assert not ids(found) & {"unknown-words", "line-cut"}


def test_a_json_log_of_which_most_is_damaged_is_read_to_its_end():
    broken = [line.replace('{"log"', '{"log') for line in records() for _ in range(20)]
    text = "".join([*records()[:1], *broken[20:], *records()[1:]])
    found = read(text)
    assert {row for row in found.rows() if row[2] != 0xFFFFFFFE} == set(ROWS)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"log_tail": "\n".join(LINES)}),
        json.dumps({"status": 200, "result": {"console_log": "\n".join(LINES)}}),
        json.dumps({"message": "console of i-0f", "boot": "\r\n".join(LINES)}),
        json.dumps([{"level": "info", "kmsg": line} for line in LINES]),
    ],
)
def test_a_log_under_a_key_that_is_not_known_is_read(text):
    assert read(text).rows() == ROWS


@pytest.mark.parametrize("mark", ["{noformat}", "{code:java}", "{{{", "[code]"])
def test_a_log_after_a_mark_of_a_wiki_is_no_json(mark):
    text = "".join(f"{line}\n" for line in [mark, *LINES, mark])
    assert read(text).rows() == ROWS


def test_json_that_holds_no_log_is_still_refused_as_json():
    with pytest.raises(BadImageError, match="schema"):
        read(json.dumps({"kind": "memory-map", "entries": [[0, 4096, 1]]}))


# Every line of a map broken so that none looks as a kernel printed it.
BROKEN = {
    "after the name": [line.replace(": [", ":\n[") for line in LINES],
    "a journal at 72": [
        part
        for line in LINES
        for part in f"Mar 03 09:11:02 host kernel: {line}".replace(
            "provided ", "provided\n"
        )
        .replace(": [mem", ":\n[mem")
        .split("\n")
    ],
    "hard blanks of markup": [line.replace(" ", "&nbsp;") for line in LINES],
    "coded blanks": [
        quopri.encodestring(line.encode(), quotetabs=True).decode() for line in LINES
    ],
    "coded brackets": [
        line.replace("[", "=5B").replace("]", "=5D").replace(":", "=3A")
        for line in LINES
    ],
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("before", ["", "> "])
def test_a_map_of_which_no_line_is_whole_is_read(kind, before):
    text = "".join(f"{before}{line}\n" for line in BROKEN[kind])
    assert read(text).rows() == ROWS


def test_a_coded_blank_at_the_end_of_an_option_stays():
    text = "".join(f"{line}\n" for line in [*LINES, "Command line: nr_cpus=20 ro"])
    assert read(text).rows() == ROWS
    assert "decorated" not in ids(read(text))


WIDE = ("xen", "xen before 4.13", "suse", "kexec table", "kexec ranges")
WIDE += ("kernel's kexec", "memmap script", "uefi shell", "grub efi", "freebsd")


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("row", [0, 2, -1])
@pytest.mark.parametrize("at", [-24, -12, -4])
def test_an_entry_with_a_damaged_number_is_counted_in_every_form(name, row, at):
    write, rows = printers.FORMS[name]
    lines = write(rows).splitlines()
    addr = rows[row][0]
    number = next(at for at, line in enumerate(lines) if f"{addr:016x}" in line.lower())
    begin = lines[number].lower().rindex(f"{addr:016x}")
    place = begin + 16 + at // 2
    lines[number] = lines[number][:place] + "x" + lines[number][place + 1 :]
    text = "".join(f"{line}\n" for line in lines)
    found = read(text)
    assert len(found) == len(rows) - 1
    with pytest.raises(InputError, match=rf"1 line \({number + 1}\)"):
        found.validate_whole()


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("ACPI Tables", "ACPI Table=s"),
        ("6ffdf000-6ffdffff : ", "6ffdf000-6ff:ffff : "),
        ("/proc/iomem:6ffdf000", "/proc/iomem6ffdf000"),
        (" : ACPI", "   ACPI"),
        ("System RAM", "Sys1em RAM"),
        ("Reserved", "reservd"),
        ("Reserved", "Reserv"),
        ("System RAM", "Sy\ntem RAM"),
        ("-6ffdefff :", "-6ffdefffZ :"),
    ],
)
def test_a_line_of_iomem_with_a_damaged_letter_is_counted(good, bad):
    whole = (
        "/proc/iomem:00000000-0009ffff : System RAM\n"
        "/proc/iomem:000f0000-000fffff : System ROM\n"
        "/proc/iomem:00100000-6ffdefff : Reserved\n"
        "/proc/iomem:6ffdf000-6ffdffff : ACPI Tables\n"
        "/proc/iomem:fec00000-fec003ff : IOAPIC 0\n"
        "/proc/iomem:100000000-17fffffff : System RAM\n"
    )
    assert not ids(read(whole)) & {"line-cut"}
    found = read(whole.replace(good, bad, 1))
    assert "line-cut" in ids(found), found.rows()


def test_a_line_of_a_deposits_file_is_shown_without_control_characters(tmp_path):
    path = tmp_path / "deposits.csv"
    path.write_text("star\x1b[1mt,size,owner\n1,2,3\n")
    with pytest.raises(BadImageError) as caught:
        read_deposits(path)
    assert str(caught.value).isprintable()


XEN_BEFORE = ["Command line: placeholder dom0_mem=4G", "Disc information:"]
XEN_AFTER = [
    "System RAM: 15314MB (15681792kB)",
    "SRAT: PXM 0 -> APIC 00 -> Node 0",
    "SRAT: Node 0 PXM 0 [0000000000000000, 000000000009ffff]",
    "SRAT: Node 0 PXM 0 [0000000100000000, 000000043dffffff]",
    " Dom0 alloc.:   0000000428000000->0000000430000000 (1011712 pages)",
    " Init. ramdisk: 000000043b4e6000->000000043dfff5d1",
    " Loaded kernel: ffffffff81000000->ffffffff83a00000",
]


@pytest.mark.parametrize("before", ["(XEN) ", "(XEN) [0000003421fa9b01] ", "> (XEN) "])
@pytest.mark.parametrize("write", [printers.xen_new, printers.xen_old])
def test_what_xen_prints_of_nodes_and_of_dom0_is_no_entry(write, before):
    text = "".join(f"{before}{line}\n" for line in XEN_BEFORE)
    text += write(printers.ROWS, before=before)
    text += "".join(f"{before}{line}\n" for line in XEN_AFTER)
    found = read(text)
    assert found.rows() == list(printers.ROWS)
    assert "line-cut" not in ids(found)


def test_records_whose_time_stands_around_them_are_turned_round():
    records_ = [
        {"timestamp": f"2026-03-03T09:11:{at:02d}Z", "jsonPayload": {"message": line}}
        for at, line in enumerate(LINES)
    ]
    assert read(json.dumps(records_[::-1])).rows() == ROWS
    streams = [[str(10**18 + at), line] for at, line in enumerate(LINES)]
    assert read(json.dumps({"values": streams[::-1]})).rows() == ROWS


@pytest.mark.parametrize("where", ["before", "behind"])
def test_a_log_beside_a_hole_of_a_file_is_a_text(where):
    text = "".join(f"{line}\n" for line in LINES)
    hole = "\0" * 700
    assert read(hole + text if where == "before" else text + hole).rows() == ROWS


@pytest.mark.parametrize(
    "line",
    [
        "\x1b[35m\x1b[K{at}/{key}\x1b[m\x1b[K\x1b[36m\x1b[K:\x1b[m\x1b[K{value}",
        "{at}/{key} {value}",
        "{at}/{key} = {value}",
        "/sys/firmware/memmap/{at}/{key}\t{value}",
        '/sys/firmware/memmap/{at}/{key}: "{value}"',
        "<b>{at}</b>/{key}:&nbsp;{value}",
    ],
)
def test_memmap_as_somebody_s_own_script_prints_it_is_read(line):
    words = {1: "System RAM", 2: "Reserved", 3: "ACPI Tables"}
    text = "".join(
        line.format(at=at, key=key, value=value) + "\n"
        for at, (a, s, t) in enumerate(ROWS)
        for key, value in (
            ("start", hex(a)),
            ("end", hex(a + s - 1)),
            ("type", words[t]),
        )
    )
    assert read(text).rows() == ROWS


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"]\0\0\x80\0" + bytes(range(64)), "unlzma"),
        (base64.encodebytes(("x" * 400).encode()), "base64"),
        (b"0x0 0x9fbff System RAM\n0x100000 0x1fffff Reserved\n", "memmap"),
        (b"0x0-0x9fbff (System RAM)\n", "memmap"),
    ],
)
def test_what_is_not_read_is_refused_with_what_to_give(data, message):
    with pytest.raises(BadImageError, match=message):
        read_map("-", stdin=io.BytesIO(data))


@pytest.mark.parametrize("between", ["\n", "\n(XEN) ", " \n"])
def test_an_entry_of_xen_without_its_comma_is_counted(between):
    # Found by mutation: a line end in place of the comma.
    text = printers.xen_new(printers.ROWS)
    at = text.rindex(", 0000")
    found = read(text[:at] + between + text[at + 1 :])
    assert found.rows() == list(printers.ROWS[:-1])
    assert "line-cut" in ids(found)
