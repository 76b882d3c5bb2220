"""What ``show --format c`` prints, compiled by gcc, holds the numbers of the source."""

import ctypes
import json
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

MAPS = Path(__file__).parents[1] / "data" / "maps"
ENTRY = struct.Struct("<QQI")
# As strict as a kernel tree that includes the file would be, and stricter.
FLAGS = ("-Wall", "-Wextra", "-Werror", "-Wconversion", "-pedantic", "-O1")

pytestmark = [
    pytest.mark.headers,
    pytest.mark.skipif(
        shutil.which("gcc") is None, reason="needs the Debian package gcc"
    ),
    pytest.mark.skipif(
        not any(Path("/usr/include").glob("**/asm/bootparam.h")),
        reason="needs the Debian package linux-libc-dev",
    ),
]


@pytest.fixture
def compiled(run, tmp_path):
    """Return a function from a source to the rows in the compiled object."""

    def rows(*source, std="c11"):
        done = run("show", *source, "--format", "c")
        assert done.code == 0, done.err
        (tmp_path / "map.c").write_text(done.out, encoding="utf-8")
        subprocess.run(
            ["gcc", f"-std={std}", *FLAGS, "-shared", "-o", "map.so", "map.c"],
            cwd=tmp_path,
            check=True,
        )
        library = ctypes.CDLL(str(tmp_path / "map.so"))
        count = ctypes.c_uint.in_dll(library, "e820_map_entries").value
        held = (ctypes.c_char * (ENTRY.size * count)).in_dll(library, "e820_map")
        return [list(row) for row in ENTRY.iter_unpack(bytes(held))]

    return rows


def written(path, rows):
    record = {"schema": 1, "kind": "memory-map", "entries": rows}
    path.write_text(json.dumps(record))
    return path


def comb(count):
    return [[n << 21, (1 << 20) + n, n % 7 + 1] for n in range(count)]


@pytest.mark.parametrize("count", [1, 127, 128, 129, 3200])
def test_tables_below_at_and_above_a_zero_page(compiled, tmp_path, count):
    rows = comb(count)
    assert compiled(written(tmp_path / "map.json", rows)) == rows


@pytest.mark.parametrize("std", ["c11", "gnu11", "c17"])
def test_the_largest_numbers_and_types_that_nobody_knows(compiled, tmp_path, std):
    rows = [
        [0, 0, 0],
        [(1 << 64) - 1, 1, 0xFFFF_FFFF],
        [1 << 63, 1 << 63, 0xEFFF_FFFF],
        [4096, (1 << 64) - 4096, 0x504D_504F],
    ]
    assert compiled(written(tmp_path / "map.json", rows), std=std) == rows


@pytest.mark.parametrize("name", ["a\\\n*/ b??/.json", "\u00e9 $(id) %s.json"])
def test_a_file_s_name_does_not_get_into_the_code(compiled, tmp_path, name):
    folder = tmp_path / "odd"
    folder.mkdir()
    path = folder / name.replace("/", "_")
    assert compiled(written(path, comb(2))) == comb(2)


@pytest.mark.parametrize(
    "path",
    [*sorted(MAPS.glob("dmesg/*.txt"))[:3], *sorted(MAPS.glob("iomem/*.txt"))[1:4]],
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_maps_of_real_machines(compiled, run, path):
    told = run("show", path, "--format", "json").json["entries"]
    assert compiled(path) == told
    assert told
