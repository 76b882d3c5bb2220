"""Handoff directories: whole ones, hand-made ones, and each contradiction in one."""

import json
import re
import shutil

import pytest
from rawbytes import e820_table, patched, setup_data, zero_page

from e820pool.deposits import Deposit, DepositLedger
from e820pool.errors import BadImageError, InputError
from e820pool.sources import handoff_dir
from e820pool.sources.handoff_dir import is_handoff_dir, read_handoff
from e820pool.sources.recognise import read_map

ROWS = [(0, 0x9F000, 1), (0x100000, 0x3FF00000, 1), (0x40000000, 0x2000, 2)]
EXT = [(0x1_0000_0000, 0x100000, 1)]
NODES = [(0x8000, 1, e820_table(EXT)), (0x8100, 0xE820, b"record"), (0x8200, 9, b"")]
FIRMWARE = [[0, 0x9F000, 1], [0x100000, 0x3FF02000, 1]]


def page(**fields):
    return zero_page(ROWS, **({"setup_data": 0x8000, "cmd_line_ptr": 0x9000} | fields))


def manifest(**changes):
    nodes = [
        {"file": f"setup_data-{n}.bin", "addr": addr, "size": 16 + len(data)}
        | {"what": "setup_data"}
        for n, (addr, _, data) in enumerate(NODES)
    ]
    whole = {
        "schema": 1,
        "segments": [
            {"file": "boot_params.bin", "addr": 0x10000, "size": 4096}
            | {"what": "boot_params"},
            *nodes,
            {"file": "cmdline.txt", "addr": 0x9000, "size": 6, "what": "cmdline"},
        ],
        "deposits": [
            {"base_pfn": 0x40000, "nr_pages": 2, "owner": 7, "firmware_type": 1}
        ],
        "kernel_window": [0x1000000, 0x4000000],
        "initrd": [0x5000000, 0x5001000],
        "encoding": "split",
    } | changes
    return json.dumps(whole)


def memmap(rows):
    names = {1: "System RAM", 2: "Reserved"}
    return {
        f"memmap/{at}/{name}": f"{text}\n".encode()
        for at, (addr, size, kind) in enumerate(rows)
        for name, text in (
            ("start", hex(addr)),
            ("end", hex(addr + size - 1)),
            ("type", names[kind]),
        )
    }


def whole_files():
    nexts = [addr for addr, _, _ in NODES[1:]] + [0]
    nodes = {
        f"setup_data-{n}.bin": setup_data(kind, data, after)
        for n, ((_, kind, data), after) in enumerate(zip(NODES, nexts, strict=True))
    }
    firmware = {"schema": 1, "kind": "memory-map", "entries": FIRMWARE}
    return {
        "manifest.json": manifest().encode(),
        "boot_params.bin": page(),
        "cmdline.txt": b"quiet",
        "firmware.json": json.dumps(firmware).encode(),
        **nodes,
        **memmap(ROWS + EXT),
    }


@pytest.fixture
def made(tmp_path):
    """Write a handoff directory; a file of None is left out."""

    def make(**changes):
        for name, data in (whole_files() | changes).items():
            if data is not None:
                path = tmp_path / "out" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        return tmp_path / "out"

    return make


def refusal(path):
    with pytest.raises((BadImageError, InputError)) as caught:
        read_handoff(path)
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_a_whole_directory_gives_all_of_its_parts(made):
    found = read_handoff(made())
    assert found.boot_params_addr == 0x10000
    assert found.boot_params.e820_map.tolist() == ROWS
    assert [(n.addr, n.node.type, n.node.data) for n in found.nodes] == NODES
    assert (found.cmdline, found.cmdline_addr) == (b"quiet", 0x9000)
    assert found.kernel_window == (0x1000000, 0x4000000)
    assert found.initrd == (0x5000000, 0x5001000)
    assert found.encoding == "split"
    deposit = Deposit(start_pfn=0x40000, end_pfn=0x40002, owner=7)
    assert found.ledger == DepositLedger([deposit])
    assert [list(row) for row in found.firmware_map.rows()] == FIRMWARE


