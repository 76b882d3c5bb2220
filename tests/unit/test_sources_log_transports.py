"""Logs as mail, consoles, browsers and log shippers leave them, kind by kind."""

import io
import json

import pytest

from e820pool.deposits import DepositLedger
from e820pool.documents import document_text
from e820pool.errors import BadImageError, InputError
from e820pool.sources.log_text import encoding_of, messages_of_json
from e820pool.sources.map_json import MemoryMapDocument
from e820pool.sources.recognise import read_map

ROWS = [
    *((0x0, 0x9F800, 1), (0x9F800, 0x800, 2), (0x100000, 0x5FE00000, 1)),
    *(
        (0x5FF00000, 0x100000, 4),
        (0x6000_0000, 0x10000, 3),
        (0x1_0000_0000, 1 << 30, 1),
    ),
]
WORDS = {1: "usable", 2: "reserved", 3: "ACPI data", 4: "ACPI NVS"}
LINES = [
    "BIOS-provided physical RAM map:",
    *(
        f"BIOS-e820: [mem {addr:#018x}-{addr + size - 1:#018x}] {WORDS[kind]}"
        for addr, size, kind in ROWS
    ),
    "NX (Execute Disable) protection: active",
]
TEXT = "".join(f"{line}\n" for line in LINES)


def read(text, **options):
    data = text if isinstance(text, bytes) else text.encode()
    return read_map("-", stdin=io.BytesIO(data), **options)


def ids(found):
    return {note.id for note in found.notes}


def message(found, id_):
    return next(note.message for note in found.notes if note.id == id_)


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_wide_text_reads_with_a_mark_and_without(encoding, end):
    data = TEXT.replace("\n", end).encode(encoding)
    assert read(data).rows() == ROWS


