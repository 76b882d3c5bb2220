"""boot_params.ksy is up to date, and Kaitai's own compiler reads bytes as we do."""

import dataclasses
import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import rawbytes
from construct import Int16ub, Int32sl
from hypothesis import given
from strategies import noise

from e820pool.abi.binding import BoundField
from e820pool.abi.boot_params import parse_boot_params
from e820pool.abi.e820 import parse_table
from e820pool.abi.kaitai import _field, boot_params_ksy
from e820pool.abi.setup_data import parse_node

ROOT = Path(__file__).parents[2]
KSY = ROOT / "specs" / "boot_params.ksy"
RUNNING = Path("/sys/kernel/boot_params/data")
ROWS = [(n << 21, 1 << 20, n % 7 + 1) for n in range(128)]

PAGES = {
    "zeros": bytes(4096),
    "ones": b"\xff" * 4096,
    "a kernel's header": rawbytes.zero_page(ROWS[:3]),
    "a full table": rawbytes.zero_page(ROWS, setup_data=0x1234_5678_9ABC_DEF0),
    "each byte another": bytes(n % 251 for n in range(4096)),
}


def test_the_file_is_what_the_definitions_say():
    remedy = "run python tools/boot_params_ksy.py"
    assert KSY.read_text(encoding="utf-8") == boot_params_ksy(), remedy


def test_order_and_sign_of_numbers_are_said_where_they_are_not_the_usual():
    def lines(of):
        field = BoundField(name="_X", offset=16, of=of, count=2, protocol=0)
        return [line.strip() for line in _field(field, {})]

    assert lines(Int16ub)[:3] == ["- id: x  # 0x10", "-orig-id: _X", "type: u2be"]
    assert lines(Int32sl)[2:] == ["type: s4", "repeat: expr", "repeat-expr: 2"]


def test_what_kaitai_cannot_say_is_refused():
    with pytest.raises(TypeError, match="no equivalent in Kaitai"):
        list(_field(BoundField(name="x", offset=0, of=3, count=0, protocol=0), {}))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The Python class that Kaitai's compiler makes of the file."""
    done = subprocess.run(
        ["sh", ROOT / "tools" / "kaitai-compiler.sh", "--folder"],
        capture_output=True,
        text=True,
        check=True,
    )
    modules = Path(done.stdout.strip()) / "node_modules"
    if shutil.which("node") is None or not (modules / "js-yaml").is_dir():
        pytest.skip("no Kaitai compiler: run sh tools/kaitai-compiler.sh")
    folder = tmp_path_factory.mktemp("kaitai")
    subprocess.run(
        ["node", ROOT / "tests" / "kaitai_compile.js", KSY, folder],
        env=os.environ | {"NODE_PATH": str(modules)},
        check=True,
    )
    path = folder / "boot_params.py"
    spec = importlib.util.spec_from_file_location("kaitai_boot_params", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.BootParams


def differences(ours, theirs, path=""):
    """Yield each field that the two readers do not agree on."""
    for field in dataclasses.fields(ours):
        mine = getattr(ours, field.name)
        its = getattr(theirs, field.name.lstrip("_").lower())
        where = f"{path}.{field.name}"
        if field.name == "e820_table":
            its = [(entry.addr, entry.size, entry.type) for entry in its]
            mine = parse_table(mine).tolist()
        elif dataclasses.is_dataclass(mine):
            yield from differences(mine, its, where)
            continue
        elif isinstance(mine, tuple) and dataclasses.is_dataclass(mine[0]):
            for n, (one, two) in enumerate(zip(mine, its, strict=True)):
                yield from differences(one, two, f"{where}[{n}]")
            continue
        if mine != (tuple(its) if isinstance(mine, tuple) else its):
            yield where, mine, its


@pytest.mark.kaitai
@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_kaitai_reads_every_field_as_we_do(compiled, page):
    theirs = compiled.from_bytes(page)
    assert list(differences(parse_boot_params(page), theirs)) == []
    assert theirs._io.is_eof()


@pytest.mark.kaitai
@given(page=noise(4096))
def test_kaitai_reads_any_page_as_we_do(compiled, page):
    ours = parse_boot_params(page)
    assert list(differences(ours, compiled.from_bytes(page))) == []


@pytest.mark.skipif(not RUNNING.is_file(), reason="no /sys/kernel/boot_params here")
def test_kaitai_reads_this_machine_s_page_as_we_do(compiled):
    page = RUNNING.read_bytes()
    ours = parse_boot_params(page)
    assert list(differences(ours, compiled.from_bytes(page))) == []


@pytest.mark.kaitai
def test_a_page_that_is_cut_is_no_page_to_kaitai_either(compiled):
    with pytest.raises(EOFError):
        compiled.from_bytes(PAGES["zeros"][:-1])


@pytest.mark.kaitai
def test_a_difference_would_be_seen(compiled):
    """A field shifted by a byte: what makes the tests above tests."""
    page = PAGES["each byte another"]
    found = list(
        differences(parse_boot_params(page), compiled.from_bytes(page[1:] + b"\0"))
    )
    assert len(found) > 200


@pytest.mark.kaitai
@pytest.mark.parametrize(
    "data", [b"", b"payload", bytes(100)], ids=["empty", "text", "zeros"]
)
def test_kaitai_reads_a_setup_data_node_as_we_do(compiled, data):
    raw = rawbytes.setup_data(0x504D504F, data, next_=0x1_2345_6789)
    ours, theirs = parse_node(raw), compiled.SetupData.from_bytes(raw)
    assert (theirs.next, theirs.type, theirs.len, theirs.data) == (
        ours.next,
        ours.type,
        ours.len,
        ours.data,
    )
