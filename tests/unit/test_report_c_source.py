"""The C form compiles against the kernel's own headers and holds the map."""

import shutil
import subprocess
from pathlib import Path

import pytest

from e820pool.errors import InputError
from e820pool.memory_map import MemoryMap
from e820pool.report.forms import c_source

ROWS = [
    (0, 0x9FC00, 1),
    (0x100000, 0x7FF00000, 1),
    ((1 << 64) - 4096, 4096, 0xEFFFFFFF),
    (0x1_0000_0000, 1 << 40, 20),
]

MAIN = """
#include <stdio.h>
int main(void)
{
    for (unsigned int i = 0; i < e820_map_entries; i++)
        printf("%llu %llu %u\\n", (unsigned long long)e820_map[i].addr,
               (unsigned long long)e820_map[i].size, e820_map[i].type);
    return 0;
}
"""


@pytest.mark.headers
@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs the Debian package gcc")
@pytest.mark.skipif(
    not any(Path("/usr/include").glob("**/asm/bootparam.h")),
    reason="needs the Debian package linux-libc-dev",
)
def test_it_compiles_and_prints_the_map(tmp_path):
    text = c_source(MemoryMap.of(ROWS, "tests/*/ ?? \\\nmap"))
    (tmp_path / "map.c").write_text(text + MAIN)
    subprocess.run(
        ["gcc", "-Wall", "-Wextra", "-Werror", "-std=c11", "-o", "map", "map.c"],
        cwd=tmp_path,
        check=True,
    )
    printed = subprocess.run(
        [tmp_path / "map"], capture_output=True, text=True, check=True
    ).stdout
    assert [tuple(map(int, line.split())) for line in printed.splitlines()] == ROWS


def test_the_name_is_the_caller_s():
    text = c_source(MemoryMap.of(ROWS), "table")
    assert "const struct boot_e820_entry table[] = {" in text
    assert "table_entries = sizeof(table) / sizeof(table[0]);" in text


@pytest.mark.parametrize("name", ["", "1st", "a-b", "a b", "x" * 64, "\u00e9"])
def test_what_is_no_identifier_is_refused(name):
    with pytest.raises(InputError, match="is no C identifier"):
        c_source(MemoryMap.of(ROWS), name)


def test_an_empty_map_is_refused():
    with pytest.raises(InputError, match="0 entries"):
        c_source(MemoryMap.of([]))
