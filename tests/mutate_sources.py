"""Read a great many damaged inputs in one process, each reader's, and say what broke.

python tests/mutate_sources.py [COUNT] [SEED]

Each input is one that a reader takes, with one to four changes. What is held: reading
gives a value or one line of ours, within a time, within a memory; and of a map of which
one character was changed no entry is lost without a word.
"""

import base64
import bz2
import contextlib
import gzip
import io
import json
import lzma
import random
import re
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

import printers
import rawbytes

from e820pool.errors import BadImageError, InputError
from e820pool.range_text import read_range
from e820pool.sources.boot_params_file import map_of_boot_params
from e820pool.sources.buddyinfo import parse_free_blocks
from e820pool.sources.deposits_file import parse_changes
from e820pool.sources.elf_core import dumped_ranges, kernel_text
from e820pool.sources.fleet_files import read_fleet
from e820pool.sources.handoff_dir import read_handoff
from e820pool.sources.kernel_config import parse_config_text
from e820pool.sources.kernel_console import read_console
from e820pool.sources.kernel_payload import embedded_config, kernel_parts
from e820pool.sources.manifest import parse_manifest
from e820pool.sources.recognise import read_map

# Few, so that a million are read in an hour.
ROWS = (*printers.ROWS[:4], printers.ROWS[-1])
PAGES = tuple(row for row in ROWS if row in printers.PAGES)
GROWTH_BYTES = 1 << 30
SECONDS = 5.0
#: Notes that say that there is more than what was read: not how much.
MORE = {
    *("entries-missing", "lines-missing", "no-headline", "start-cut"),
    *("several-boots", "other-blocks", "other-maps", "overlap", "nesting-lost"),
}
_RESOURCES = {1: "System RAM", 2: "Reserved", 3: "ACPI Tables"}
_RESOURCES |= {4: "ACPI Non-volatile Storage"}


def _dialect(dialect):
    words = {1: "usable", 2: "reserved", 3: "ACPI data", 4: "ACPI NVS"}
    new = words | {1: "System RAM", 2: "device reserved"}
    reach = 0
    yield "BIOS-provided physical RAM map:"
    for addr, size, kind in ROWS:
        if dialect == "2.4":
            yield f" BIOS-e820: {size:016x} @ {addr:016x} ({words[kind]})"
        elif dialect == "pre-3.5":
            yield f" BIOS-e820: {addr:016x} - {addr + size:016x} ({words[kind]})"
        elif dialect == "3.5":
            yield f"BIOS-e820: [mem {addr:#018x}-{addr + size - 1:#018x}] {words[kind]}"
        else:
            if addr > reach:
                yield f"BIOS-e820: [gap {reach:#018x}-{addr - 1:#018x}]"
            yield f"BIOS-e820: [mem {addr:#018x}-{addr + size - 1:#018x}]  {new[kind]}"
        reach = addr + size
    yield "NX (Execute Disable) protection: active"
    yield "e820: update [mem 0x00000000-0x00000fff] usable ==> reserved"
    yield "last_pfn = 0x180000 max_arch_pfn = 0x400000000"


def _log(dialect, prefix="", end="\n"):
    return "".join(f"{prefix}{line}{end}" for line in _dialect(dialect))


def _iomem():
    lines = [f"{a:08x}-{a + s - 1:08x} : {_RESOURCES[t]}" for a, s, t in ROWS]
    lines[3:3] = ["  02000000-02ffffff : Kernel code"]
    lines[-1:-1] = ["fec00000-fec003ff : IOAPIC 0"]
    return "".join(f"{line}\n" for line in lines)


def _journal(key="MESSAGE", **other):
    records = ({key: line, **other} for line in _dialect("3.5"))
    return "".join(json.dumps(record) + "\n" for record in records)


