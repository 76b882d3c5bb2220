"""A handoff that is written is the handoff that is read."""

import json
from dataclasses import replace

import pytest

from e820pool.deposits import Deposit, DepositLedger
from e820pool.errors import InputError
from e820pool.extents import Span
from e820pool.handoff.build import BuildOptions, build_handoff
from e820pool.memory_map import MemoryMap
from e820pool.report.handoff_files import write_handoff
from e820pool.sources.handoff_dir import read_handoff
from e820pool.sources.recognise import read_map

FIRMWARE = MemoryMap.of(
    [
        (0, 0x9F000, 1),
        (0x100000, 0x3FF00000, 1),
        (0x40000000, 0x2000, 4),
        (0x50000000, 0x2000, 20),
    ],
    "a machine",
)


def built(nr_deposits=2, **options):
    ledger = DepositLedger(
        Deposit(start_pfn=at, end_pfn=at + 1, owner=7)
        for at in range(0x20000, 0x20000 + 2 * nr_deposits, 2)
    )
    return build_handoff(FIRMWARE, ledger, BuildOptions(**options))


@pytest.mark.parametrize("nr_deposits", [0, 1, 62, 63, 200])
@pytest.mark.parametrize("cmdline", ["", "quiet nokaslr"])
def test_what_is_written_is_read(tmp_path, nr_deposits, cmdline):
    handoff = built(nr_deposits, cmdline=cmdline)
    write_handoff(handoff, tmp_path / "out")
    assert read_handoff(tmp_path / "out") == handoff


def test_windows_and_encoding_are_kept(tmp_path):
    handoff = replace(
        built(),
        kernel_window=Span(0x1000000, 0x4000000),
        initrd=Span(0x5000000, 0x5000001),
        encoding="gap",
        firmware_map=None,
    )
    write_handoff(handoff, tmp_path / "out")
    assert read_handoff(tmp_path / "out") == handoff
    assert not (tmp_path / "out" / "firmware.json").exists()


def test_the_tree_is_what_stock_tools_read(tmp_path):
    handoff = built(200)
    write_handoff(handoff, tmp_path / "out")
    tree = read_map(str(tmp_path / "out" / "memmap"))
    whole = read_map(str(tmp_path / "out"))
    assert len(tree) == len(whole) > 128
    assert tree.bytes_of(1) == whole.bytes_of(1)
    assert tree.bytes_of(2) == whole.bytes_of(2)
    assert read_map(str(tmp_path / "out" / "firmware.json")) == FIRMWARE


def test_the_manifest_says_where_each_file_goes(tmp_path):
    handoff = built(200, cmdline="quiet")
    write_handoff(handoff, tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    assert manifest["schema"] == 1
    parts = {part["file"]: part for part in manifest["segments"]}
    for part in handoff.segments():
        told = next(p for p in parts.values() if p["addr"] == part.addr)
        data = (tmp_path / "out" / told["file"]).read_bytes()
        assert (told["what"], told["size"]) == (part.what, len(part.data))
        assert data.ljust(told["size"], b"\0") == part.data
    assert (tmp_path / "out" / "cmdline.txt").read_bytes() == b"quiet"
    assert manifest["deposits"][0] == {
        "base_pfn": 0x20000,
        "nr_pages": 1,
        "owner": 7,
        "firmware_type": 1,
    }


def test_an_older_handoff_is_replaced_with_all_of_its_files(tmp_path):
    write_handoff(built(200), tmp_path / "out")
    write_handoff(built(0), tmp_path / "out")
    assert read_handoff(tmp_path / "out") == built(0)


def test_anything_else_is_not_replaced(tmp_path):
    (tmp_path / "letter").write_text("dear")
    with pytest.raises(InputError, match="not replaced"):
        write_handoff(built(), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["letter"]
