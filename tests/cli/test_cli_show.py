"""show: any source in any form, and what no source is."""

import io
import json
import random
import struct
import sys

import pytest
import rawbytes
from rawhandoff import MIB, ROWS, RawHandoff, map_file, with_reserved
from rawlive import RawAcpi, RawLive

from e820pool.memory_devices import MemoryDevices
from e820pool.sources import handoff_dir, live_devices, recognise

FORMS = (
    "table",
    "picture",
    "json",
    "dmesg",
    "dmesg-7.0",
    "dmesg-pre-3.5",
    "dmesg-2.4",
    "iomem",
    "c",
    "svg",
)
LOG = """\
[    0.000000] BIOS-provided physical RAM map:
[    0.000000] BIOS-e820: [mem 0x0000000000000000-0x000000000009efff] usable
[    0.000000] BIOS-e820: [mem 0x000000000009f000-0x00000000000fffff] reserved
[    0.000000] BIOS-e820: [mem 0x0000000000100000-0x000000007fffffff] usable
[    0.000000] NX (Execute Disable) protection: active
"""
LOG_ROWS = [[0, 0x9F000, 1], [0x9F000, 0x61000, 2], [0x100000, 0x7FF00000, 1]]
USER = LOG.replace("BIOS-e820", "user").replace("BIOS-provided", "user-defined")


def rows_of(done):
    return [tuple(row) for row in done.json["entries"]]


@pytest.fixture
def stdin(monkeypatch):
    """Return a function that makes bytes the standard input."""

    def give(data):
        stream = io.TextIOWrapper(io.BytesIO(data))
        monkeypatch.setattr(sys, "stdin", stream)

    return give


def test_the_json_twin_has_exactly_its_keys(ok, machine):
    told = ok("show", machine, "--format", "json").json
    assert set(told) == {"schema", "kind", "origin", "entries", "notes"}
    assert (told["schema"], told["kind"]) == (1, "memory-map")
    assert told["entries"] == [list(row) for row in ROWS]


def test_entries_stay_in_the_order_of_the_source(run, tmp_path):
    rows = [ROWS[2], ROWS[0], ROWS[1]]
    done = run("show", map_file(tmp_path / "m.json", rows), "--format", "json")
    assert (done.code, rows_of(done)) == (0, rows)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_clean_map_is_told_without_a_note(ok, machine, form):
    assert ok("show", machine, "--format", form).out.endswith("\n")


@pytest.mark.parametrize(
    "form", ["json", "dmesg", "dmesg-7.0", "dmesg-pre-3.5", "iomem"]
)
def test_what_is_written_to_a_file_can_be_shown(run, machine, tmp_path, form):
    path = tmp_path / "again"
    assert run("show", machine, "--format", form, "-o", path).out == ""
    assert rows_of(run("show", path, "--format", "json")) == list(ROWS)


def test_a_blob_goes_to_a_pipe(capsysbinary, machine):
    from e820pool.cli import main

    assert main(["show", str(machine), "--format", "blob"]) == 0
    page = capsysbinary.readouterr().out
    assert len(page) == 4096
    assert page[0x1E8] == len(ROWS)
    assert struct.unpack_from("<QQI", page, 0x2D0 + 40) == ROWS[2]