def test_its_map_is_the_zero_page_s_and_then_ext(made):
    found = read_map(str(made()))
    assert found.rows() == ROWS + EXT
    assert found.origin.endswith("(handoff)")


@pytest.mark.parametrize("line", [b"quiet", b"quiet\n", b"quiet\0", b"quiet\0\0"])
def test_what_an_editor_puts_behind_the_line_does_not_matter(made, line):
    assert read_handoff(made(**{"cmdline.txt": line})).cmdline == b"quiet"


def test_an_empty_line_may_be_an_empty_file(made):
    assert read_handoff(made(**{"cmdline.txt": b""})).cmdline == b""


def test_what_need_not_be_there_may_be_missing(made):
    path = made(**{"firmware.json": None})
    shutil.rmtree(path / "memmap")
    assert read_handoff(path).firmware_map is None


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ([*ROWS[:2], (0x50000000, 0x2000, 2)], "they differ at entry 2"),
        ([*ROWS, *EXT, (1 << 40, 1 << 12, 2)], "has 5 entries .* table 4: the sh"),
    ],
)
def test_a_tree_that_differs_is_noted_and_the_zero_page_counts(made, tree, message):
    handoff = read_handoff(made(**memmap(tree)))
    (note,) = handoff.notes
    assert (note.id, note.level) == ("memmap-tree-differs", "note")
    assert re.search(message, note.message)
    assert len(handoff.boot_params.e820_map) == len(ROWS)


def test_a_tree_with_ram_over_a_deposit_is_unsafe(made):
    """Stock kexec-tools would hand exactly that on."""
    (note,) = read_handoff(made(**memmap([*ROWS[:2], (0x40000000, 0x2000, 1)]))).notes
    assert note.level == "unsafe"
    assert note.extents == ((0x40000, 0x40002),)


SEGMENTS = json.loads(manifest())["segments"]


