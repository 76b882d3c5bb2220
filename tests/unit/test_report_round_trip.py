"""Every real map, written in each form that can be read back, and read again."""

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import example, given
from strategies import any_rows, sorted_rows

from e820pool.documents import document_line, document_text
from e820pool.loading.kexec_loaders import memmap_files
from e820pool.memory_map import MemoryMap
from e820pool.report.blob import boot_params_blob, split_blob
from e820pool.report.forms import as_read_back, dmesg_text, iomem_text, losses
from e820pool.report.output import write_tree
from e820pool.sources.dmesg import BLOCKS
from e820pool.sources.map_json import MemoryMapDocument
from e820pool.sources.recognise import read_map
from e820pool.type_words import (
    LOG_DIALECTS,
    TYPE_WITHOUT_NUMBER,
    log_words,
    resource_name,
    type_text,
)

MAPS = Path(__file__).parents[1] / "data" / "maps"
with (MAPS / "INDEX.tsv").open(encoding="utf-8", newline="") as _index:
    FILES = [row["file"] for row in csv.DictReader(_index, delimiter="\t")]
FILES.remove("iomem/002.txt")  # all zero: refused, see test_sources_real_maps.py

# All that a form cannot say, as specs/sources.md lists it: the type that is written
# to the type that is read. Everything else comes back as it was.
#   RESERVED_KERN (128), kernels' own and never firmware's, is called as RAM is, but
#   by 2.4 and 7.0, which do not know it.
#   /proc/iomem and memmap trees have one name for all types they do not know.
CANNOT_SAY = {
    ("pre-3.5", 128): 1,
    ("3.5", 128): 1,
    ("iomem", 128): 1,
    ("memmap", 128): 1,
    ("iomem", 20): TYPE_WITHOUT_NUMBER,
    ("memmap", 20): TYPE_WITHOUT_NUMBER,
    ("iomem", 13): TYPE_WITHOUT_NUMBER,
    ("memmap", 13): TYPE_WITHOUT_NUMBER,
}
TYPES = (1, 2, 3, 4, 5, 7, 12, 13, 20, 128, 0xEFFFFFFF, TYPE_WITHOUT_NUMBER)


def maps_of(file):
    """Return the maps of all blocks that a file shows."""
    if file.startswith("iomem"):
        return [read_map(str(MAPS / file))]
    first = read_map(str(MAPS / file))
    others = [note.message for note in first.notes if note.id == "other-blocks"]
    return [first] + [
        read_map(str(MAPS / file), block=block)
        for block in BLOCKS
        if others and f"{block} (" in others[0]
    ]


def again(text, **options):
    data = text if isinstance(text, bytes) else text.encode()
    return read_map("-", stdin=io.BytesIO(data), **options)


def as_said(rows, form):
    return [(a, s, CANNOT_SAY.get((form, kind), kind)) for a, s, kind in rows]


@pytest.fixture(params=FILES)
def real_map(request):
    maps = maps_of(request.param)
    assert all(len(one) for one in maps)
    return maps


def test_json_comes_back_whole(real_map):
    for one in real_map:
        back = again(document_text(MemoryMapDocument.of(one)))
        assert back.rows() == one.rows()
        assert {n.id for n in one.notes} <= {n.id for n in back.notes}


@pytest.mark.parametrize("dialect", LOG_DIALECTS)
def test_each_dialect_comes_back(real_map, dialect):
    for one in real_map:
        assert again(dmesg_text(one, dialect)).rows() == as_said(one.rows(), dialect)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("dialect", LOG_DIALECTS)
def test_each_block_comes_back_under_its_name(dialect, block):
    one = read_map(str(MAPS / "dmesg/091.txt"))
    back = again(dmesg_text(one, dialect, block), block=block)
    assert back.rows() == one.rows()


def test_iomem_comes_back(real_map):
    for one in real_map:
        assert again(iomem_text(one)).rows() == as_said(one.rows(), "iomem")