def test_a_blob_is_not_thrown_at_a_terminal(run, machine, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    done = run("show", machine, "--format", "blob")
    assert (done.code, done.out) == (2, "")
    assert "give -o FILE" in done.err


def test_a_tree_needs_a_folder(run, machine, tmp_path):
    for form in ("memmap-tree", "boot-params-tree"):
        done = run("show", machine, "--format", form)
        assert (done.code, done.out) == (2, "")
        assert f"{form} makes a directory: give -o DIR" in done.err
        assert run("show", machine, "--format", form, "-o", tmp_path / form).code == 0
        again = run("show", tmp_path / form, "--format", "json")
        assert rows_of(again) == list(ROWS)


@pytest.mark.parametrize(
    ("form", "name"), [("memmap-tree", "0/type"), ("boot-params-tree", "data")]
)
def test_a_folder_that_only_has_the_names_of_a_tree_is_not_replaced(
    run, machine, tmp_path, form, name
):
    mine = tmp_path / "mine" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("years of work")
    done = run("show", machine, "-o", tmp_path / "mine", "--format", form)
    assert (done.code, done.out) == (3, "")
    assert "is not empty, and nothing in it says that it is of e820pool" in done.err
    assert mine.read_text() == "years of work"


def test_a_log_is_read_from_standard_input(ok, stdin):
    stdin(LOG.encode())
    assert ok("show", "-", "--format", "json").json["entries"] == LOG_ROWS


def test_a_blob_is_read_from_standard_input(ok, stdin):
    stdin(rawbytes.zero_page(ROWS))
    assert rows_of(ok("show", "-", "--format", "json")) == list(ROWS)


def test_an_empty_standard_input_is_said(refused, monkeypatch, stdin):
    stdin(b"")
    assert "'standard input' is empty: 0 bytes" in refused(3, "show", "-")
    monkeypatch.setattr(sys, "stdin", None)
    assert "standard input is closed" in refused(3, "show", "-")


def test_the_block_of_a_log_can_be_chosen(ok, refused, tmp_path):
    path = tmp_path / "log"
    path.write_text(LOG + USER.replace("7fffffff", "3fffffff"), encoding="utf-8")
    told = ok("show", path, "--format", "json", "--block", "user").json
    assert told["entries"][2] == [0x100000, 0x3FF00000, 1]
    path.write_text(LOG, encoding="utf-8")
    assert "user" in refused(3, "show", path, "--block", "user")


def test_a_log_with_one_map_needs_no_choice(run, tmp_path):
    path = tmp_path / "log"
    path.write_text(USER, encoding="utf-8")
    done = run("show", path, "--format", "json")
    assert (done.code, done.json["entries"]) == (0, LOG_ROWS)


def test_what_is_odd_is_noted_after_the_result_and_not_in_json(run, tmp_path):
    rows = [*ROWS, (0x80000000, MIB, 2)]
    path = map_file(tmp_path / "m.json", rows)
    done = run("show", path)
    assert done.code == 0
    assert all(line.startswith("note: ") for line in done.err.splitlines())
    told = run("show", path, "--format", "json")
    assert told.err == ""
    ids = {note["id"] for note in told.json["notes"]}
    assert {f"[{one}]" for one in ids} == {
        line.split()[-1] for line in done.err.splitlines()
    }
    assert run("show", path, "-q").err == ""


def test_what_a_form_cannot_say_is_noted(run, tmp_path):
    path = map_file(tmp_path / "m.json", [*ROWS, (1 << 40, MIB, 77)])
    assert "(type 0x4d)" in run("show", path, "--format", "iomem").err


def test_a_handoff_is_a_source(ok, tmp_path):
    pages = [(0x40000, 2)]
    rows = with_reserved(ROWS, pages)
    path = RawHandoff(rows=rows, deposits=pages).write(tmp_path / "h")
    assert rows_of(ok("show", path, "--format", "json")) == rows


NOISE = random.Random(820).randbytes(3000)  # noqa: S311  no secret
WRAPS = [(0, 4096, 1), (0x100000, (1 << 64) - 1, 1)]


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"", ["is empty: 0 bytes"]),
        (NOISE, ["0xbb8 bytes"]),
        (NOISE.replace(b"\0", b"\1"), ["0xbb8 bytes"]),
        (rawbytes.zero_page(ROWS)[:-1], ["0xfff bytes", "0x1000"]),
        (rawbytes.zero_page(ROWS) + b"\0", ["0x1001 bytes", "0x1000"]),
        (rawbytes.zero_page(ROWS, count=129), ["0x81", "128"]),
        (rawbytes.zero_page(ROWS, count=255), ["0xff", "128"]),
        (rawbytes.zero_page(()), ["e820_entries is 0x0"]),
        (rawbytes.zero_page(WRAPS), ["0x100000", "0xffffffffffffffff", "wraps"]),
        (bytes(4096), ["e820_entries is 0x0"]),
        (b"hello\n", ["0x6 bytes of text without a memory map"]),
        (b"\xff\xfe" * 100, ["0xc8 bytes"]),
        (b"{", ["0x1 bytes of text without a memory map"]),
        (b'{"a', ["is not JSON"]),
        (b"[]", ["0x2 bytes of text"]),
        (b'{"schema": 1, "kind": "pool"}', ["kind 'pool', not 'memory-map'"]),
        (b'{"schema": 3, "entries": []}', ["schema 0x3", "reads 0x1"]),
        (b'{"schema": 1, "entries": [[1, 2]]}', ["[1, 2]"]),
        (b'{"schema": 1, "entries": [[-1, 2, 1]]}', ["-1", ">= 0"]),
        (
            b'{"schema": 1, "entries": [[1, 2, 4294967296]]}',
            ["4294967296", "4294967295"],
        ),
        (b'{"schema": 1, "entries": [[1, 2, NaN]]}', ["NaN is no number"]),
        (b'{"schema": 1, "entries": ' + b"[" * 50_000, ["nested too deeply"]),
    ],
)
def test_bad_content_shows_the_value_and_the_limit(refused, tmp_path, content, shown):
    path = tmp_path / "source"
    path.write_bytes(content)
    message = refused(3, "show", path)
    for text in shown:
        assert text in message


def test_what_is_not_there_is_said(refused, machine, tmp_path):
    assert "no such file" in refused(3, "show", tmp_path / "no")
    assert "not a directory" in refused(3, "show", machine / "x")
    assert "a directory of another shape" in refused(3, "show", tmp_path)
    assert "null byte" in refused(3, "show", "a\0b")
    assert "name too long" in refused(3, "show", "x" * 5000)


def test_the_zeroed_iomem_of_a_user_is_refused_with_the_reason(refused, tmp_path):
    path = tmp_path / "iomem"
    path.write_text("00000000-00000000 : System RAM\n" * 3, encoding="utf-8")
    assert "root" in refused(3, "show", path)