def _logs():
    stamp, syslog = "[    0.000000] ", "Feb  7 11:03:40 host-17 kernel: "
    for dialect in ("2.4", "pre-3.5", "3.5", "7.0"):
        yield f"log {dialect}", _log(dialect, stamp)
    yield "log syslog", _log("3.5", syslog)
    yield "log quoted", _log("3.5", f"> > {stamp}")
    yield "log CR LF", _log("3.5", stamp, "\r\n")
    yield "log joined", _log("3.5", stamp, "\\n")
    yield "log br", _log("3.5", stamp, "<br>\n")
    yield "log colour", _log("3.5", "\x1b[32m[    0.000000] \x1b[0m")
    yield "log old joined", _log("pre-3.5", stamp, "#012")
    first = f"{stamp}Linux version 6.1.0 (a@b) #1 SMP\n{stamp}Command line: ro\n"
    user = "".join(
        f"{stamp}user: [mem {a:#018x}-{a + s - 1:#018x}] usable\n" for a, s, _ in PAGES
    )
    yield (
        "log two boots",
        first + _log("3.5", stamp) + first + _log("3.5", stamp),
    )
    yield (
        "log user",
        f"{first}{_log('3.5', stamp)}{stamp}user-defined physical RAM map:\n{user}",
    )
    yield "journal json", _journal(_BOOT_ID="0" * 32)
    yield "docker json", _journal("log", stream="stdout", time="2026-01-01T00:00:00Z")
    yield "dmesg -J", json.dumps({"dmesg": [{"msg": one} for one in _dialect("3.5")]})


def _texts():
    """Maps in text: name to text, and the rows that are in it."""
    found = {name: (text, ROWS) for name, text in _logs()}
    for name, (write, rows) in printers.FORMS.items():
        known = tuple(row for row in rows if row in ROWS)
        found[name] = (write(known), known)
    found["iomem"] = (_iomem(), ROWS)
    found["iomem grep -H"] = (
        "".join(f"/proc/iomem:{line}\n" for line in _iomem().splitlines()),
        ROWS,
    )
    return found


PAGE = rawbytes.zero_page(list(ROWS))
NODE = rawbytes.setup_data(1, rawbytes.e820_table([(0x2_0000_0000, 0x1000, 1)]))
MAP_JSON = json.dumps({"schema": 1, "kind": "memory-map", "entries": ROWS})
MANIFEST = json.dumps(
    {
        "schema": 1,
        "segments": [
            {"file": name, "addr": addr, "size": size, "what": what}
            for name, addr, size, what in (
                ("boot_params.bin", 0x90000, 4096, "boot_params"),
                ("setup_data-0.bin", 0x8000, len(NODE), "setup_data"),
                ("cmdline.txt", 0x91000, 6, "cmdline"),
            )
        ],
        "deposits": [{"base_pfn": 256, "nr_pages": 2, "owner": 1, "firmware_type": 1}],
        "kernel_window": [0x1000000, 0x2000000],
        "initrd": None,
    }
)
HANDOFF = {
    "manifest.json": MANIFEST.encode(),
    "boot_params.bin": rawbytes.zero_page(
        list(ROWS), setup_data=0x8000, cmd_line_ptr=0x91000
    ),
    "setup_data-0.bin": NODE,
    "cmdline.txt": b"quiet",
    "firmware.json": MAP_JSON.encode(),
}
TREE = {
    f"{at}/{name}": value.encode()
    for at, (addr, size, kind) in enumerate(ROWS)
    for name, value in (
        ("start", f"{addr:#x}\n"),
        ("end", f"{addr + size - 1:#x}\n"),
        ("type", f"{_RESOURCES[kind]}\n"),
    )
}
CONFIG = '# CONFIG_EFI is not set\nCONFIG_NODES_SHIFT=6\nCONFIG_CMDLINE="mem=1G"\n'
CARRIED = b"IKCFG_ST" + gzip.compress(CONFIG.encode()) + b"IKCFG_ED"
BUDDY = (
    "Node 0, zone      DMA      1      0      1\n"
    "Node 0, zone   Normal    100     20      3\n"
)
CONSOLE = (
    "[    0.000000] Linux version 6.1.0 (a@b) #1 SMP\n"
    "[    0.000000] Command line: console=ttyS0\n"
    + _log("3.5", "[    0.000000] ")
    + "[    0.010000] Memory: 2031616K/2096632K available (14336K kernel code)\n"
    "[    0.020000] BUG: unable to handle page fault for address: ffff888000000000\n"
    "[    0.021000] Kernel panic - not syncing: Fatal exception\n"
)


def _stdin(data):
    return read_map("-", stdin=io.BytesIO(data))


def _text(read):
    return lambda data: read(data.decode("utf-8", "replace"))