def test_wide_text_of_a_zero_page_s_length_is_a_text():
    data = TEXT.encode("utf-16-le")
    data += "\n".encode("utf-16-le") * ((4096 - len(data)) // 2)
    assert len(data) == 4096
    assert read(data).rows() == ROWS


def test_a_zero_page_is_no_wide_text():
    assert encoding_of(bytes(4096)) == "utf-8-sig"
    assert encoding_of(b"\x01\0\0\0" * 1024) != "utf-16-le"


JOURNAL = [{"__CURSOR": "s=1", "PRIORITY": "6", "MESSAGE": line} for line in LINES]
JSON_LOGS = {
    "journal": "".join(f"{json.dumps(one)}\n" for one in JOURNAL),
    "journal, pretty": "".join(f"{json.dumps(one, indent=8)}\n" for one in JOURNAL),
    "journal, sse": "".join(f"data: {json.dumps(one)}\n\n" for one in JOURNAL),
    "journal, seq": "".join(f"\x1e{json.dumps(one)}\n" for one in JOURNAL),
    "journal, bytes": "".join(
        f"{json.dumps({'MESSAGE': list(line.encode())})}\n" for line in LINES
    ),
    "dmesg -J": json.dumps(
        {"dmesg": [{"pri": 6, "time": 0.0, "msg": line} for line in LINES]}, indent=3
    ),
    "container": "".join(
        json.dumps({"log": f"{line}\n", "stream": "stdout", "time": "2026-01-02T03Z"})
        + "\n"
        for line in LINES
    ),
    "cloud": json.dumps([{"insertId": "x", "textPayload": line} for line in LINES]),
    "cloud, nested": json.dumps(
        {"entries": [{"jsonPayload": {"message": line}} for line in LINES]}
    ),
    "events": json.dumps(
        {"events": [{"timestamp": 1, "message": line} for line in LINES]}
    ),
    "console output": json.dumps(
        {"InstanceId": "i", "Output": TEXT.replace("\n", "\r\n")}
    ),
    "two keys": "".join(
        json.dumps({"message": line, "event": {"original": line}}) + "\n"
        for line in LINES
    ),
    "stream values": json.dumps(
        {"data": {"result": [{"values": [["17", line] for line in LINES]}]}}
    ),
}


@pytest.mark.parametrize("name", JSON_LOGS)
def test_a_json_log_gives_its_messages(name):
    found = read(JSON_LOGS[name])
    assert found.rows() == ROWS
    assert not ids(found) & {"no-headline", "several-boots", "end-unseen"}


def test_records_that_come_newest_first_are_turned_round():
    records = [
        {"timestamp": f"2026-01-02T03:04:{at:02}Z", "textPayload": line}
        for at, line in enumerate(LINES)
    ]
    found = read(json.dumps(records[::-1]))
    assert found.rows() == ROWS
    assert not ids(found) & {"no-headline", "out-of-order"}


def test_a_line_number_is_that_of_the_record():
    text = JSON_LOGS["journal"].replace("5fe00000", "")
    records = text.splitlines()
    records[3] = records[3].replace("] usable", "")
    assert "line 4" in message(read("\n".join(records)), "line-cut")


def test_a_json_log_that_is_cut_gives_what_it_has():
    cut = JSON_LOGS["journal"][:-30]
    assert read(cut).rows() == ROWS
    lines = JSON_LOGS["journal"].splitlines()
    lines[0] = lines[0][30:]
    assert read("\n".join(lines)).rows() == ROWS


def test_a_document_of_ours_is_no_log():
    assert messages_of_json('{"schema": 1, "message": "x"}') == []
    assert messages_of_json("no JSON") == []


def test_many_broken_records_take_no_time():
    assert messages_of_json('{"a": [\n' * 100_000) == []


@pytest.mark.parametrize(
    "between",
    [" ", "", "<br>", "<br />\n", "</p>\n<p>", "\r", "\\n", "\\r\\n", "\\\\n", "#012"],
)
@pytest.mark.parametrize(
    "before", ["", "[    0.000000] ", "Jan  2 03:04:05 h kernel: "]
)
def test_several_entries_on_a_line_are_several(between, before):
    found = read(between.join(before + line for line in LINES) + "\n")
    assert found.rows() == ROWS
    assert not ids(found) & {"end-unseen", "no-headline"}


def test_markup_is_no_part_of_a_line():
    text = "".join(
        f'<span class="x">[    0.0]</span> <b>{line}</b>\n'.replace("-0x", "&#45;0x")
        for line in LINES
    )
    assert read(text).rows() == ROWS


@pytest.mark.parametrize("code", ["\x1b[33m", "\\u001b[33m", "#033[33m", "^[[33m"])
def test_a_colour_may_be_written_out(code):
    text = TEXT.replace("BIOS", f"{code}BIOS").replace("[mem", f"{code}[mem")
    assert read(text).rows() == ROWS


@pytest.mark.parametrize("before", ["", "> ", "[    0.000000] ", "Jan 2 h kernel: "])
@pytest.mark.parametrize("next_", ["", "same", "    "])
@pytest.mark.parametrize(
    "at", ["e820: ", "[mem ", "[mem 0x00000000", "-", "] ", "ACPI ", "BIOS-", "usa"]
)
def test_an_entry_may_be_wrapped_anywhere(before, next_, at):
    next_ = before if next_ == "same" else next_
    lines = []
    for line in LINES:
        one, found, two = line.partition(at)
        lines += (
            [before + one + found.rstrip(), next_ + two] if found else [before + line]
        )
    found = read("".join(f"{line}\n" for line in lines))
    assert found.rows() == ROWS
    assert "line-cut" not in ids(found)


def test_a_type_of_two_words_may_be_wrapped():
    lines = [
        *LINES[:3],
        "BIOS-e820: [mem 0x0000000100000000-0x00000001ffffffff] persistent",
        "(type 12)",
        "BIOS-e820: [mem 0x0000000200000000-0x00000002ffffffff] soft",
        "reserved",
        "BIOS-e820: [mem 0x0000000300000000-0x00000003ffffffff] type 1",
        "3",
        "next",
    ]
    assert [kind for _, _, kind in read("\n".join(lines)).rows()[2:]] == [
        *(12, 0xEFFFFFFF, 13)
    ]


def test_a_line_of_another_message_does_not_go_on_with_an_entry():
    lines = [*LINES[:3], "BIOS-e820: [mem 0x0000000100000000-0x00000001ff", *LINES[3:]]
    found = read("\n".join(lines))
    assert found.rows() == ROWS
    assert "1 entry" in message(found, "line-cut")
    assert "line 4" in message(found, "line-cut")


def test_every_entry_that_is_cut_at_a_column_is_counted():
    text = "".join(f"{line[:50]}\n" for line in LINES)
    with pytest.raises(BadImageError, match="6 are cut, the first in line 2"):
        read(text)
    found = read("".join(f"{line[:50]}\n" for line in LINES[:4]) + TEXT)
    assert found.rows() == ROWS


@pytest.mark.parametrize("column", [36, 50, 58])
def test_a_few_that_are_cut_are_counted(column):
    lines = [line[:column] if at in (2, 5) else line for at, line in enumerate(LINES)]
    found = read("".join(f"{line}\n" for line in lines))
    if column == 58:
        assert "unknown-words" in ids(found)
        assert len(found) == 6
    else:
        assert len(found) == 4
        assert message(found, "line-cut").startswith("only pieces of 2 entries")
        assert message(found, "line-cut").endswith("line 3, 6")


def test_the_end_of_an_entry_whose_start_is_lost_is_counted():
    lines = [*LINES[:3], "0x0000000000a00000-0x0000000000afffff] reserved", *LINES[3:]]
    assert "line 4" in message(read("\n".join(lines)), "line-cut")


BANNER = "Linux version 6.12.1 (u@h) #1 SMP"
OWN = [BANNER, "Command line: ro crashkernel=256M", *LINES]
CAPTURE = [
    BANNER.replace("6.12.1", "6.12.2"),
    "Kernel command line: elfcorehdr=0x5f000000 ro nr_cpus=1",
    *(line for line in LINES if "[mem 0x0000000100000000" not in line),
]


class TestBoots:
    def test_a_capture_kernel_is_not_the_machine(self):
        found = read("\n".join([*OWN, *CAPTURE]))
        assert found.rows() == ROWS
        told = message(found, "several-boots")
        assert "read was number 1, from line 1" in told
        assert "1 (line 1 Linux 6.12.1)" in told
        assert "2 (line 11 Linux 6.12.2, a capture kernel)" in told
        assert "capture-kernel" not in ids(found)

    def test_each_boot_can_be_chosen(self):
        text = "\n".join([*OWN, *CAPTURE])
        assert read(text, boot=1).rows() == ROWS
        found = read(text, boot=2)
        assert found.rows() == ROWS[:-1]
        assert "capture-kernel" in ids(found)

    def test_a_capture_kernel_alone_is_said_to_be_one(self):
        found = read("\n".join(CAPTURE))
        assert found.rows() == ROWS[:-1]
        assert "capture-kernel" in ids(found)

    def test_a_command_line_may_be_wrapped(self):
        capture = list(CAPTURE)
        capture[1:2] = ["Command line: BOOT_IMAGE=x ro", " elfcorehdr=0x5f000000"]
        assert read("\n".join([*OWN, *capture])).rows() == ROWS

    @pytest.mark.parametrize("prefix", ["", "[    0.000000] ", "Feb  7 h kernel: "])
    @pytest.mark.parametrize("width", [40, 61, 80])
    def test_a_command_line_may_be_broken_in_a_word(self, prefix, width):
        lines = [prefix + line for line in (*OWN, *CAPTURE)]
        at = len(OWN) + 1
        lines[at] = f"{prefix}Command line: BOOT_IMAGE=/vmlinuz ro nr_cpus=1" + (
            " rd.x=1" * 5 + " elfcorehdr=0x5f000000"
        )
        for column in (width, lines[at].index("elfcorehdr") + 4):
            broken = [*lines]
            broken[at] = f"{lines[at][:column]}\n{lines[at][column:]}"
            found = read("\n".join(broken))
            assert found.rows() == ROWS
            assert "a capture kernel" in message(found, "several-boots")

    def test_where_the_banner_is_lost_a_command_line_is_the_next_boot_s(self):
        lines = [*OWN, "Command line: elfcorehdr=0x5f000000 ro", *CAPTURE[2:]]
        found = read("\n".join(lines))
        assert found.rows() == ROWS
        told = message(found, "several-boots")
        assert "read was number 1" in told
        assert told.count("a capture kernel") == 1

    @pytest.mark.parametrize(
        "line",
        [
            "kexec-bzImage64: Final command line is: elfcorehdr=0x5f000000 ro",
            "arch_process_options:148: command_line: elfcorehdr=0x5f000000",
            "kdumpctl[911]: kexec: loaded kdump kernel, elfcorehdr=0x5f000000",
        ],
    )
    def test_what_is_handed_to_a_capture_kernel_makes_none(self, line):
        found = read("\n".join([*OWN, "Kernel command line: ro quiet", line]))
        assert "capture-kernel" not in ids(found)

    @pytest.mark.parametrize("boot", [0, 3])
    def test_a_boot_that_is_not_there_names_those_that_are(self, boot):
        text = "\n".join([*OWN, *CAPTURE])
        with pytest.raises(
            InputError, match=rf"no boot {boot}: it shows 2, 1 \(line 1 "
        ):
            read(text, boot=boot)


WITH_USER_MAP = [
    *LINES[:-1],
    "last_pfn = 0x140000 max_arch_pfn = 0x400000000",
    "user-defined physical RAM map:",
    "user: [mem 0x0000000000000000-0x000000000009f7ff] usable",
    "user: [mem 0x0000000000100000-0x000000002fffffff] usable",
    "DMI present.",
    "last_pfn = 0x30000 max_arch_pfn = 0x400000000",
]


class TestLastPfn:
    @pytest.mark.parametrize("block", ["bios", "user"])
    def test_it_belongs_to_the_map_before_it(self, block):
        assert "ram-missing" not in ids(read("\n".join(WITH_USER_MAP), block=block))

    @pytest.mark.parametrize(("block", "lost"), [("bios", -7), ("user", -3)])
    def test_it_says_what_that_map_lacks(self, block, lost):
        lines = list(WITH_USER_MAP)
        del lines[lost]
        assert "ram-missing" in ids(read("\n".join(lines), block=block))

    @pytest.mark.parametrize(
        "end",
        ["last_pfn =\n0x140000 max_arch_pfn = 1", "last_pfn = 0x140000\nmax_x = 1"],
    )
    def test_it_may_be_wrapped(self, end):
        text = "\n".join([*WITH_USER_MAP[:6], end]) + "\n"
        assert "0x140000" in message(read(text), "ram-missing")

    def test_it_is_read_from_quoted_printable(self):
        text = "\n".join(WITH_USER_MAP[:6]) + "\nlast_pfn =3D 0x140000 max_pfn =3D 0\n"
        assert "0x140000" in message(read(text), "ram-missing")


class TestLaterEdits:
    OLD = "0000000130000000 - 0000000140000000"
    NEW = "[mem 0x130000000-0x13fffffff]"
    TAKEN = "e820: update [mem 0x130000000-0x1301fffff] usable ==> reserved"

    def with_lines(self, *more):
        return "\n".join([*LINES, *more]) + "\n"

    @pytest.mark.parametrize(
        ("line", "shown"),
        [
            (TAKEN, "[mem 0x130000000-0x1301fffff]"),
            ("e820: remove [mem 0x130000000-0xfffffffffffffffe] usable", "[mem 0x1300"),
            (f"e820 update range: {OLD} (usable) ==> (reserved)", "0x13fffffff]"),
            (f"e820: update {NEW} System RAM ==> device reserved", "0x13fffffff]"),
        ],
    )
    def test_what_a_kernel_reserved_later_is_named(self, line, shown):
        found = read(self.with_lines(line, line))
        assert found.rows() == ROWS
        assert shown in message(found, "reserved-later")
        assert "first line 9" in message(found, "reserved-later")
        assert found.reserved_later().to_bytes().overlaps(0x130000000, 0x130001000)

    @pytest.mark.parametrize("prefix", ["", "[    0.000000] ", "Feb  7 h-4 kernel: "])
    @pytest.mark.parametrize("line", [TAKEN, f"e820 remove range: {OLD} (usable)"])
    def test_one_that_is_broken_anywhere_is_put_together(self, prefix, line):
        for column in range(1, len(line)):
            for again in ("", prefix, "> "):
                text = f"{prefix}{line[:column]}\n{again}{line[column:]}\n"
                found = read(self.with_lines(f"{text}{prefix}SMBIOS 2.8 present."))
                assert found.rows() == ROWS
                assert "[mem 0x1300" in message(found, "reserved-later"), text
                assert "line-cut" not in ids(found), text

    @pytest.mark.parametrize("broken", ["[mem\n0x00000000", "\n[mem 0x00000000"])
    def test_one_below_1_mib_that_is_broken_is_no_entry(self, broken):
        line = f"e820: update {broken}-0x00000fff] usable ==> reserved"
        found = read(self.with_lines(line, "DMI present."))
        assert not {"line-cut", "reserved-later"} & ids(found)

    @pytest.mark.parametrize(
        "line",
        ["e820: update [mem 0x130000000-0x1301", "e820 remove range: 0000000130"],
    )
    def test_one_that_is_cut_is_named(self, line):
        assert "line-cut" in ids(read(self.with_lines(line, "DMI present.")))

    @pytest.mark.parametrize(
        "line",
        [
            "AGP: Mapping aperture over RAM [mem 0x130000000-0x133ffffff] (65536KB)",
            "Mapping aperture over 65536 KB of RAM @ 130000000",
            "  00ff00ff bad mem addr 0x0000000130000000 - 0x0000000130001000 reserved",
        ],
    )
    def test_ram_that_is_taken_without_an_edit_is_named(self, line):
        line = line.replace("00ff00ff", "00ff00ff" * 2)
        shown = message(read(self.with_lines(line)), "reserved-later")
        assert "[mem 0x130000000-0x13" in shown

    # Consoles leave messages of level debug out, and these are all that is left.
    MODIFIED = (
        "modified physical RAM map:",
        "modified: [mem 0x0000000000000000-0x000000000009efff] usable",
        "modified: [mem 0x0000000000100000-0x000000005fefffff] usable",
        "modified: [mem 0x0000000100000000-0x000000012fffffff] usable",
    )

    def test_what_a_modified_map_lacks_is_named(self):
        found = read(self.with_lines(*self.MODIFIED, "DMI present."))
        assert "[mem 0x130000000-0x13fffffff] after" in (
            message(found, "reserved-later")
        )

    def test_what_mem_took_away_was_not_reserved(self):
        user = [line.replace("modified:", "user:") for line in self.MODIFIED[1:]]
        removed = "e820: remove [mem 0x130000000-0xfffffffffffffffe] usable"
        lines = (removed, "user-defined physical RAM map:", *user)
        found = read(self.with_lines(*lines, *self.MODIFIED, "DMI present."))
        assert "reserved-later" not in ids(found)
        found = read(self.with_lines(*lines, *self.MODIFIED[:3]))
        assert "[mem 0x100000000-0x12fffffff] after" in (
            message(found, "reserved-later")
        )

    @pytest.mark.parametrize(
        "line",
        [
            "e820: update [mem 0x00000000-0x00000fff] usable ==> reserved",
            "e820: remove [mem 0x000a0000-0x000fffff] usable",
            "e820: update [mem 0x12000018-0x12000457] usable ==> usable",
            "e820: update [mem 0x60000000-0x60000fff] ACPI data ==> reserved",
            "e820: update [mem 0x900000000-0x900000fff] usable ==> reserved",
        ],
    )
    def test_what_takes_no_ram_above_1_mib_is_not(self, line):
        assert "reserved-later" not in ids(read(self.with_lines(line)))

    def test_it_is_no_deposit_unless_it_is_waived(self):
        found = read(self.with_lines(self.TAKEN))
        inside = DepositLedger.of_ranges([(0x130100000, 0x130101000)])
        with pytest.raises(InputError, match=r"a kernel reserved .* after it had"):
            inside.validate_inside(found)
        inside.validate_inside(found.as_printed())
        DepositLedger.of_ranges([(0x120000000, 0x120001000)]).validate_inside(found)

    def test_a_map_as_json_keeps_it(self):
        found = read(self.with_lines(self.TAKEN))
        again = read(document_text(MemoryMapDocument.of(found)))
        assert again.reserved_later() == found.reserved_later()

    @pytest.mark.parametrize("extents", ["x", [1], [[1]], [[1, 0]], [[-1, 2]]])
    def test_extents_of_a_note_that_are_none_are_refused(self, extents):
        note = {"id": "x", "level": "note", "message": "m", "extents": extents}
        text = json.dumps({"schema": 1, "entries": [], "notes": [note]})
        with pytest.raises(BadImageError, match=r"notes\[0\](?:\.|: )extents"):
            read(text)


def test_a_map_of_which_entries_are_missing_is_not_whole():
    read(TEXT).validate_whole()
    with pytest.raises(InputError, match="only pieces of 1 entry can be read"):
        read(TEXT.replace("9ffff] reserved", "")).validate_whole()


def test_an_entry_whose_prefix_comes_again_in_its_words_is_no_fault():
    # Found by mutation: whole as it stands, and not as the next line's start.
    for prefix in ("m ", "us", "(", "a1"):
        lines = [f"{prefix}{line}" for line in LINES]
        lines[2] = lines[2].replace("] reserved", f"] {prefix}reserved")
        read("\n".join(lines))