def segment(at, **changes):
    """Return the manifest with one segment changed."""
    return manifest(
        segments=[s | changes if n == at else s for n, s in enumerate(SEGMENTS)]
    ).encode()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"boot_params.bin": page()[:-1]},
            "has 0xfff bytes, the manifest says 0x1000",
        ),
        ({"boot_params.bin": None}, "cannot read '.*boot_params.bin': no such file"),
        (
            {"boot_params.bin": page(setup_data=0x8008)},
            "setup_data is 0x8008, but node 0",
        ),
        (
            {"boot_params.bin": page(setup_data=0)},
            "hdr.setup_data is 0x0, but node 0 is",
        ),
        ({"boot_params.bin": page(cmd_line_ptr=1)}, "cmd_line_ptr is 0x1, but cmdline"),
        (
            {"boot_params.bin": zero_page(ROWS, count=200, setup_data=0x8000)},
            r"0xc8 \(200\)",
        ),
        ({"setup_data-1.bin": None}, "cannot read '.*setup_data-1.bin'"),
        (
            {"setup_data-1.bin": setup_data(5, b"recor", 0x8200)},
            "has 0x15 bytes, the manifest says 0x16",
        ),
        (
            {"setup_data-1.bin": setup_data(5, b"record", 0x8000)},
            "node 1's next is 0x8000, but node 2 is at 0x8200",
        ),
        (
            {"setup_data-2.bin": setup_data(9, b"", 0x9999)},
            "node 2's next is 0x9999, but no node is there",
        ),
        (
            {"setup_data-1.bin": setup_data(5, b"record", 0x8200, length=1 << 31)},
            "len is 0x80000000.*6 bytes",
        ),
        ({"setup_data-3.bin": setup_data(9, b"")}, "setup_data-3.bin, which manifest"),
        (
            {"cmdline.txt": b"too long"},
            "has 0x8 bytes and a NUL, manifest.json says 0x6",
        ),
        ({"cmdline.txt": b"a\nb"}, "is not one line"),
        (
            {"cmdline.txt": b"a" * 2048},
            "2048 bytes: the limit of a command line is 2047",
        ),
        ({"firmware.json": b"{}"}, "firmware.json': schema is missing"),
        (
            {"memmap/4/start": b"0x0", "memmap/4/end": b"0x0"},
            "cannot read .*memmap/4/type",
        ),
        ({"manifest.json": b""}, "is empty"),
        ({"manifest.json": b"{"}, "is not JSON"),
        (
            {"manifest.json": manifest(schema=2).encode()},
            "schema 0x2: this version reads",
        ),
        (
            {"manifest.json": manifest(kind="pool").encode()},
            "kind 'pool', not 'handoff'",
        ),
        (
            {"manifest.json": manifest(segments=5).encode()},
            "segments is 5: want an",
        ),
        (
            {"manifest.json": manifest(segments=[]).encode()},
            "0 boot_params and 0 cmdline",
        ),
        ({"manifest.json": manifest(segments=[5]).encode()}, "is 5: want an object"),
        ({"manifest.json": manifest(encoding=5).encode()}, "encoding is 5: want text"),
        (
            {"manifest.json": manifest(initrd=[5]).encode()},
            r"initrd is \[5\]: want an array of length 2",
        ),
        (
            {"manifest.json": manifest(initrd=[9, 5]).encode()},
            "initrd .0x9, 0x5. is empty",
        ),
        (
            {"manifest.json": manifest(kernel_window="x").encode()},
            "kernel_window is 'x'",
        ),
        (
            {"manifest.json": manifest(deposits=5).encode()},
            "deposits is 5: want an",
        ),
        (
            {"manifest.json": manifest(deposits=["x"]).encode()},
            "is 'x': want an object or an array",
        ),
        ({"manifest.json": manifest(deposits=[[5, 0]]).encode()}, "0x5, 0x5. is empty"),
        (
            {"manifest.json": manifest(deposits=[[5, 2], [6, 1]]).encode()},
            "deposits overlap: .mem 0x5000-0x6fff.*.mem 0x6000-0x6fff",
        ),
        (
            {"manifest.json": segment(0, file="../x")},
            "file is '../x', no plain file name",
        ),
        ({"manifest.json": segment(0, file="")}, "no plain file name"),
        ({"manifest.json": segment(0, file=5)}, "file is 5: want text"),
        (
            {"manifest.json": segment(0, what="kernel")},
            "what is 'kernel': want boot_par",
        ),
        (
            {"manifest.json": segment(0, addr=-1)},
            "addr is -1: want a whole number",
        ),
        ({"manifest.json": segment(0, addr=(1 << 64) - 1)}, "size is 0x1000: outside"),
        (
            {"manifest.json": segment(0, size="4096")},
            "size is '4096': want a whole",
        ),
        ({"manifest.json": segment(0, size=4095)}, "has 0x1000 bytes, .* says 0xfff"),
        (
            {"manifest.json": segment(0, addr=0x7FFF)},
            "'boot_params.bin' ends at 0x8fff, o",
        ),
        (
            {"manifest.json": segment(1, what="boot_params")},
            "2 boot_params and 1 cmdline",
        ),
        (
            {"manifest.json": segment(1, addr=0x7000)},
            "is 0x8000, but node 0 is at 0x7000",
        ),
    ],
)
def test_each_contradiction_is_one_line(made, changes, message):
    told = refusal(made(**changes))
    assert re.search(message, told), told


def test_nodes_in_another_order_than_the_chain_are_refused(made):
    swapped = manifest(segments=[SEGMENTS[n] for n in (0, 2, 1, 3, 4)]).encode()
    assert "but node 0 is at 0x8100" in refusal(made(**{"manifest.json": swapped}))


@pytest.fixture
def bare(tmp_path):
    """Write a directory of just these files."""

    def make(files):
        for name, data in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return tmp_path

    return make


