"""Who keeps the deposits is asked over a socket, or by running a program."""

import json
import socket
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from e820pool.errors import BadImageError, MachineError
from e820pool.extents import ExtentSet
from e820pool.live.agent import ask_agent
from e820pool.sources.deposits_file import parse_changes

DEPOSITS = {
    "schema": 1,
    "kind": "deposits",
    "deposits": [{"base_pfn": 0x40000, "nr_pages": 4, "owner": 7}, [0x50000, 1]],
    "withdrawn": [[0x60000, 2]],
}
ANSWER = json.dumps(DEPOSITS).encode()


@pytest.fixture
def agent(tmp_path):
    """Return a function that starts an agent and returns its path and what it hears."""
    threads = []

    def start(answer):
        path, heard = str(tmp_path / "agent"), []
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(1)

        def serve():
            with listener, listener.accept()[0] as port:
                while part := port.recv(99):
                    heard.append(part)
                port.sendall(answer)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return path, heard

    yield start
    for one in threads:
        one.join(10)


def program(tmp_path, text):
    path = tmp_path / "agent.py"
    path.write_text(text)
    return f"{sys.executable} {path}"


def test_a_socket_hears_one_line_and_its_answer_is_read_to_the_end(agent):
    path, heard = agent(ANSWER)
    found = ask_agent(path, "freeze")
    assert b"".join(heard) == b"freeze\n"
    assert [(d.start_pfn, d.nr_pages, d.owner) for d in found.deposits] == [
        (0x40000, 4, 7),
        (0x50000, 1, 0),
    ]
    assert found.withdrawn == ExtentSet([(0x60000, 0x60002)])


def test_a_program_finds_the_request_in_its_environment(tmp_path):
    said = "import os; print('0x1000+4K #', os.environ['E820POOL_REQUEST'])"
    found = ask_agent(program(tmp_path, said), "deposits")
    assert [d.start_pfn for d in found.deposits] == [1]


def test_nothing_is_expected_of_the_answer_to_thaw(agent):
    path, _ = agent(b"")
    assert ask_agent(path, "thaw") is None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "answers 'deposits' with 0 bytes"),
        (b'{"error": "partition 3 is being made"}', "refuses: partition 3 is being"),
    ],
)
def test_an_agent_that_refuses_is_quoted(agent, answer, said):
    with pytest.raises(MachineError, match=said):
        ask_agent(agent(answer)[0], "deposits")


@pytest.mark.parametrize("answer", [b"{", b'{"kind": "pool"}', b"1G-", b"\x00\xff"])
def test_an_answer_that_is_no_list_of_deposits_is_bad_input(agent, answer):
    with pytest.raises(BadImageError):
        ask_agent(agent(answer)[0], "deposits")


def test_an_agent_that_is_not_there_is_no_program_either(tmp_path):
    with pytest.raises(MachineError, match="neither a socket nor a program"):
        ask_agent(str(tmp_path / "nothing"), "deposits")
    with pytest.raises(MachineError, match="neither a socket nor a program"):
        ask_agent("'", "deposits")


def test_a_program_that_fails_tells_its_last_line(tmp_path):
    command = program(tmp_path, "raise SystemExit('no hypervisor here')")
    with pytest.raises(MachineError, match=r"status 1: no hypervisor here$"):
        ask_agent(command, "deposits")


def test_an_agent_that_says_nothing_is_not_waited_for_for_ever(tmp_path):
    command = program(tmp_path, "import time; time.sleep(60)")
    with pytest.raises(MachineError, match=r"not answered after 0\.3 s"):
        ask_agent(command, "deposits", 0.3)
    path = str(tmp_path / "silent")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        with pytest.raises(MachineError, match=r"not answered after 0\.3 s"):
            ask_agent(path, "deposits", 0.3)


@pytest.mark.parametrize("withdrawn", [{}, [1], [[1]], [[1, 0]], [[1, -1]], [["1", 1]]])
def test_withdrawn_pages_have_a_form(withdrawn):
    text = json.dumps(DEPOSITS | {"withdrawn": withdrawn}).encode()
    with pytest.raises(BadImageError, match="withdrawn"):
        parse_changes(text, "agent x")


