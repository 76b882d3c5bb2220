"""Whatever a source holds, reading it gives a map or one error of ours."""

import io
import json
import random
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory

import printers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rawbytes import e820_table, patched, setup_data, zero_page
from strategies import any_rows, mutated

from e820pool.errors import BadImageError, InputError
from e820pool.sources.deposits_file import read_deposits
from e820pool.sources.handoff_dir import read_handoff
from e820pool.sources.recognise import read_map

MAPS = Path(__file__).parents[1] / "data" / "maps"
LOG = (MAPS / "dmesg/086.txt").read_bytes()
QUOTED = (MAPS / "dmesg/130.txt").read_bytes()
OLD = (MAPS / "dmesg/108.txt").read_bytes()
IOMEM = (MAPS / "iomem/014.txt").read_bytes() + (MAPS / "iomem/008.txt").read_bytes()
ROWS = [(0, 0x9FC00, 1), (0x100000, 0x7FF00000, 1), (0xFED00000, 0x1000, 2)]
JSON = json.dumps({"schema": 1, "kind": "memory-map", "entries": ROWS}).encode()
PAGE = zero_page(ROWS)
DEPOSITS = b'{"schema": 1, "kind": "deposits", "deposits": [[256, 2], [512, 1]]}'
LINES = b"# two\n0x100000-0x101fff\n2M+8K\n"

MANIFEST = json.dumps(
    {
        "schema": 1,
        "segments": [
            {"file": "boot_params.bin", "addr": 0x90000, "size": 4096}
            | {"what": "boot_params"},
            {"file": "setup_data-0.bin", "addr": 0x8000, "size": 36}
            | {"what": "setup_data"},
            {"file": "cmdline.txt", "addr": 0x91000, "size": 6, "what": "cmdline"},
        ],
        "deposits": [{"base_pfn": 256, "nr_pages": 2, "owner": 1, "firmware_type": 1}],
        "kernel_window": [0x1000000, 0x2000000],
        "initrd": None,
    }
).encode()
HANDOFF = {
    "manifest.json": MANIFEST,
    "boot_params.bin": zero_page(ROWS, setup_data=0x8000, cmd_line_ptr=0x91000),
    "setup_data-0.bin": setup_data(1, e820_table([(0x1_0000_0000, 0x1000, 1)])),
    "cmdline.txt": b"quiet",
    "firmware.json": JSON,
    **{
        f"memmap/{at}/{name}": text
        for at, (addr, size, kind) in enumerate([*ROWS, (0x1_0000_0000, 0x1000, 1)])
        for name, text in (
            ("start", b"%#x\n" % addr),
            ("end", b"%#x\n" % (addr + size - 1)),
            ("type", (b"System RAM\n", b"Reserved\n")[kind - 1]),
        )
    },
}
SYSFS = {
    "data": zero_page(ROWS, setup_data=0x8000),
    "setup_data/0/type": b"0x1\n",
    "setup_data/0/data": e820_table([(0x1_0000_0000, 0x1000, 1)]),
}
MEMMAP = {
    "0/start": b"0x0\n",
    "0/end": b"0x9fbff\n",
    "0/type": b"System RAM\n",
    "1/start": b"0x100000\n",
    "1/end": b"0x7fffffff\n",
    "1/type": b"Reserved\n",
}
TREES = {"handoff": HANDOFF, "boot_params": SYSFS, "memmap": MEMMAP}


def written(directory, files):
    for name, data in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return directory


def one_line_or_value(read, *args, **options):
    try:
        return read(*args, **options)
    except (BadImageError, InputError) as exc:
        message = str(exc)
    assert message.isprintable()
    assert 0 < len(message) < 1000
    return None


def take(data, block=None):
    return one_line_or_value(read_map, "-", block=block, stdin=io.BytesIO(data))


@given(st.binary(max_size=300))
def test_noise_gives_one_line(data):
    take(data)


@given(st.integers(0, 1 << 32), st.integers(0, 255))
def test_noise_of_a_zero_page_s_length_gives_one_line(seed, count):
    noise = random.Random(seed).randbytes(4096)  # noqa: S311  no secret
    take(patched(noise, {0x1E8: bytes([count])}))


@given(st.text(max_size=300))
def test_text_gives_one_line(text):
    take(text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("data", [LOG, QUOTED, OLD, IOMEM, JSON, PAGE])
@given(choices=st.data())
def test_a_changed_source_gives_a_map_or_one_line(data, choices):
    block = choices.draw(
        st.sampled_from([None, "bios", "user", "modified", "extended"])
    )
    found = take(choices.draw(mutated(data)), block)
    if found is not None:
        assert not any(b in found.origin for b in "\n\r")
        assert all(addr + size <= 1 << 64 for addr, size, _ in found.rows())


@given(name=st.sampled_from(sorted(printers.FORMS)), choices=st.data())
def test_a_changed_list_of_another_program_gives_a_map_or_one_line(name, choices):
    write, rows = printers.FORMS[name]
    take(choices.draw(mutated(write(rows).encode())))


@pytest.mark.parametrize("tree", TREES)
@given(choices=st.data())
def test_a_changed_tree_gives_a_value_or_one_line(tree, choices):
    files = TREES[tree]
    name = choices.draw(st.sampled_from(sorted(files)))
    files = files | {name: choices.draw(mutated(files[name]))}
    with TemporaryDirectory() as name:
        path = written(Path(name), files)
        one_line_or_value(read_map, str(path))
        one_line_or_value(read_handoff, path)


@pytest.mark.parametrize("data", [DEPOSITS, LINES])
@given(choices=st.data())
def test_a_changed_deposits_file_gives_a_list_or_one_line(data, choices):
    with NamedTemporaryFile() as file:
        file.write(choices.draw(mutated(data)))
        file.flush()
        one_line_or_value(read_deposits, file.name)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(entries=json_values, notes=json_values, origin=json_values)
def test_any_json_gives_a_map_or_one_line(entries, notes, origin):
    found = {"schema": 1, "kind": "memory-map", "entries": entries}
    found |= {"notes": notes, "origin": origin}
    take(json.dumps(found).encode())


@given(any_rows())
def test_any_zero_page_reads_as_written(rows):
    assert take(zero_page(rows)).rows() == rows


def test_what_is_changed_above_reads_unchanged(tmp_path):
    assert all(take(data) for data in (LOG, QUOTED, OLD, IOMEM, JSON, PAGE))
    for name, files in TREES.items():
        path = written(tmp_path / name, files)
        assert len(read_map(str(path))) == (2 if name == "memmap" else 4)
    assert len(read_handoff(tmp_path / "handoff").ledger) == 1
    assert len(read_handoff(tmp_path / "boot_params").nodes) == 1
