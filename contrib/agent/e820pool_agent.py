#!/usr/bin/env python3
"""Keep a ledger of deposited pages on disk, and serve it to ``e820pool kexec``.

A reference for whoever makes the hypercalls: the order in which things are written
down is the point of it.

* A deposit is written down, and is on disk, *before* the hypercall; a withdrawal
  *after* it. Killed in between, the ledger names a page too many, which costs memory;
  never one too few, which would be RAM of the next kernel.
* A frozen ledger stays frozen over a restart: a kernel is loaded with what it holds.
* It lives to the jump: systemd-shutdown spares a process of root's whose name begins
  with ``@``. Nothing is kept open, so that the file system of the ledger can be made
  read-only before that (``specs/kexec.md``).

One line is a request, on a UNIX stream socket that only root can reach; the answer is
JSON and ends with the connection::

    deposits | freeze | thaw            what ``e820pool kexec --agent`` asks
    deposit PFN NR_PAGES [OWNER]        said before the hypercall
    withdraw PFN NR_PAGES               said after it
    lock NR_PAGES [OWNER]               deposits for trying out: pages of this process,
                                        locked; they are RAM again when it ends

    e820pool_agent.py serve
    e820pool_agent.py ask deposit 0x40000 4 7
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import json
import mmap
import os
import socket
import socketserver
import struct
import sys
import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool import (
    Deposit,
    DepositLedger,
    E820PoolError,
    ExtentSet,
    InputError,
    read_map,
)

if TYPE_CHECKING:
    import io

SOCKET = Path("/run/e820pool/agent.sock")
LEDGER = Path("/var/lib/e820pool/agent.ledger")
TABLE = Path("/sys/firmware/memmap")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
COMPACTION = Path("/proc/sys/vm/compact_unevictable_allowed")

LINE_BYTES = 200
SECONDS = 5.0


class DamagedError(Exception):
    """A ledger of which a line that was answered for cannot be read."""


class Journal:
    """The file: a record a line, each with a checksum, on disk before it is answered.

    The last line may be torn, by a kill or by a loss of power: nobody was told that it
    was written. It is cut off. Any other line that cannot be read is damage, and so is
    a file without its first: it was put in its place whole.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[dict]:
        """Return the records; cut a torn one off."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return []
        records, at = [], 0
        for line in data.splitlines(keepends=True):
            record = _record(line)
            if record is None:
                if not records or at + len(line) < len(data):
                    raise self._damage(len(records) + 1)
                with self.path.open("r+b") as stream:
                    stream.truncate(at)
                    os.fsync(stream.fileno())
                break
            records.append(record)
            at += len(line)
        if not records:
            raise self._damage(1)
        return records

    def _damage(self, number: int) -> DamagedError:
        return DamagedError(
            f"{self.path}: line {number} is damaged: nobody knows what is deposited; "
            "restart the machine by its firmware, and remove the file"
        )

    def append(self, record: dict) -> None:
        """Return when the record is on disk; OSError leaves the file as it was."""
        with self.path.open("r+b", buffering=0) as stream:
            end = stream.seek(0, os.SEEK_END)
            try:
                _write_all(stream, _line(record))
                os.fsync(stream.fileno())
            except OSError:
                stream.truncate(end)
                raise

    def begin(self, record: dict) -> None:
        """Put a journal of one record in place of what is there."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self.path.with_suffix(".new")
        new.unlink(missing_ok=True)
        with new.open("xb") as stream:
            stream.write(_line(record))
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


