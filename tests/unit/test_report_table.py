"""Tables and sizes for people."""

import pytest

from e820pool.memory_map import MemoryMap
from e820pool.report.map_table import human_size, map_lines


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1025, "1.00 KiB"),
        (1536, "1.50 KiB"),
        (0x9FC00, "639 KiB"),
        (0xBFF00000, "2.99 GiB"),
        ((1 << 30) - 1, "1023 MiB"),
        (12 << 30 | 1 << 29, "12.5 GiB"),
        (1 << 63, "8 EiB"),
        ((1 << 64) - 1, "15.9 EiB"),
    ],
)
def test_a_size_is_rounded_down_to_three_digits(size, text):
    assert human_size(size) == text


def test_a_map_is_a_row_an_entry_in_its_order():
    rows = [(0x100000, 0xBFF00000, 1), (0, 0x9FC00, 1), (0x9FC00, 0, 20)]
    shown = map_lines(MemoryMap.of([*rows, (0xA0000, 4096, 0xFFFFFFFE)]))
    assert "\n".join(shown) == (
        "  #      first byte       last byte      size  type\n"
        "  0  0x000000100000  0x0000bfffffff  2.99 GiB  usable\n"
        "  1  0x000000000000  0x00000009fbff   639 KiB  usable\n"
        "  2  0x00000009fc00  0x00000009fbff       0 B  type 20\n"
        "  3  0x0000000a0000  0x0000000a0fff     4 KiB  unknown"
    )