def test_withdrawn_pages_end_below_2_64():
    text = json.dumps(DEPOSITS | {"withdrawn": [[1 << 70, 1]]}).encode()
    with pytest.raises(BadImageError, match="0x400000000000000000 is beyond the limit"):
        parse_changes(text, "agent x")


def test_the_deadline_is_the_whole_answer_s(tmp_path):
    """A byte every 0.8 s held a deadline of 2 s for half a minute."""
    path = str(tmp_path / "slow")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)

        def drip():
            with listener.accept()[0] as port, suppress(OSError):
                for _ in range(60):
                    port.sendall(b" ")
                    time.sleep(0.1)

        thread = threading.Thread(target=drip)
        thread.start()
        start = time.monotonic()
        with pytest.raises(MachineError, match=r"not answered after 0\.4 s"):
            ask_agent(path, "deposits", 0.4)
        assert time.monotonic() - start < 5
        thread.join(10)


@pytest.mark.parametrize("left", [False, True])
def test_a_socket_that_is_still_to_come_is_waited_for(tmp_path, left):
    path = tmp_path / "agent.sock"
    if left:
        # The name that a server before this one left behind.
        with socket.socket(socket.AF_UNIX) as old:
            old.bind(str(path))

    def start_late():
        time.sleep(0.4)
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(1)
            with listener.accept()[0] as port:
                assert port.recv(99) == b"freeze\n"
                port.sendall(ANSWER)

    thread = threading.Thread(target=start_late)
    thread.start()
    assert ask_agent(str(path), "freeze", wait=30).deposits
    thread.join(10)


def test_a_full_queue_is_waited_for(tmp_path):
    path = str(tmp_path / "busy")
    with socket.socket(socket.AF_UNIX) as listener, ExitStack() as others:
        listener.bind(path)
        listener.listen(0)
        listener.settimeout(5)
        for _ in range(3):
            other = others.enter_context(socket.socket(socket.AF_UNIX))
            other.setblocking(False)
            with suppress(BlockingIOError):
                other.connect(path)
        with pytest.raises(MachineError, match="temporarily unavailable"):
            ask_agent(path, "deposits", 0.2)

        def go_on():
            time.sleep(0.3)
            others.close()
            with suppress(TimeoutError):
                while True:
                    with listener.accept()[0] as port:
                        if port.recv(99):
                            port.sendall(ANSWER)
                            return

        thread = threading.Thread(target=go_on)
        thread.start()
        assert ask_agent(path, "deposits", 30).deposits
        thread.join(10)


def test_a_socket_that_does_not_come_is_told(tmp_path):
    path = str(tmp_path / "agent.sock")
    with pytest.raises(MachineError, match=r"after 0\.2 s: is its service started\?"):
        ask_agent(path, "deposits", wait=0.2)


DRIP = """
import sys, time
while True:
    sys.stdout.write(" "); sys.stdout.flush(); time.sleep(0.05)
"""
FLOOD = """
import os
while True:
    os.write({stream}, bytes(1 << 20))
"""
PARENT = """
import subprocess, sys
child = subprocess.Popen(["sleep", "1000"], stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL)
open({name!r}, "w").write(str(child.pid))
print("1G+4K")
"""


def test_a_program_s_deadline_is_the_whole_answer_s_too(tmp_path):
    with pytest.raises(MachineError, match=r"not answered after 0\.5 s"):
        ask_agent(program(tmp_path, DRIP), "deposits", 0.5)


@pytest.mark.parametrize("stream", [1, 2])
def test_a_program_s_output_is_limited(tmp_path, stream):
    with pytest.raises(MachineError, match="more than the limit of 0x4000000 bytes"):
        ask_agent(program(tmp_path, FLOOD.format(stream=stream)), "deposits")


def test_what_a_program_started_ends_with_it(tmp_path):
    name = tmp_path / "pid"
    ask_agent(program(tmp_path, PARENT.format(name=str(name))), "deposits")
    stat = Path("/proc", name.read_text(), "stat")
    for _ in range(100):
        # Gone, or a zombie that whoever adopted it has not waited for yet.
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.1)
    pytest.fail("the child lives")
