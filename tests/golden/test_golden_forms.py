"""Forms that people and tools read byte for byte, against files that were looked at.

``python tests/golden/test_golden_forms.py`` writes the files anew; read the diff.
"""

from pathlib import Path

import pytest

from e820pool.extents import ExtentSet
from e820pool.memory_map import MemoryMap
from e820pool.report.forms import c_source, dmesg_text, iomem_text, memmap_option
from e820pool.report.map_table import map_lines
from e820pool.report.picture import picture
from e820pool.report.svg import svg_picture
from e820pool.sources.map_json import map_json_lines
from e820pool.type_words import LOG_DIALECTS

HERE = Path(__file__).parent
# One entry of every type that kernels know, one that they do not; gaps; high memory.
BEFORE = MemoryMap.of(
    [
        (0x0, 0x9FC00, 1),
        (0x9FC00, 0x60400, 2),
        (0x100000, 0xBFE00000, 1),
        (0xBFF00000, 0x40000, 3),
        (0xBFF40000, 0xC0000, 4),
        (0xC0000000, 0x1000, 5),
        (0xC0001000, 0x1000, 20),
        (0xFEC00000, 0x1000, 2),
        (0x1_0000_0000, 0x3_0000_0000, 1),
        (0x4_0000_0000, 0x1_0000_0000, 7),
        (0x5_0000_0000, 0x1000_0000, 12),
        (0x5_1000_0000, 0x1000_0000, 0xEFFFFFFF),
    ],
    "golden",
)
DEPOSITS = ExtentSet([(0x40000, 0x50000), (0x80000, 0x80001), (0x200000, 0x200200)])


def after():
    rows = []
    for addr, size, kind in BEFORE.rows():
        reach = addr
        for start, end in DEPOSITS.to_bytes():
            if addr <= start < addr + size:
                rows += [(reach, start - reach, kind), (start, end - start, 2)]
                reach = end
        rows.append((reach, addr + size - reach, kind))
    return MemoryMap.of(rows, "golden")


FORMS = {
    **{f"log-{d}.txt": lambda d=d: dmesg_text(BEFORE, d) for d in LOG_DIALECTS},
    "iomem.txt": lambda: iomem_text(BEFORE),
    "map.json": lambda: "\n".join(map_json_lines(BEFORE)) + "\n",
    "map.c": lambda: c_source(BEFORE),
    "memmap-option.txt": lambda: memmap_option(BEFORE) + "\n",
    "table.txt": lambda: "\n".join(map_lines(BEFORE)) + "\n",
    "picture.txt": lambda: picture(BEFORE, after(), DEPOSITS),
    "picture-ascii.txt": lambda: picture(BEFORE, width=60, ascii_only=True),
    "picture.svg": lambda: svg_picture(BEFORE, after(), DEPOSITS),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_as_it_was(name):
    assert FORMS[name]() == (HERE / name).read_text(encoding="utf-8")


if __name__ == "__main__":
    for file, form in FORMS.items():
        (HERE / file).write_text(form(), encoding="utf-8")
