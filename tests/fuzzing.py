"""Whole commands on damaged input, and what must hold of every one of them.

The oracle: a documented status, one line where it is an error, no traceback, no control
character. Inputs begin as whole ones from writers of the tests' own. `tools/fuzz.py`
mutates them with coverage as its guide; here they are cut, repeated and overwritten.
"""

import contextlib
import gzip
import io
import json
import random
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import printers
import rawbytes
from rawhandoff import (
    GIB,
    NODE_ADDR,
    RECORD_TYPE,
    ROWS,
    RawHandoff,
    map_file,
    with_reserved,
)
from rawlive import RawLive

from e820pool.cli import main

FOLDER = Path(__file__).parent / "data" / "fuzz"
STATUSES = {0, 1, 2, 3, 4}
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
# Of a command whose result is JSON an error is, too.
ERRORS = ("e820pool: ", '{"schema": 1, "error": ')
RECORD_NODE = rawbytes.pool_record([(GIB >> 12, 4, 0, 1)])
HANDOFF = RawHandoff(
    rows=tuple(with_reserved(ROWS, [(GIB >> 12, 4)])),
    deposits=((GIB >> 12, 4),),
    nodes=((NODE_ADDR, RECORD_TYPE, RECORD_NODE),),
)
LOG = printers.linux(ROWS)
BUDDY = "Node 0, zone   Normal  12 4 3 2 1 0 0 1 0 0 7\nNode 0, zone  DMA32 1 1 1\n"
DEPOSITS = {"schema": 1, "kind": "deposits", "deposits": [[GIB >> 12, 4], [9, 1]]}
CONFIG = 'CONFIG_NODES_SHIFT=10\n# CONFIG_KEXEC is not set\nCONFIG_CMDLINE="quiet"\n'
CONSOLE = LOG + "Memory: 1024K/2048K available\nSmoke: reported\n"
RECORD = {"id": "x", "kernel": "6.1", "e820": [list(row) for row in ROWS]}


@dataclass(frozen=True)
class Reader:
    """A command line with the damaged file in it, and whole files to begin with.

    `words` has FILE where the file goes, and names of the folder's other files.
    """

    name: str
    words: str
    seeds: tuple

    def run(self, folder, data):
        """Raise AssertionError where the command breaks a rule."""
        path = folder / f"input{self.suffix}"
        path.write_bytes(data)
        words = self.words.replace("FILE", str(path)).replace("DIR", str(folder))
        check(words.split())

    @property
    def suffix(self):
        return ".parquet" if self.name == "parquet" else ""


def prepare(folder):
    """Write the files that stand beside the damaged one."""
    map_file(folder / "machine.json")
    HANDOFF.write(folder / "out")
    (folder / "vmlinuz").write_bytes(rawbytes.bzimage())
    RawLive().write(folder / "root")


