"""The reference agent: a ledger that a kill does not shorten, asked as a kexec asks."""

import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest

from e820pool.errors import MachineError
from e820pool.extents import ExtentSet
from e820pool.live.agent import ask_agent

PROGRAM = Path(__file__).parents[2] / "contrib" / "agent" / "e820pool_agent.py"


class Agent:
    """The program as a process, with its files in a folder of the test's."""

    def __init__(self, folder):
        self.folder = folder
        self.socket = folder / "agent.sock"
        self.ledger = folder / "state" / "agent.ledger"
        self.table = folder / "memmap"
        self.boot("first")
        self.process = None

    def boot(self, name, ram=((0, 1 << 32),)):
        """Be another boot, of a kernel whose table has this RAM."""
        (self.folder / "boot_id").write_text(f"{name}\n")
        shutil.rmtree(self.table, ignore_errors=True)
        for number, (start, end) in enumerate(ram):
            entry = self.table / str(number)
            entry.mkdir(parents=True)
            (entry / "start").write_text(f"{start:#x}\n")
            (entry / "end").write_text(f"{end - 1:#x}\n")
            (entry / "type").write_text("System RAM\n")

    def start(self):
        """Return once it has told systemd, whose part the test plays."""
        notify = self.folder / "notify"
        notify.unlink(missing_ok=True)
        words = [
            *(sys.executable, PROGRAM, "--socket", self.socket, "serve"),
            *("--ledger", self.ledger, "--table", self.table),
            *("--boot-id", self.folder / "boot_id"),
        ]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as port:
            port.bind(str(notify))
            port.settimeout(60)
            self.process = subprocess.Popen(
                words,
                env=os.environ | {"NOTIFY_SOCKET": str(notify)},
                stderr=subprocess.PIPE,
                text=True,
            )
            return port.recv(1000).decode()

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def ask(self, *words):
        with socket.socket(socket.AF_UNIX) as port:
            port.connect(str(self.socket))
            port.sendall(" ".join(words).encode() + b"\n")
            port.shutdown(socket.SHUT_WR)
            return json.loads(port.makefile("rb").read())

    def changes(self, what="deposits"):
        found = ask_agent(str(self.socket), what)
        rows = [(d.start_pfn, d.nr_pages, d.owner) for d in found.deposits]
        return rows, found.withdrawn