# A disk that is full takes a part.
def _write_all(stream: io.RawIOBase, data: bytes) -> None:
    if stream.write(data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _line(record: dict) -> bytes:
    text = json.dumps(record).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _record(line: bytes) -> dict | None:
    check, _, text = line.removesuffix(b"\n").partition(b" ")
    if not line.endswith(b"\n") or check != b"%08x" % zlib.crc32(text):
        return None
    return json.loads(text)


class Ledger:
    """What is deposited since this kernel was started, and what it inherited.

    ``inherited`` is what the ledger of the boot before held, as far as this kernel's
    own table says that it is no RAM: after a start by the firmware that is nothing.
    """

    def __init__(self, journal: Journal, boot_id: str, table: Path) -> None:
        self.journal = journal
        self.deposits = DepositLedger()
        self.locked = DepositLedger()
        self.inherited = ExtentSet()
        self.withdrawn = ExtentSet()
        self.frozen = False
        self._held: list[LockedPages] = []
        records = journal.read()
        for record in records:
            self._apply(record)
        if not records or records[0]["boot_id"] != boot_id:
            self._begin(boot_id, table)
        elif self.locked:
            # Pages of a process that is gone are RAM again.
            journal.append({"do": "unlock"})
        self.locked = DepositLedger()

    def _begin(self, boot_id: str, table: Path) -> None:
        before = self.inherited - self.withdrawn
        before = before | self.deposits.extents | self.locked.extents
        if before:
            before = before - read_map(str(table)).ram_pages()
        self.journal.begin(
            {"do": "boot", "boot_id": boot_id, "inherited": before.pairs()}
        )
        self.inherited, self.withdrawn = before, ExtentSet()
        self.deposits, self.frozen = DepositLedger(), False

    def _apply(self, record: dict) -> None:
        what = record["do"]
        if what == "boot":
            self.inherited = _extents(record["inherited"])
        elif what == "deposit":
            self._deposit(_extents(record["pages"]), record["owner"])
        elif what == "lock":
            self.locked = self.locked.deposit(
                _deposits(_extents(record["pages"]), record["owner"])
            )
        elif what == "unlock":
            self.locked = DepositLedger()
        elif what == "withdraw":
            self._withdraw(_extents(record["pages"]))
        else:
            self.frozen = what == "freeze"

    def _deposit(self, pages: ExtentSet, owner: int) -> None:
        self.deposits = self.deposits.deposit(_deposits(pages, owner))
        self.withdrawn = self.withdrawn - pages

    def _withdraw(self, pages: ExtentSet) -> None:
        own = self.deposits.extents & pages
        old = (self.inherited - self.withdrawn) & pages
        for start, end in pages - (own | old):
            raise InputError(f"PFNs [{start:#x}, {end:#x}) are not deposited")
        self.deposits = self.deposits.withdraw(own)
        self.withdrawn = self.withdrawn | old

    def change(self, record: dict) -> dict:
        """Do what a record says, on disk first; a refusal changes nothing."""
        if self.frozen:
            raise InputError("frozen: a kernel is loaded with what is deposited now")
        before = self.deposits, self.locked, self.withdrawn
        self._apply(record)
        try:
            self.journal.append(record)
        except OSError:
            self.deposits, self.locked, self.withdrawn = before
            raise
        return {"done": record["do"], "pages": record["pages"]}

    def lock(self, nr_pages: int, owner: int) -> dict:
        """Deposit pages of this process."""
        if self.frozen:
            raise InputError("frozen: a kernel is loaded with what is deposited now")
        held = LockedPages(nr_pages)
        done = self.change({"do": "lock", "pages": held.runs.pairs(), "owner": owner})
        self._held.append(held)
        return done

    def freeze(self, what: str) -> None:
        """Let nothing change any more, or again; on disk."""
        if self.frozen != (what == "freeze"):
            self.journal.append({"do": what})
            self.frozen = what == "freeze"

    def document(self) -> dict:
        """Return the answer to ``deposits`` and ``freeze``."""
        for held in self._held:
            held.validate_there()
        return {
            "schema": 1,
            "kind": "deposits",
            "deposits": [
                {"base_pfn": d.start_pfn, "nr_pages": d.nr_pages, "owner": d.owner}
                for d in (*self.deposits, *self.locked)
            ],
            "withdrawn": self.withdrawn.pairs(),
        }


class LockedPages:
    """Pages of this process that the kernel neither swaps nor moves.

    mlock(2) alone lets compaction move them, unless vm.compact_unevictable_allowed is
    0 (7.3 mm/compaction.c isolate_migratepages_block()); where they are is read again
    before it is told.
    """

    def __init__(self, nr_pages: int) -> None:
        if not 0 < nr_pages <= 1 << 24:
            raise InputError(f"cannot lock {nr_pages} pages: want 1 to {1 << 24}")
        COMPACTION.write_text("0\n", encoding="ascii")
        self._memory = mmap.mmap(-1, nr_pages * mmap.PAGESIZE)
        self._memory.madvise(mmap.MADV_NOHUGEPAGE)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        libc = ctypes.CDLL(None, use_errno=True)
        size = ctypes.c_size_t(len(self._memory))
        if libc.mlock(ctypes.c_void_p(self._address), size):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        self.runs = self._where()

    def _where(self) -> ExtentSet:
        nr_pages = len(self._memory) // mmap.PAGESIZE
        with Path("/proc/self/pagemap").open("rb", buffering=0) as stream:
            stream.seek(self._address // mmap.PAGESIZE * 8)
            data = stream.read(nr_pages * 8)
        # Bit 63: present; bits 0 to 54: the PFN, which only root is shown
        # (Documentation/admin-guide/mm/pagemap.rst).
        words = struct.unpack(f"<{nr_pages}Q", data)
        pfns = [word & ((1 << 55) - 1) for word in words if word >> 63]
        if len(pfns) != nr_pages or not all(pfns):
            raise InputError("/proc/self/pagemap shows no PFN: not root")
        return ExtentSet((pfn, pfn + 1) for pfn in pfns)

    def validate_there(self) -> None:
        """Raise InputError where the kernel has moved a page."""
        for start, end in self.runs - self._where():
            raise InputError(f"locked PFNs [{start:#x}, {end:#x}) were moved")


def _extents(pairs: list) -> ExtentSet:
    return ExtentSet((base, base + count) for base, count in pairs)


def _deposits(pages: ExtentSet, owner: int) -> list[Deposit]:
    return [Deposit(start_pfn=s, end_pfn=e, owner=owner) for s, e in pages]


def answer(ledger: Ledger, line: str) -> dict:
    """Return the answer to a request; InputError where it is refused."""
    what, *words = line.split() or [""]
    try:
        numbers = [int(word, 0) for word in words]
    except ValueError as exc:
        raise InputError(f"{line!r}: want whole numbers") from exc
    match what, numbers:
        case "deposits", []:
            return ledger.document()
        case "freeze", []:
            told = ledger.document()
            ledger.freeze(what)
            return told
        case "thaw", []:
            ledger.freeze(what)
            return {"done": what}
        case ("deposit", [base, count]) | ("deposit", [base, count, _]):
            deposit = Deposit(start_pfn=base, end_pfn=base + count)
            pages = [(deposit.start_pfn, deposit.nr_pages)]
            owner = numbers[2] if len(numbers) > 2 else 0
            return ledger.change({"do": what, "pages": pages, "owner": owner})
        case "withdraw", [base, count]:
            pages = ExtentSet([(base, base + count)]).pairs()
            return ledger.change({"do": what, "pages": pages})
        case ("lock", [count]) | ("lock", [count, _]):
            return ledger.lock(count, numbers[1] if len(numbers) > 1 else 0)
    raise InputError(f"{line!r} is no request")


class Handler(socketserver.StreamRequestHandler):
    """One connection: a line, an answer."""

    timeout = SECONDS

    def handle(self) -> None:
        """Answer; what cannot be done is answered with why."""
        server: Server = self.server
        try:
            line = self.rfile.readline(LINE_BYTES).decode("ascii", "replace")
            with server.lock:
                told = answer(server.ledger, line.strip())
        except TimeoutError:
            return
        except (E820PoolError, OSError) as exc:
            told = {"error": str(exc)}
        try:
            self.wfile.write(json.dumps(told).encode() + b"\n")
        except OSError:
            return


class Server(socketserver.ThreadingUnixStreamServer):
    """The socket; a client that stalls does not hold up another."""

    daemon_threads = True
    ledger: Ledger
    lock: threading.Lock


def serve(args: argparse.Namespace) -> int:
    """Serve until a signal comes; systemd is told once the socket is there."""
    boot_id = args.boot_id.read_text(encoding="ascii").strip()
    try:
        ledger = Ledger(Journal(args.ledger), boot_id, args.table)
    except (DamagedError, E820PoolError, OSError) as exc:
        print(f"e820pool-agent: {exc}", file=sys.stderr)
        return 1
    args.socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    args.socket.unlink(missing_ok=True)
    before = os.umask(0o177)
    with Server(str(args.socket), Handler) as server:
        os.umask(before)
        server.ledger, server.lock = ledger, threading.Lock()
        live_to_the_jump()
        state = "frozen" if ledger.frozen else "open"
        held = ledger.deposits.extents.nr_pages
        notify(f"READY=1\nSTATUS={state}, {held} pages deposited in this boot\n")
        server.serve_forever()
    return 0


def live_to_the_jump() -> None:
    """Let the first letter of this process's name be ``@``.

    systemd 252 src/shutdown/killall.c argv_has_at() reads it in /proc/PID/cmdline,
    which the kernel takes from arg_start (proc(5), field 48 of /proc/PID/stat). To be
    started under such a name would do, too; but Python looks for itself by its name.
    """
    words = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2]
    ctypes.memset(int(words.split()[45]), ord("@"), 1)


def notify(text: str) -> None:
    """Tell systemd, where it waits to be told (sd_notify(3))."""
    name = os.environ.get("NOTIFY_SOCKET", "")
    if not name:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as port:
        port.sendto(text.encode(), "\0" + name[1:] if name[0] == "@" else name)


def ask(args: argparse.Namespace) -> int:
    """Print the answer to one request; 1 where it is a refusal."""
    with socket.socket(socket.AF_UNIX) as port:
        port.settimeout(60)
        port.connect(str(args.socket))
        port.sendall(" ".join(args.words).encode() + b"\n")
        port.shutdown(socket.SHUT_WR)
        with port.makefile("rb") as stream:
            told = stream.read()
    sys.stdout.write(told.decode())
    return int("error" in json.loads(told))


def main() -> int:
    """Serve, or ask."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--socket", type=Path, default=SOCKET)
    parts = parser.add_subparsers(required=True)
    server = parts.add_parser("serve")
    server.add_argument("--ledger", type=Path, default=LEDGER)
    server.add_argument("--table", type=Path, default=TABLE)
    server.add_argument("--boot-id", type=Path, default=BOOT_ID)
    server.set_defaults(run=serve)
    client = parts.add_parser("ask")
    client.add_argument("words", nargs="+")
    client.set_defaults(run=ask)
    args = parser.parse_args()
    return args.run(args)


if __name__ == "__main__":
    raise SystemExit(main())