class TestWithoutManifest:
    def test_a_zero_page_alone_is_enough(self, bare):
        path = bare({"boot_params.bin": zero_page(ROWS, cmd_line_ptr=0x9000)})
        found = read_handoff(path)
        assert found.boot_params.e820_map.tolist() == ROWS
        assert (found.nodes, found.cmdline, found.cmdline_addr) == ((), b"", 0x9000)
        assert found.boot_params_addr == 0
        assert read_map(str(path)).rows() == ROWS

    @pytest.mark.parametrize("first", [0, 1])
    def test_nodes_lie_where_the_pointers_say(self, bare, first):
        files = {"boot_params.bin": page(), "cmdline.txt": b"quiet\n"}
        nexts = [0x8100, 0x8200, 0]
        for n, ((_, kind, data), after) in enumerate(zip(NODES, nexts, strict=True)):
            files[f"setup_data-{n + first}.bin"] = setup_data(kind, data, after)
        path = bare(files)
        found = read_handoff(path)
        assert [(n.addr, n.node.type, n.node.data) for n in found.nodes] == NODES
        assert found.cmdline == b"quiet"
        assert read_map(str(path)).rows() == ROWS + EXT

    def test_the_high_half_of_the_line_s_address_counts(self, bare):
        high = patched(page(setup_data=0), {0x0C8: b"\x05\0\0\0"})
        found = read_handoff(bare({"boot_params.bin": high}))
        assert found.cmdline_addr == 0x5_0000_9000

    @pytest.mark.parametrize(
        ("nodes", "message"),
        [
            ({}, "hdr.setup_data is 0x8000, but no node is there"),
            ({1: 0, 3: 0}, "2 nodes and no setup_data-2.bin"),
            ({0: 0x8000}, "node 0's next is 0x8000, but no node is there"),
            ({0: 0x8000, 1: 0}, "0x8000"),
            ({0: 0x8008, 1: 0}, "overlaps"),
            ({0: 0, 1: 0}, "node 0's next is 0x0, but node 1 is at 0x0"),
            ({0: 0x8100, 1: 0x9000}, "node 1's next is 0x9000, but no node is there"),
        ],
    )
    def test_a_chain_that_is_not_whole_is_one_line(self, bare, nodes, message):
        files = {"boot_params.bin": page()}
        for number, after in nodes.items():
            files[f"setup_data-{number}.bin"] = setup_data(9, b"x" * 16, after)
        assert message in refusal(bare(files))

    def test_a_file_is_a_lone_page(self, bare):
        path = bare({"data": zero_page(ROWS)}) / "data"
        assert read_handoff(str(path)).boot_params.e820_map.tolist() == ROWS

    def test_a_lone_page_with_a_chain_elsewhere_is_refused(self, bare):
        path = bare({"page": page()}) / "page"
        assert "setup_data is 0x8000, but no node is there" in refusal(path)

    @pytest.mark.parametrize("name", ["nothing", "a\0b", "x" * 5000])
    def test_what_is_not_there_is_one_line(self, name, tmp_path):
        assert "cannot read" in refusal(f"{tmp_path}/{name}")

    def test_a_directory_of_another_shape_is_one_line(self, bare):
        path = bare({"x": b""})
        assert "has neither manifest.json nor boot_params.bin" in refusal(path)
        assert not is_handoff_dir(path)


class TestSysfs:
    TREE = (
        ("setup_data/0/type", b"0x1\n"),
        ("setup_data/0/data", e820_table(EXT)),
        ("setup_data/1/type", b"0x9\n"),
        ("setup_data/1/data", b""),
    )

    def test_nodes_after_the_first_are_taken_to_follow_it(self, bare):
        found = read_handoff(bare({"data": page(), **dict(self.TREE)}))
        placed = [(n.addr, n.node.type, n.node.next) for n in found.nodes]
        assert placed == [(0x8000, 1, 0x8024), (0x8024, 9, 0)]
        assert found.nodes[0].node.data == e820_table(EXT)

    def test_nodes_without_a_pointer_are_refused(self, bare):
        path = bare({"data": page(setup_data=0), **dict(self.TREE)})
        assert "hdr.setup_data is 0x0, but node 0 is at 0x0" in refusal(path)

    def test_a_pointer_without_nodes_is_refused(self, bare):
        assert "no node is there" in refusal(bare({"data": page()}))

    def test_live_has_this_machine_s_command_line(self, bare, monkeypatch):
        path = bare({"data": page(), "line": b"quiet nokaslr\n", **dict(self.TREE)})
        monkeypatch.setattr(handoff_dir, "_SYSFS", path)
        monkeypatch.setattr(handoff_dir, "_PROC_LINE", path / "line")
        found = read_handoff("live")
        assert found.cmdline == b"quiet nokaslr"
        assert len(found.nodes) == 2