@pytest.fixture
def agent(tmp_path):
    made = Agent(tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.kill()


def test_systemd_hears_of_it_once_a_client_can_ask(agent):
    assert agent.start().startswith("READY=1\nSTATUS=open, 0 pages")
    assert agent.changes() == ([], ExtentSet())
    assert oct(agent.socket.stat().st_mode & 0o777) == "0o600"


def test_what_was_answered_is_there_after_a_kill(agent):
    agent.start()
    assert "error" not in agent.ask("deposit", "0x40000", "4", "7")
    assert "error" not in agent.ask("deposit", "0x50000", "2")
    assert "error" not in agent.ask("withdraw", "0x40001", "1")
    agent.kill()
    assert "5 pages deposited" in agent.start()
    rows = [(0x40000, 1, 7), (0x40002, 2, 7), (0x50000, 2, 0)]
    assert agent.changes() == (rows, ExtentSet())


def test_its_own_client_prints_the_answer_and_fails_with_a_refusal(agent):
    agent.start()
    words = [sys.executable, PROGRAM, "--socket", agent.socket, "ask"]
    for more, code in ((("deposit", "0x40000", "4"), 0), (("withdraw", "1", "1"), 1)):
        done = subprocess.run(
            [*words, *more], capture_output=True, text=True, check=False
        )
        assert (done.returncode, "error" in json.loads(done.stdout)) == (code, code)


def test_a_torn_last_line_was_answered_to_nobody(agent):
    agent.start()
    agent.ask("deposit", "0x40000", "4")
    agent.kill()
    whole = agent.ledger.read_bytes()
    agent.ledger.write_bytes(whole + b'0badc0de {"do": "depo')
    agent.start()
    agent.ask("deposit", "0x50000", "1")
    agent.kill()
    agent.start()
    assert agent.changes()[0] == [(0x40000, 4, 0), (0x50000, 1, 0)]
    assert agent.ledger.read_bytes().startswith(whole)


def test_a_record_that_finds_no_room_is_refused_and_leaves_no_part(agent):
    agent.start()
    agent.ask("deposit", "0x40000", "4")
    before = agent.ledger.read_bytes()
    room = (len(before) + 20, len(before) + 20)
    resource.prlimit(agent.process.pid, resource.RLIMIT_FSIZE, room)
    assert "error" in agent.ask("deposit", "0x50000", "4")
    assert agent.ledger.read_bytes() == before
    assert agent.changes()[0] == [(0x40000, 4, 0)]


def test_a_line_within_that_cannot_be_read_is_damage_and_nothing_is_served(agent):
    agent.start()
    agent.ask("deposit", "0x40000", "4")
    agent.ask("deposit", "0x50000", "4")
    agent.kill()
    text = agent.ledger.read_bytes()
    agent.ledger.write_bytes(text.replace(b'"owner": 0', b'"owner": 9', 1))
    assert re.search(r"line 2 is damaged: .* restart the machine", _refusal(agent))


@pytest.mark.parametrize("left", [0, 1, 20])
def test_a_ledger_without_its_first_line_is_damage_too(agent, left):
    """An empty file was taken for a boot in which nothing was deposited."""
    agent.start()
    agent.ask("deposit", "0x40000", "4")
    agent.kill()
    with agent.ledger.open("r+b") as stream:
        stream.truncate(left)
    assert "line 1 is damaged" in _refusal(agent)


def _refusal(agent):
    words = ["--socket", agent.socket, "serve", "--ledger", agent.ledger]
    words += ["--boot-id", agent.folder / "boot_id"]
    done = subprocess.run(
        [sys.executable, PROGRAM, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1
    return done.stderr


def test_every_record_carries_its_checksum(agent):
    agent.start()
    agent.ask("deposit", "0x40000", "4")
    for line in agent.ledger.read_bytes().splitlines():
        check, _, text = line.partition(b" ")
        assert int(check, 16) == zlib.crc32(text)


def test_a_frozen_ledger_stays_frozen_over_a_kill(agent):
    agent.start()
    agent.ask("deposit", "0x40000", "4")
    assert agent.changes("freeze")[0] == [(0x40000, 4, 0)]
    agent.kill()
    assert "STATUS=frozen" in agent.start()
    for words in (("deposit", "1", "1"), ("withdraw", "0x40000", "1"), ("lock", "1")):
        assert agent.ask(*words)["error"].startswith("frozen")
    assert ask_agent(str(agent.socket), "thaw") is None
    assert "error" not in agent.ask("deposit", "1", "1")


def test_the_next_boot_inherits_what_its_table_does_not_call_ram(agent):
    agent.start()
    agent.ask("deposit", "0x40000", "4")
    agent.ask("deposit", "0x50000", "2")
    agent.kill()
    agent.boot("second", ram=((0, 0x40000000), (0x40004000, 1 << 32)))
    agent.start()
    assert agent.changes() == ([], ExtentSet())
    assert "not deposited" in agent.ask("withdraw", "0x50000", "1")["error"]
    agent.ask("withdraw", "0x40002", "2")
    agent.kill()
    agent.start()
    assert agent.changes() == ([], ExtentSet([(0x40002, 0x40004)]))
    # Deposited again, it is in one list only.
    agent.ask("deposit", "0x40003", "1", "9")
    assert agent.changes() == ([(0x40003, 1, 9)], ExtentSet([(0x40002, 0x40003)]))
    agent.kill()
    agent.boot("third")
    agent.start()
    assert "not deposited" in agent.ask("withdraw", "0x40000", "1")["error"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("deposit", "0x40000", "0"), "0x40000"),
        (("deposit", "0x40000", "-4"), "0x40000"),
        (("deposit", "x", "1"), "whole numbers"),
        (("deposit", "1"), "is no request"),
        (("destroy",), "is no request"),
        (("withdraw", "1", "1"), "not deposited"),
        (("lock", "0"), "cannot lock 0 pages"),
        (("deposit", "9" * 300, "1"), "is no request"),
    ],
)
def test_a_request_that_cannot_be_is_refused_and_leaves_no_record(agent, words, said):
    agent.start()
    before = agent.ledger.read_bytes()
    assert said in agent.ask(*words)["error"]
    assert agent.ledger.read_bytes() == before
    with pytest.raises(MachineError, match="refuses"):
        ask_agent(str(agent.socket), " ".join(words))


def test_a_client_that_says_nothing_holds_up_nobody(agent):
    agent.start()
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(agent.socket))
        start = time.monotonic()
        assert agent.changes() == ([], ExtentSet())
        assert time.monotonic() - start < 4


def test_systemd_shutdown_spares_it(agent):
    """It spares what root runs under a name that begins with @ (killall.c)."""
    agent.start()
    line = Path("/proc", str(agent.process.pid), "cmdline").read_bytes()
    assert line.startswith(b"@")
    # Nothing that would keep a file system from being read-only is open.
    held = Path("/proc", str(agent.process.pid), "fd").iterdir()
    assert str(agent.ledger) not in {str(one.readlink()) for one in held}


@pytest.fixture
def _compaction_as_it_was():
    path = Path("/proc/sys/vm/compact_unevictable_allowed")
    before = path.read_text()
    yield
    if path.read_text() != before:
        path.write_text(before)


@pytest.mark.usefixtures("_compaction_as_it_was")
def test_locked_pages_are_this_machine_s_and_go_with_the_process(agent):
    agent.start()
    told = agent.ask("lock", "3", "7")
    if "error" in told:
        pytest.skip(f"no locked pages here: {told['error']}: run as root")
    found = ask_agent(str(agent.socket), "freeze")
    assert sum(one.nr_pages for one in found.deposits) == 3
    assert {one.owner for one in found.deposits} == {7}
    status = Path("/proc", str(agent.process.pid), "status").read_text()
    assert int(re.search(r"VmLck:\s+(\d+) kB", status)[1]) >= 12
    agent.kill()
    agent.start()
    assert agent.changes() == ([], ExtentSet())
    ask_agent(str(agent.socket), "thaw")
    # The same pages may be locked again, over restarts.
    for _ in range(2):
        assert "error" not in agent.ask("lock", "3", "7")
        agent.process.send_signal(signal.SIGTERM)
        agent.process.communicate()
        agent.start()