def test_a_newline_in_a_name_does_not_break_the_line(refused, tmp_path):
    assert "\\n" in refused(3, "show", tmp_path / "a\nb")


def test_an_output_that_cannot_be_written_leaves_nothing(run, machine, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in (folder / "no" / "x", machine / "x"):
        done = run("show", machine, "--format", "json", "-o", path)
        assert (done.code, done.out) == (3, "")
        assert json.loads(done.err)["error"].startswith("cannot write")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("form", ["picture", "svg"])
def test_a_picture_of_a_handoff_shows_before_and_after(form, run, machine, out):
    run("build", machine, "--deposit", "64M+2M", "-o", out)
    told = run("show", out, "--format", form).out
    assert "before" in told
    assert "after" in told
    assert "deposited" in told


def test_a_handoff_without_the_firmwares_map_is_one_picture(run, machine, out):
    run("build", machine, "--deposit", "64M+2M", "-o", out)
    (out / "firmware.json").unlink()
    assert "before" not in run("show", out, "--format", "picture").out


DEVICES = MemoryDevices(
    devices=((4 << 30, 5 << 30),), regions=((4 << 30, (4 << 30) + (128 << 30)),)
)
DEVICE_LINES = (
    "memory device 0x000100000000 to 0x00013fffffff, 1 GiB",
    "memory devices may lie in 0x000100000000 to 0x0020ffffffff, 128 GiB",
)


@pytest.mark.parametrize("form", ["picture", "svg"])
def test_memory_devices_are_drawn_below_the_map(ok, tmp_path, form):
    """One that no entry of the table names has a place in the picture all the same."""
    known = tmp_path / "map.json"
    rows = [[0, 0x9F000, 1], [1 << 20, 511 << 20, 1]]
    head = {"schema": 1, "kind": "memory-map", "entries": rows}
    known.write_text(json.dumps(head | {"memory_devices": [[4 << 30, 1 << 30]]}))
    out = ok("show", known, "--format", form).out
    if form == "svg":
        assert "[mem 0x100000000-0x13fffffff] memory device, 1 GiB" in out
        assert ">devices</text>" in out
    else:
        (bar,) = (line for line in out.splitlines() if line.startswith("devices "))
        assert set(bar.removeprefix("devices").strip()) == {"M"}
        assert "M memory device" in out
    known.write_text(json.dumps(head | {"memory_devices": []}))
    out = ok("show", known, "--format", form).out
    assert ">devices<" not in out
    assert not any(line.startswith("devices ") for line in out.splitlines())


@pytest.mark.parametrize("form", ["table", "picture", "svg"])
def test_memory_devices_are_said(ok, machine, tmp_path, form):
    assert "memory device" not in ok("show", machine, "--format", form).out
    known = tmp_path / "known.json"
    document = json.loads(machine.read_text()) | {
        "memory_devices": [[start, end - start] for start, end in DEVICES.devices],
        "hotplug_regions": [[start, end - start] for start, end in DEVICES.regions],
    }
    known.write_text(json.dumps(document))
    told = ok("show", known, "--format", form).out
    assert all(line in told for line in DEVICE_LINES)
    known.write_text(json.dumps(document | {"memory_devices": []}))
    assert DEVICE_LINES[0] not in ok("show", known, "--format", form).out
    del document["hotplug_regions"]
    known.write_text(json.dumps(document | {"memory_devices": []}))
    assert "no memory devices" in ok("show", known, "--format", form).out


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """Put a recorded machine with a memory device where this one is."""
    acpi = RawAcpi(srat=rawbytes.srat((5 << 30, 8 << 30, 3)), devices=((40,),))
    root = RawLive(acpi=acpi).write(tmp_path)
    devices = live_devices.read_live_devices(root)
    monkeypatch.setattr(live_devices, "read_live_devices", lambda *_root: devices)
    monkeypatch.setattr(recognise, "_LIVE", (f"{root}/sys/firmware/memmap",))
    monkeypatch.setattr(handoff_dir, "_SYSFS", root / "sys/kernel/boot_params")


@pytest.mark.usefixtures("recorded")
def test_this_machine_s_memory_devices_are_read(ok, run, out):
    told = ok("show", "live", "--format", "json").json
    assert told["memory_devices"] == [[5 << 30, 128 << 20]]
    assert told["hotplug_regions"] == [[5 << 30, 8 << 30]]
    run("build", "live", "--deposit", "1G+2M", "-o", out)
    assert json.loads((out / "manifest.json").read_text())["memory_devices"]
    told = run("check", "live", "--kernel", "6.1", "--format", "json").json
    assert told["verdicts"][0]["judged_on"]["memory_devices"] == "known"


def test_a_handoff_keeps_its_memory_devices(ok, run, machine, out):
    words = ("--deposit", "64M+2M", "--memory-device", "4G+1G", "-o", out)
    run("build", machine, *words)
    told = ok("show", out, "--format", "json").json
    assert told["memory_devices"] == [[4 << 30, 1 << 30]]