def test_a_memmap_tree_comes_back(real_map, tmp_path):
    for at, one in enumerate(real_map):
        write_tree(tmp_path / str(at), memmap_files(one.rows()))
        back = read_map(str(tmp_path / str(at)))
        assert back.rows() == as_said(one.rows(), "memmap")


def test_a_blob_comes_back(real_map, tmp_path):
    for at, one in enumerate(real_map):
        assert again(boot_params_blob(one)).rows() == one.rows()
        write_tree(tmp_path / str(at), split_blob(one))
        assert read_map(str(tmp_path / str(at))).rows() == one.rows()


def test_the_list_of_what_cannot_be_said_is_what_the_words_do():
    found = {
        (form, kind): as_read_back(kind, form)
        for form in (*LOG_DIALECTS, "iomem", "memmap")
        for kind in TYPES
        if as_read_back(kind, form) != kind
    }
    assert found == CANNOT_SAY


def test_no_form_makes_ram_of_what_was_none():
    # 128 is the kernel's own memory: RAM that is in use.
    for form in (*LOG_DIALECTS, "iomem", "memmap"):
        ram = [kind for kind in TYPES if as_read_back(kind, form) == 1]
        assert set(ram) <= {1, 128}


@pytest.mark.parametrize("form", ["2.4", "pre-3.5", "3.5", "7.0", "iomem", "memmap"])
def test_a_loss_is_stated_before_it_is_written(form):
    one = MemoryMap.of([(0, 0x1000, 1), (0x1000, 0x1000, 128), (0x2000, 0x1000, 20)])
    told = [note.message for note in losses(one, form)]
    lost = [kind for at, kind in CANNOT_SAY if at == form and kind in (128, 20)]
    assert len(told) == len(lost)
    for kind in lost:
        word = resource_name(kind) if form in ("iomem", "memmap") else None
        word = word or log_words(kind, form)
        assert f"1 entry ({type_text(kind)}) written as {word!r}" in told


def test_iomem_states_what_its_shape_loses():
    rows = [(0x5000, 0x2000, 2), (0x1000, 0x8000, 1), (0x3000, 0, 2)]
    told = {note.id for note in losses(MemoryMap.of(rows), "iomem")}
    assert told == {"empty-lost", "order-lost", "overlap-lost"}
    assert losses(MemoryMap.of(rows), "memmap") == ()


@given(any_rows())
@example([(0, 0, 7), (0, 0, 1), (0, 0, 1), (1, 0, 1), (0, 0, 7)])  # its first again
def test_any_rows_come_back_from_json_and_every_dialect(rows):
    one = MemoryMap.of(rows)
    assert again(document_line(MemoryMapDocument.of(one))).rows() == rows
    for dialect in LOG_DIALECTS:
        assert again(dmesg_text(one, dialect)).rows() == rows


@given(any_rows())
def test_iomem_of_any_rows_is_their_flat_map(rows):
    one = MemoryMap.of([row for row in rows if row[1]] or [(0, 0x1000, 1)])
    back = again(iomem_text(one)).flatten()
    flat = MemoryMap.of(as_said_names(one.rows())).flatten()
    assert back.bytes_of(1) == flat.bytes_of(1)


def as_said_names(rows):
    return [(a, s, as_read_back(kind, "iomem")) for a, s, kind in rows]


@given(sorted_rows())
def test_iomem_of_sorted_rows_is_the_rows(rows):
    back = again(iomem_text(MemoryMap.of(rows)))
    assert back.rows() == as_said_names(rows)


def test_a_json_file_is_read_by_others_too():
    one = MemoryMap.of([(0, 0x9FC00, 1), (0x1_0000_0000, 1 << 40, 1)], "here")
    found = json.loads(document_text(MemoryMapDocument.of(one)))
    assert found["schema"] == 1
    assert found["kind"] == "memory-map"
    assert found["entries"] == [[0, 0x9FC00, 1], [0x1_0000_0000, 1 << 40, 1]]