def check(words):
    """Run a command, and hold it to the rules."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err
    try:
        code = main(words)
    finally:
        sys.stdout, sys.stderr = before
    said = []
    for stream in (out, err):
        with contextlib.suppress(ValueError):
            stream.flush()
        said.append(stream.buffer.getvalue().decode("utf-8"))
    assert code in STATUSES, (code, said[1][-500:])
    assert not CONTROLS.search("".join(said)), said
    assert "Traceback" not in said[1], said[1]
    if code in {2, 3} and not said[0]:
        assert said[1].startswith(ERRORS), said[1]
        assert said[1].count("\n") == 1, said[1]


def _json(value):
    return json.dumps(value).encode()


def _verdicts():
    finding = {"id": "x", "level": "note", "message": "m", "source": "s", "extents": []}
    verdict = {"kernel": "6.1", "verdict": "safe", "findings": [finding]}
    return _json({"schema": 1, "kind": "verdicts", "verdicts": [verdict]})


def _kept():
    head = {"schema": 1, "kind": "kept-results"}
    line = {"key": "x", "digest": "0", "result": {}}
    return _json(head) + b"\n" + _json(line) + b"\n"


def _manifest():
    with tempfile.TemporaryDirectory() as folder:
        HANDOFF.write(Path(folder, "out"))
        return Path(folder, "out", "manifest.json").read_bytes()


MAPS = (
    LOG.encode(),
    _json({"schema": 1, "kind": "memory-map", "entries": [list(r) for r in ROWS]}),
    rawbytes.zero_page(ROWS),
    b"00001000-0009ffff : System RAM\n00100000-bfffffff : System RAM\n",
    gzip.compress(LOG.encode(), mtime=0),
    *(write(rows).encode() for write, rows in printers.FORMS.values()),
)
ON_OUT = "--kernel 6.1"
READERS = (
    Reader("map", "show FILE", MAPS),
    Reader("picture", "show FILE --format picture", MAPS[:2]),
    Reader("diff", "diff FILE DIR/machine.json", MAPS[:3]),
    Reader("page", f"check FILE {ON_OUT}", (rawbytes.zero_page(ROWS),)),
    Reader("fleet", "fleet FILE --kernel 6.1", (_json(RECORD) + b"\n",)),
    Reader("parquet", "fleet FILE --kernel 6.1", (b"PAR1",)),
    Reader("predict", "predict --jsonl FILE", (_json(RECORD) + b"\n",)),
    Reader("check", "check --jsonl FILE", (_json(RECORD) + b"\n",)),
    Reader(
        "deposits",
        "kexec --kernel DIR/vmlinuz --root DIR/root --state DIR/s --deposits FILE",
        (_json(DEPOSITS), b"1G+16K # x\n", b"start,size\n0x40000000,4K\n"),
    ),
    Reader("ranges", "build DIR/machine.json --deposit @FILE -o DIR/o", (b"1G+4K\n",)),
    Reader(
        "buddyinfo",
        "stress --ram 1G --guests 1 --days 0.01 --buddyinfo FILE",
        (BUDDY.encode(),),
    ),
    Reader("image", "check DIR/out --kernel FILE", (rawbytes.bzimage(),)),
    Reader("config", f"check DIR/out {ON_OUT} --config FILE", (CONFIG.encode(),)),
    Reader("console", f"check DIR/out {ON_OUT} --console FILE", (CONSOLE.encode(),)),
    Reader("firmware", "rebuild DIR/out --firmware-map FILE", MAPS[:3]),
    Reader("report", "report FILE -o DIR/r.html", (_verdicts(), _kept())),
    Reader("kept", "fleet DIR/machine.json --kernel 6.1 --results FILE", (_kept(),)),
)


class HandoffReader(Reader):
    """A handoff directory of which one file is damaged."""

    def run(self, folder, data):
        path = folder / "out" / self.words
        before = path.read_bytes()
        path.write_bytes(data)
        try:
            check(["check", str(folder / "out"), "--kernel", "6.1"])
            check(["rebuild", str(folder / "out")])
        finally:
            path.write_bytes(before)


READERS += (
    HandoffReader("manifest", "manifest.json", (_manifest(),)),
    HandoffReader("boot-params", "boot_params.bin", (rawbytes.zero_page(ROWS),)),
    HandoffReader(
        "node",
        "setup_data-0.bin",
        (rawbytes.setup_data(RECORD_TYPE, RECORD_NODE),),
    ),
)
BY_NAME = {reader.name: reader for reader in READERS}


def reader_of(path):
    """Return the reader that a find `fuzz_READER-...` is for."""
    name = path.name.removeprefix("fuzz_").partition(".")[0]
    return max(
        (r for r in READERS if name.startswith(r.name)), key=lambda r: len(r.name)
    )


WORDS = (b"\x1b[31m", b"\xff", b"\0", b"-1", b"1e999", b"null", b"{}", b"[]", b"\x80")
WORDS += (b"99999999999999999999", b"0x", b'"', b"\xed\xa0\x80", b"\\ud800", b" " * 99)


def mutated(data, draw):
    """Return damaged bytes; the same for the same `random.Random`."""
    out = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 4))):
        at = draw.randrange(len(out) + 1)
        end = min(len(out), at + draw.choice((1, 2, 4, 8, 64)))
        match draw.randrange(5):
            case 0 if at < len(out):
                out[at] ^= 1 << draw.randrange(8)
            case 1:
                out[at:end] = b""
            case 2:
                out[at:at] = out[at:end] * draw.choice((1, 2, 50))
            case 3:
                out[at:end] = draw.choice(WORDS)
            case _:
                del out[at:]
    return bytes(out)


def faults(reader, folder, seed, rounds):
    """Yield each damaged input that breaks a rule, with what was broken."""
    draw = random.Random(f"{reader.name} {seed}")  # noqa: S311  no secret
    for _ in range(rounds):
        data = mutated(draw.choice(reader.seeds), draw)
        try:
            reader.run(folder, data)
        except AssertionError as exc:
            yield data, str(exc)
