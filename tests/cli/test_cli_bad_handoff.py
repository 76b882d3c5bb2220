"""Handoffs that nobody should have written, before each command that reads one."""

import json
import os

import pytest
import rawbytes
from rawhandoff import ROWS, RawHandoff, with_reserved

PAGES = [(0x40000, 2)]
TABLE = with_reserved(ROWS, PAGES)
RECORD = rawbytes.pool_record([(0x40000, 2, 0, 1)])
A, B = 0x102000, 0x103000
COMMANDS = (
    ("predict",),
    ("check", "--kernel", "6.1"),
    ("rebuild",),
    ("show",),
)


@pytest.fixture(params=COMMANDS, ids=lambda words: words[0])
def bad(request, refused):
    """Return a function that wants status 3 from each command."""

    def call(path, *shown):
        name, *more = request.param
        message = refused(3, name, path, *more)
        for text in shown:
            assert text in message

    return call


def handoff(**parts):
    return RawHandoff(**({"rows": TABLE, "deposits": PAGES} | parts))


def node(type_, data, next_=0, length=None):
    return rawbytes.setup_data(type_, data, next_, length)


@pytest.mark.parametrize("change", [-1, 1, -4096, 4096])
def test_a_zero_page_of_another_size(bad, tmp_path, change):
    page = rawbytes.zero_page(TABLE, cmd_line_ptr=0x101000)
    page = (page + bytes(4096))[: 4096 + change]
    path = handoff().write(tmp_path / "h")
    (path / "boot_params.bin").write_bytes(page)
    shown = "is empty" if not page else f"{len(page):#x} bytes"
    bad(path, shown)


@pytest.mark.parametrize("count", [129, 255])
def test_more_entries_than_the_page_has_room_for(bad, tmp_path, count):
    page = rawbytes.zero_page(TABLE, count=count, cmd_line_ptr=0x101000)
    bad(handoff(page=page).write(tmp_path / "h"), f"{count:#x}", "128")


@pytest.mark.parametrize(
    ("nodes", "shown"),
    [
        ([(A, node(9, b"x", next_=A))], ["0x102000"]),
        ([(A, node(9, b"x", next_=B)), (B, node(9, b"y", next_=A))], ["0x102000"]),
        ([(A, node(9, b"x", next_=0xDEAD0000))], ["0xdead0000", "no node is there"]),
        ([(A, node(9, b"x", next_=(1 << 64) - 8))], ["0xfffffffffffffff8"]),
        ([(A, node(9, b"x", length=0xFFFFFFFF))], ["0xffffffff"]),
        ([(A, node(1, b"x" * 20, length=40))], ["0x28"]),
        ([(A, node(9, b"x" * 9, length=3))], ["0x3"]),
        ([(A, b"short")], ["5 bytes"]),
        ([(A, node(9, b"x", next_=B)), (A + 17, node(9, b"y"))], ["0x103000"]),
    ],
    ids=[
        "itself",
        "loop",
        "outside",
        "top",
        "absurd",
        "long",
        "short",
        "stub",
        "apart",
    ],
)
def test_a_chain_that_is_none(bad, tmp_path, nodes, shown):
    path = handoff(node_bytes=tuple(nodes)).write(tmp_path / "h")
    bad(path, *shown)


def test_nodes_that_overlap(bad, tmp_path):
    nodes = ((A, node(9, b"x" * 64, next_=A + 32)), (A + 32, node(9, b"y")))
    bad(handoff(node_bytes=nodes).write(tmp_path / "h"), "0x102050", "0x102020")


def test_a_pointer_to_a_node_that_is_not_there(bad, tmp_path):
    page = rawbytes.zero_page(TABLE, setup_data=A, cmd_line_ptr=0x101000)
    bad(handoff(page=page).write(tmp_path / "h"), "hdr.setup_data is 0x102000")


def test_a_lone_page_with_a_chain_is_refused_but_shown(run, refused, tmp_path):
    path = tmp_path / "page"
    path.write_bytes(rawbytes.zero_page(TABLE, setup_data=A))
    for name, *more in COMMANDS[:3]:
        assert "hdr.setup_data is 0x102000" in refused(3, name, path, *more)
    assert run("show", path).code == 0


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"schema": 2}, ["schema 0x2", "0x1"]),
        ({"schema": None}, ["schema is null"]),
        ({"kind": "pool"}, ["'pool'"]),
        ({"segments": []}, ["has 0 boot_params"]),
        ({"segments": [{}]}, ["segments[0].file is missing"]),
        ({"segments": 5}, ["segments is 5: want an array"]),
        ({"deposits": [[0x40000, 2], [0x40001, 2]]}, ["0x40000000-0x40001fff"]),
        ({"deposits": [[0x40000, 0]]}, ["[0x40000, 0x40000) is empty"]),
        ({"deposits": [[-1, 2]]}, ["deposits[0][0] is -1"]),
        ({"deposits": [[1 << 52, 1]]}, ["0x10000000000000"]),
        ({"deposits": "all"}, ["deposits is 'all': want an array"]),
        ({"kernel_window": [5, 5]}, ["[0x5, 0x5) is empty"]),
        ({"kernel_window": [0, 1 << 64]}, ["0x10000000000000000"]),
        ({"kernel_window": "here"}, ["'here'"]),
        ({"initrd": [9, 5]}, ["[0x9, 0x5) is empty"]),
        ({"encoding": 7}, ["encoding is 7: want text"]),
    ],
)
def test_a_manifest_that_is_none(bad, tmp_path, changes, shown):
    path = handoff().write(tmp_path / "h")
    document = json.loads((path / "manifest.json").read_text()) | changes
    (path / "manifest.json").write_text(json.dumps(document))
    bad(path, *shown)


