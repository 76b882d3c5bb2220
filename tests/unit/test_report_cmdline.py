"""memmap= says the whole map, and its notes what kernels make of it."""

import pytest

from e820pool.memory_map import MemoryMap
from e820pool.report.forms import memmap_notes, memmap_option


def ids(rows):
    return [note.id for note in memmap_notes(MemoryMap.of(rows))]


def test_each_type_has_its_sign():
    rows = [
        (0, 0x9F000, 1),
        (0x9F000, 0x1000, 2),
        (0x100000, 0x1000, 3),
        (0x101000, 0x1000, 12),
        (0x102000, 0x1000, 4),
        (0x103000, 0, 2),
    ]
    assert memmap_option(MemoryMap.of(rows)) == (
        "memmap=exactmap,0x9f000@0x0,0x1000$0x9f000,0x1000#0x100000,0x1000!0x101000,"
        "0x1000%0x102000+0x4"
    )


def test_what_kernels_make_of_it_is_told():
    assert ids([(0, 0x1000, 1)]) == ["memmap-exactmap", "memmap-kaslr"]
    assert ids([(0, 0x1000, 4)])[-1] == "memmap-percent"


@pytest.mark.parametrize(("spare", "told"), [(0, False), (-1, True)])
def test_an_option_over_the_line_s_limit_is_told(spare, told):
    # 2047 bytes is what a kernel reads: "memmap=exactmap" and 16 bytes an item.
    rows = [(n << 12, 0x1000, 1) for n in range(0x100, 0x100 + 127)]
    length = len(memmap_option(MemoryMap.of(rows)))
    rows[-1] = (rows[-1][0] << 4 * (2047 - spare - length), 0x1000, 1)
    assert len(memmap_option(MemoryMap.of(rows))) == 2047 - spare
    found = memmap_notes(MemoryMap.of(rows))
    assert (found[0].id == "command-line-too-long") is told
    assert not told or "2048 bytes: a kernel reads 2047" in found[0].message
