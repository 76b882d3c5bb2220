"""Write maps and handoff directories with struct and json alone, also wrong ones."""

import json
import struct
from dataclasses import dataclass

import rawbytes

MIB, GIB = 1 << 20, 1 << 30
# A clean machine of 40 GiB, nothing odd in it, so that nothing is noted.
ROWS = (
    (0x0, 0x9F000, 1),
    (0x9F000, 0x61000, 2),
    (0x100000, 0xBFF00000, 1),
    (0xC0000000, 0x10000, 3),
    (0xFEC00000, 0x1400000, 2),
    (0x100000000, 0x900000000, 1),
)
RECORD_TYPE = 0x6C703865
EXT_TYPE = 1
PAGE_ADDR, LINE_ADDR, NODE_ADDR = 0x100000, 0x101000, 0x102000


def map_file(path, rows=ROWS):
    """Write a memory map as JSON and return its path."""
    entries = [list(row) for row in rows]
    document = {"schema": 1, "kind": "memory-map", "entries": entries}
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def with_reserved(rows, deposits):
    """Return rows with RAM carved around `(base_pfn, nr_pages)` deposits."""
    cut = [(base << 12, (base + nr) << 12) for base, nr in sorted(deposits)]
    made = [(start, end - start, 2) for start, end in cut]
    for addr, size, kind in rows:
        reach, last = addr, addr + size
        for start, end in cut:
            if addr <= start and end <= last:
                made.append((reach, start - reach, kind))
                reach = end
        made.append((reach, last - reach, kind))
    return sorted(row for row in made if row[1])


@dataclass(frozen=True)
class RawHandoff:
    """A handoff directory in the making; `page` replaces the zero page whole."""

    rows: tuple = ROWS
    deposits: tuple = ()
    nodes: tuple = ()
    cmdline: bytes = b""
    page: bytes | None = None
    node_bytes: tuple = ()
    page_addr: int = PAGE_ADDR
    line_addr: int = LINE_ADDR

    def files(self):
        """Return `(name, addr, bytes, what)` of each part."""
        head, parts = rawbytes.setup_data_chain(self.nodes)
        parts = self.node_bytes or parts
        if self.node_bytes:
            head = self.node_bytes[0][0]
        page = self.page or rawbytes.zero_page(
            self.rows, setup_data=head, cmd_line_ptr=self.line_addr
        )
        nodes = [
            (f"setup_data-{at}.bin", addr, data, "setup_data")
            for at, (addr, data) in enumerate(parts)
        ]
        return [
            ("boot_params.bin", self.page_addr, page, "boot_params"),
            *nodes,
            ("cmdline.txt", self.line_addr, self.cmdline, "cmdline"),
        ]

    def write(self, path):
        """Write the directory with its manifest and return the path."""
        path.mkdir()
        segments = []
        for name, addr, data, what in self.files():
            (path / name).write_bytes(data)
            size = len(data) + (what == "cmdline")
            segments.append({"file": name, "addr": addr, "size": size, "what": what})
        deposits = [list(pair) for pair in self.deposits]
        head = {"schema": 1, "kind": "handoff"}
        document = head | {"segments": segments, "deposits": deposits}
        (path / "manifest.json").write_text(json.dumps(document), encoding="utf-8")
        return path


def entries_of(path):
    """Return `(file, offset, addr, size, type)` of each entry of a directory."""
    page = (path / "boot_params.bin").read_bytes()
    yield from _entries("boot_params.bin", page, 0x2D0, page[0x1E8])
    for name in sorted(path.glob("setup_data-*.bin")):
        data = name.read_bytes()
        _, kind, length = struct.unpack_from("<QII", data)
        if kind == EXT_TYPE:
            yield from _entries(name.name, data, 16, length // 20)


def set_type(path, addr, kind):
    """Change the type of the entry that covers `addr`, wherever it lies."""
    for name, offset, start, size, _ in entries_of(path):
        if start <= addr < start + size:
            data = bytearray((path / name).read_bytes())
            struct.pack_into("<I", data, offset + 16, kind)
            (path / name).write_bytes(data)
            return
    raise AssertionError(f"no entry covers {addr:#x}")


def drop_record(path):
    """Take the pool record out of a directory: its node, its name, its pointer."""
    document = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    kept = []
    for segment in document["segments"]:
        data = (path / segment["file"]).read_bytes()
        is_node = segment["what"] == "setup_data"
        if is_node and struct.unpack_from("<I", data, 8)[0] == RECORD_TYPE:
            (path / segment["file"]).unlink()
            last = kept[-1]["file"]
            at = 0 if last.startswith("setup_data") else 0x250
            raw = bytearray((path / last).read_bytes())
            raw[at : at + 8] = bytes(8)
            (path / last).write_bytes(raw)
        else:
            kept.append(segment)
    document["segments"] = kept
    (path / "manifest.json").write_text(json.dumps(document), encoding="utf-8")


def _entries(name, data, start, count):
    for at in range(count):
        offset = start + 20 * at
        yield name, offset, *struct.unpack_from("<QQI", data, offset)