@pytest.mark.parametrize("name", ["../page", "/etc/passwd", "", ".."])
def test_a_manifest_does_not_lead_out_of_its_folder(bad, tmp_path, name):
    path = handoff().write(tmp_path / "h")
    document = json.loads((path / "manifest.json").read_text())
    document["segments"][0]["file"] = name
    (path / "manifest.json").write_text(json.dumps(document))
    bad(path, "no plain file name")


def test_a_name_with_a_nul_is_no_file(bad, tmp_path):
    path = handoff().write(tmp_path / "h")
    text = (path / "manifest.json").read_text()
    (path / "manifest.json").write_text(text.replace("boot_params.bin", r"a\u0000b"))
    bad(path, "boot_params.bin, which manifest.json does not name")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\x00\xfe", b"[" * 100_000, b"null"]
)
def test_a_manifest_of_noise(bad, tmp_path, content):
    path = handoff().write(tmp_path / "h")
    (path / "manifest.json").write_bytes(content)
    bad(path, "manifest.json'")


def test_parts_that_are_missing_or_no_files(bad, tmp_path):
    path = handoff(nodes=[(A, 9, b"x")]).write(tmp_path / "h")
    (path / "setup_data-0.bin").unlink()
    bad(path, "cannot read", "setup_data-0.bin")
    (path / "setup_data-0.bin").mkdir()
    bad(path, "is a directory")


@pytest.mark.parametrize("line", [b"a" * 2048, b"a\nb", b"a\0b"])
def test_a_command_line_that_is_none(bad, tmp_path, line):
    bad(handoff(cmdline=line).write(tmp_path / "h"), "cmdline.txt'")


def test_what_is_no_handoff_at_all(refused, tmp_path):
    empty = tmp_path / "empty"
    empty.touch()
    for name, *more in COMMANDS[:3]:
        assert "no such file" in refused(3, name, tmp_path / "no", *more)
        assert "not a directory" in refused(3, name, empty / "x", *more)
        assert "no handoff" in refused(3, name, tmp_path, *more)
        assert "empty" in refused(3, name, empty, *more)
        assert "null byte" in refused(3, name, "a\0b", *more)


@pytest.mark.parametrize(
    "row", [(1 << 63, 1 << 63, 1), ((1 << 64) - 4096, 8192, 1), (0x200000, 0, 1)]
)
@pytest.mark.parametrize("kernel", ["2.6.32", "4.4", "6.1", "7.3"])
def test_entries_that_reach_or_wrap_are_judged_by_every_command(
    run, tmp_path, row, kernel
):
    """A kernel reads them somehow: that is for the verdict to say."""
    path = handoff(rows=[*TABLE, row]).write(tmp_path / "h")
    for name in ("predict", "check", "rebuild"):
        done = run(name, path, "--kernel", kernel, "--format", "json")
        assert done.code in (0, 1), done
        assert done.err == ""


def test_an_odd_node_is_judged_by_every_command(run, tmp_path):
    nodes = [
        (A, 1, b"x" * 33),
        (B, 0x80000005, b"short"),
        (B + 0x1000, 9, b""),
        ((1 << 64) - 32, 0xFFFFFFFF, bytes(15)),
    ]
    path = handoff(nodes=nodes).write(tmp_path / "h")
    for name, *more in COMMANDS:
        done = run(name, path, *more, "--format", "json")
        assert done.code in (0, 1), done


@pytest.mark.parametrize("name", ["manifest.json", "boot_params.bin", "cmdline.txt"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "link to nothing", "link to zeros"])
def test_a_part_that_is_no_file_is_no_part_that_is_not_there(bad, tmp_path, name, kind):
    """Without a manifest no deposit is named, and all is safe."""
    path = handoff().write(tmp_path / "h")
    part = path / name
    part.unlink()
    if kind == "pipe":
        os.mkfifo(part)
    elif kind == "folder":
        part.mkdir()
    else:
        part.symlink_to("/dev/zero" if kind == "link to zeros" else "nowhere")
    bad(path, name)