class Trees:
    """A folder in memory in which one file is changed at a time."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.paths = {}
        for name, files in (("handoff", HANDOFF), ("memmap", TREE)):
            for file, data in files.items():
                path = self.folder / name / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                self.paths[name, file] = data

    def reader(self, name, file, read):
        path = self.folder / name / file

        def read_changed(data):
            path.write_bytes(data)
            try:
                return read(self.folder / name)
            finally:
                path.write_bytes(self.paths[name, file])

        return read_changed

    def read_lines(self, data):
        path = self.folder / "fleet.jsonl"
        path.write_bytes(data)
        return list(read_fleet(str(path)))


def inputs(folder):
    """Name to (bytes, reader, rows that are in it or None)."""
    trees = Trees(folder)
    found = {
        name: (text.encode(), _stdin, rows) for name, (text, rows) in _texts().items()
    }
    log = _log("3.5", "[    0.000000] ").encode()
    for name, data in {
        "gzip": gzip.compress(log),
        "bzip2": bz2.compress(log),
        "xz": lzma.compress(log),
        "utf-16": _log("3.5", end="\r\n").encode("utf-16"),
        "utf-16 without a mark": log.decode().encode("utf-16-le"),
        "utf-32": log.decode().encode("utf-32"),
        "zero page": PAGE,
        "hexdump -C": printers.hexdump_c(PAGE).encode(),
        "hexdump": printers.hexdump_words(PAGE).encode(),
        "xxd": printers.xxd(PAGE).encode(),
        "json": MAP_JSON.encode(),
        "journal bytes": b"".join(
            json.dumps({"MESSAGE": list(line.encode())}).encode() + b"\n"
            for line in _dialect("3.5")
        ),
        "base64": base64.b64encode(log),
    }.items():
        found[name] = (data, _stdin, None)
    found["zero page and node"] = (
        NODE[16:],
        lambda data: map_of_boot_params(PAGE, ext=[data], origin="page"),
        None,
    )
    for name, text in {
        "deposits json": '{"schema": 1, "deposits": [[256, 2], "4K@1M", {"start": 1}]}',
        "deposits lines": "# two\n0x100000-0x101fff\n2M+8K\n8K$1G\n40000000-401fffff\n",
        "deposits csv": "start,size,owner\n0x100000,8192,3\n0x200000,4K,0x4\n",
    }.items():
        found[name] = (text.encode(), lambda data: parse_changes(data, "file"), None)
    for text in ("0x100000-0x101fff", "2M@1G", "pfn:0x100+2", "[mem 0x1000-0x1fff]"):
        found[f"range {text}"] = (text.encode(), _text(read_range), None)
    found["console"] = (CONSOLE.encode(), _text(read_console), None)
    found["config"] = (CONFIG.encode(), _text(parse_config_text), None)
    found["manifest"] = (
        MANIFEST.encode(),
        _text(lambda text: parse_manifest(text, "file")),
        None,
    )
    found["buddyinfo"] = (BUDDY.encode(), _text(parse_free_blocks), None)
    image = rawbytes.bzimage(payload=gzip.compress(CARRIED + bytes(64)))
    found["image"] = (image, lambda data: b"".join(kernel_parts(data)), None)
    found["image's configuration"] = (image, embedded_config, None)
    core = rawbytes.elf_core((0xFFFFFFFF81000000, 0x1000000, 0x2000), (0, 0, 0x1000))
    found["core"] = (core, dumped_ranges, None)
    found["kcore"] = (core, kernel_text, None)
    found["fleet"] = (
        b'{"id": "a", "e820": [[0, 4096, 1]], "deposits": [[1, 2]]}\n' * 3,
        trees.read_lines,
        None,
    )
    for name, file in trees.paths:
        if name == "handoff":
            found[f"handoff {file}"] = (
                trees.paths[name, file],
                trees.reader(name, file, read_handoff),
                None,
            )
    for file in ("0/start", "1/end", "2/type"):
        found[f"memmap {file}"] = (
            TREE[file],
            trees.reader("memmap", file, lambda path: read_map(str(path))),
            None,
        )
    return found


NOISE = (
    *(b"\0", b"\n", b"\r", b"\r\n", b" ", b"=\n", b"\xff", b"\x1b[1m", b"\\n", b"<br>"),
    *(b"0", b"f", b"-", b"]", b"[mem ", b"usable", b"BIOS-e820: ", b"e820", b"{", b'"'),
    *(b"Linux version 6.1", b"99999999999999999999", b"0x", b",", b":", b"#012", b"> "),
    *(b"=3D", b"\xc3\xa9", b"\xff\xfe", b"[gap 0x", b"physical RAM map:", b"\t", b"("),
)


def changed(data, choose):
    """The bytes with one to four changes of any kind."""
    for _ in range(choose.choice((1, 1, 1, 2, 4))):
        at = choose.randrange(len(data) + 1)
        until = min(len(data), at + choose.choice((1, 1, 2, 8, 40, 400)))
        way = choose.randrange(7)
        if way == 0:
            data = data[:at] + data[until:]
        elif way == 1:
            data = data[:at] + choose.choice(NOISE) + data[at:]
        elif way == 2:
            data = data[:at] + choose.choice(NOISE) + data[until:]
        elif way == 3:
            data = (
                data[:until] + data[at:until] * choose.choice((1, 2, 9)) + data[until:]
            )
        elif way == 4:
            data = data[:at] + choose.randbytes(until - at) + data[until:]
        elif way == 5:
            other = choose.randrange(len(data) + 1)
            data = data[:at] + data[other : other + until - at] + data[at:]
        elif data:
            place = choose.randrange(len(data))
            flipped = data[place] ^ 1 << choose.randrange(8)
            data = data[:place] + bytes([flipped]) + data[place + 1 :]
    return data


def touched(data, choose):
    """The bytes with one character changed, added or taken away."""
    at = choose.randrange(len(data))
    new = bytes([choose.choice(b"\t\n !#*-.:;=@Zx~0f|")])
    way = choose.randrange(3)
    if way == 0:
        return data[:at] + data[at + 1 :]
    return data[:at] + new + data[at + (way == 1) :]


class TooSlowError(Exception):
    """An input that takes longer than any may."""


def _late(_signal, _frame):
    raise TooSlowError(f"more than {SECONDS} s")


def fault(read, data, rows=None):
    """What is wrong with how an input is read; "" if nothing is.

    Args:
        rows: what the text had before one character of it was changed.
    """
    try:
        found = read(data)
    except (BadImageError, InputError) as exc:
        message = str(exc)
        if not message.isprintable() or not 0 < len(message) < 1000:
            return f"message {message!r}"
        return ""
    except Exception as exc:  # noqa: BLE001  this is what is looked for
        return f"{type(exc).__name__}: {exc}"
    if rows is None:
        return ""
    told = {note.id: note.message for note in found.notes}
    # "only pieces of 2 entries can be read": the first number says how many.
    cut = int(re.search(r"\d+", told.get("line-cut", "0"))[0])
    # A line end that was changed may damage two entries, on one line.
    if len(rows) - len(found) > cut + bool(cut) and not told.keys() & MORE:
        return f"{len(found)} of {len(rows)} entries and only {sorted(told)}"
    return ""


def run(count, seed, report):
    """Read so many inputs and report what is wrong; the number of faults."""
    choose = random.Random(seed)  # noqa: S311  no secret
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    signal.signal(signal.SIGALRM, _late)
    faults, slowest, seen = 0, (0.0, ""), set()
    with tempfile.TemporaryDirectory(dir=_memory_folder()) as folder:
        known = inputs(folder)
        names = sorted(known)
        for number in range(count):
            name = names[number % len(names)]
            data, read, rows = known[name]
            if rows is not None and choose.random() < 0.5:
                data = touched(data, choose)
            else:
                data, rows = changed(data, choose), None
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
            since = time.monotonic()
            told = fault(read, data, rows)
            signal.setitimer(signal.ITIMER_REAL, 0)
            slowest = max(slowest, (time.monotonic() - since, name))
            if told:
                faults += 1
                if (name, told[:30]) not in seen:
                    seen.add((name, told[:30]))
                    report(f"{number} {name}: {told}: {data[:3000]!r}")
            if number % 10_000 == 9_999:
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
                report(
                    f"{number + 1} inputs, {faults} faults, slowest {slowest[0]:.2f} s "
                    f"({slowest[1]}), memory grew by {(peak - start) >> 20} MiB"
                )
    return faults


def _memory_folder():
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108


def _limit_memory():
    size = int(Path("/proc/self/statm").read_text().split()[0]) << 12
    with contextlib.suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (size + GROWTH_BYTES,) * 2)


def _report(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(argv):
    """Run the number of inputs that is asked for; the exit status."""
    count, seed = (*map(int, argv), *(1_000_000, 1)[len(argv) :])
    _limit_memory()
    faults = run(count, seed, _report)
    _report(f"{count} inputs, seed {seed}: {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
