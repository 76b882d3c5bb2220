"""What the kernels of the recorded consoles were given, built with struct alone."""

import json
import struct
from pathlib import Path

import pytest
import rawbytes

from e820pool.abi.boot_params import parse_boot_params
from e820pool.abi.setup_data import SetupDataNode
from e820pool.handoff.model import Handoff, PlacedNode

CONSOLES = Path(__file__).parents[1] / "data" / "consoles"

# Where tests/data/make/console_logs.py puts things.
PARAMS, CMDLINE, NODES, KERNEL = 2 << 20, (2 << 20) + 0x1000, 4 << 20, 16 << 20


class Recording:
    """One console with what led to it."""

    def __init__(self, path, case):
        self.release = path.parent.name
        self.name = path.stem
        self.text = path.read_text(encoding="utf-8")
        self.case = case

    @property
    def table(self):
        """Return the zero page's rows and all rows, as tuples."""
        rows = [tuple(row) for row in self.case["e820"]]
        more = [tuple(row) for row in self.case.get("ext", ())]
        return rows[:128], rows + more

    @property
    def placed_nodes(self):
        rows, every = self.table
        spill = every[len(rows) :]
        nodes = [(1, rawbytes.e820_table(spill))] if spill else []
        nodes += [(kind, bytes(size)) for kind, size in self.case.get("nodes", ())]
        placed, at = [], NODES
        for kind, data in nodes:
            placed.append((at, kind, data))
            at += (len(data) + 16 + 0xFFF) & ~0xFFF
        return placed

    @property
    def handoff(self):
        placed = self.placed_nodes
        nexts = [*(addr for addr, _, _ in placed[1:]), 0][: len(placed)]
        patches = {
            0x1E0: struct.pack("<I", self.case.get("alt_mem_k", 0)),
            0x210: b"\xff",
            0x250: struct.pack("<Q", placed[0][0] if placed else 0),
        }
        page = rawbytes.zero_page(self.table[0], patches=patches)
        return Handoff(
            boot_params=parse_boot_params(page),
            boot_params_addr=PARAMS,
            nodes=tuple(
                PlacedNode(addr=addr, node=SetupDataNode(type=kind, data=data, next=to))
                for (addr, kind, data), to in zip(placed, nexts, strict=True)
            ),
            cmdline=self.case.get("cmdline", "").encode(),
            cmdline_addr=CMDLINE,
        )


def recordings():
    cases = json.loads((CONSOLES / "cases.json").read_text(encoding="utf-8"))
    paths = sorted(CONSOLES.glob("*/*.log"))
    return [Recording(path, cases[path.stem]) for path in paths]


RECORDINGS = recordings()


# Tables that not every kernel takes as they are.
UNRULY = {"one-entry", "no-entry", "wraps", "ends-at-2-64", "table-full"}


def pytest_generate_tests(metafunc):
    for name, wanted in (
        ("recording", RECORDINGS),
        ("regular_recording", [one for one in RECORDINGS if one.name not in UNRULY]),
    ):
        if name in metafunc.fixturenames:
            ids = [f"{one.release}-{one.name}" for one in wanted]
            metafunc.parametrize(name, wanted, ids=ids)


@pytest.fixture(scope="session")
def all_recordings():
    """Return the list itself, where a test is about all of them."""
    return RECORDINGS


@pytest.fixture(scope="session")
def recording_of():
    """Return a function that finds one recording."""

    def find(release, name):
        return next(
            one for one in RECORDINGS if (one.release, one.name) == (release, name)
        )

    return find
