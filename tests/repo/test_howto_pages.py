"""The code that docs/ shows does what the pages say."""

import re
import tomllib
from pathlib import Path

from e820pool.deposits import DepositLedger
from e820pool.handoff.build import build_handoff
from e820pool.handoff.encodings import ENCODINGS
from e820pool.kernel.kernel_data import parse_kernel_data
from e820pool.memory_map import MemoryMap

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MIB = 1 << 20


def blocks(page, language):
    text = (DOCS / page).read_text(encoding="utf-8")
    pattern = rf"^```{language}\n(.*?)^```$"
    return re.findall(pattern, text, re.MULTILINE | re.DOTALL)


def names_of(code):
    """Run a module that a page shows and return its names."""
    names = {"__name__": "shown"}
    exec(compile(code, "page", "exec"), names)  # noqa: S102  our own page
    return names


def test_the_shown_reader_reads_the_shown_text():
    (code,) = blocks("add-source-format.md", "python")
    sample = blocks("add-source-format.md", "")[0]
    shown = names_of(code)
    assert shown["looks_like_lsmmap"](sample)
    found = shown["read_lsmmap"](sample)
    assert found.rows() == [
        (0, 0x9FC00, 1),
        (0x9FC00, 0x400, 2),
        (MIB, 0x7FF0_0000, 1),
    ]
    assert not found.notes
    odd = shown["read_lsmmap"](sample.replace("reserved RAM", "bad RAM"))
    assert [one.id for one in odd.notes] == ["unknown-words"]


def test_the_shown_encoding_can_be_built(monkeypatch):
    (code,) = blocks("add-encoding.md", "python")
    encoding = names_of(code)["UNUSABLE"]
    monkeypatch.setitem(ENCODINGS, encoding.name, encoding)
    memory_map = MemoryMap.of([(0, 0x9F000, 1), (MIB, 511 * MIB, 1)])
    ledger = DepositLedger.of_ranges([(64 * MIB, 66 * MIB)])
    from e820pool.handoff.build import BuildOptions

    handoff = build_handoff(memory_map, ledger, BuildOptions(encoding=encoding.name))
    assert (64 * MIB, 2 * MIB, 5) in handoff.boot_params.e820_map.tolist()


def test_the_shown_records_fit_into_the_kernel_data():
    named, behaviour = blocks("add-kernel-release.md", "toml")
    files = {
        path.name: path.read_text(encoding="utf-8")
        for path in (ROOT / "specs" / "kernels").glob("*.toml")
    }
    ((major, minor),) = tomllib.loads(named)["series"].items()
    end = re.compile(rf'^"{major}" = \d+$', re.MULTILINE)
    changed = end.sub(f'"{major}" = {minor}', files["releases.toml"])
    files["releases.toml"] = changed + "\n" + named[named.index("[[release]]") :]
    data = parse_kernel_data(files)
    assert data.releases[-1].name == f"{major}.{minor}"
    assert behaviour.strip() in "".join(files.values())
