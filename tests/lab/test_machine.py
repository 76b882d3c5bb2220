"""Machines that hang, die or are ended: what is kept of them, and what is left."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from labbench import MIB, PATIENT

from e820pool.errors import LabError
from e820pool.handoff.model import Segment
from e820pool.lab.guest_ram import GuestRam, RamLayout
from e820pool.lab.machine import Deadlines, LostVmError, run_vm
from e820pool.lab.qemu import VmSpec, find_qemu
from e820pool.lab.started_vm import _pair, restore_parts, started_vm
from e820pool.loading.multiboot_stub import STUB_READY, KernelEntry, build_stub_elf

# Machine code in place of a kernel, entered by the stub: 32-bit, flat, no stack.
SAY_H = b"\x66\xba\xf8\x03\xb0\x48\xee"  # mov dx, 0x3f8; mov al, 'H'; out dx, al
SPIN = b"\xeb\xfe"  # jmp $
# lidt [zeros]; int3: no handler, no double fault handler: the CPU resets.
RESET = b"\x0f\x01\x1d" + (16 * MIB + 0x100).to_bytes(4, "little") + b"\xcc"


def machine(code):
    return VmSpec(
        ram=RamLayout(low_bytes=64 * MIB),
        parts=(Segment(what="kernel", addr=16 * MIB, data=code.ljust(0x200, b"\0")),),
        entry=KernelEntry(kernel_addr=16 * MIB, boot_params_addr=2 * MIB),
        stub_addr=3 * MIB,
    )


def run(code, **options):
    spec = machine(code)
    with GuestRam(spec.ram) as ram:
        return run_vm(spec, ram, **({"deadlines": PATIENT} | options))


def children():
    """Return the processes whose parent is this one."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def test_a_hung_guest_ends_at_its_deadline_with_its_console():
    quick = Deadlines(firmware=60, kernel=1)
    start = time.monotonic()
    with pytest.raises(LostVmError, match="VM lost in phase kernel: no end") as lost:
        run(SAY_H + SPIN, deadlines=quick)
    assert lost.value.console == b"H"
    assert isinstance(lost.value, LabError)
    assert time.monotonic() - start < 60
    assert children() == []


def test_a_firmware_that_never_ends_has_a_deadline_too(monkeypatch):
    def silent_stub(*, addr, entry, wait):
        assert wait
        return build_stub_elf(addr=addr, entry=entry, wait=False)

    monkeypatch.setattr("e820pool.lab.started_vm.build_stub_elf", silent_stub)
    with pytest.raises(LostVmError, match="VM lost in phase firmware: no end after 1"):
        run(SAY_H + SPIN, deadlines=Deadlines(firmware=1))
    assert children() == []


def test_a_reset_is_the_end():
    ended = run(SAY_H + RESET)
    assert (ended.ended, ended.phase, ended.console) == ("exit", "kernel", b"H")
    assert ended.seconds.keys() == {"firmware", "kernel"}


def test_another_thread_can_end_a_machine():
    cancel = threading.Event()
    threading.Timer(1.0, cancel.set).start()
    with pytest.raises(LostVmError, match="VM lost: cancelled"):
        run(SPIN, cancel=cancel)
    assert children() == []


def test_an_error_while_the_machine_waits_ends_it():
    def broken():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(SPIN, on_ready=broken)
    assert children() == []


def test_the_machine_stands_still_until_it_is_let_go():
    spec = machine(SAY_H + RESET)
    with GuestRam(spec.ram) as ram:
        before = []

        def look():
            time.sleep(0.3)
            before.append(os.pread(ram.fileno, 8, 16 * MIB))

        ended = run_vm(spec, ram, deadlines=PATIENT, on_ready=look)
    # The kernel is in place, and has not said a word before it was let go.
    assert before == [SAY_H + RESET[:1]]
    assert ended.console == b"H"


def test_a_part_that_firmware_wrote_over_is_there_again():
    """SeaBIOS works for a while below the last 16 MiB of RAM."""
    at, data = 448 * MIB - 0x1_0000, b"deposited" * 900
    spec = machine(SAY_H + RESET)
    spec = replace(
        spec,
        ram=RamLayout(low_bytes=464 * MIB),
        parts=(*spec.parts, Segment(what="node", addr=at, data=data)),
    )
    with GuestRam(spec.ram) as ram:
        with started_vm(spec, ram) as vm:
            vm.report.settimeout(PATIENT.firmware)
            assert vm.report.recv(1) == STUB_READY
            assert os.pread(ram.fileno, len(data), at) != data
            restore_parts(spec, ram)
            assert os.pread(ram.fileno, len(data), at) == data
        found = []
        run_vm(
            spec,
            ram,
            deadlines=PATIENT,
            on_ready=lambda: found.append(os.pread(ram.fileno, len(data), at)),
        )
        assert found == [data]


def test_qemu_that_does_not_start_says_why():
    spec = machine(SPIN)
    spec = VmSpec(
        ram=spec.ram,
        parts=(Segment(what="kernel", addr=1 << 60, data=b"far"),),
        entry=spec.entry,
        stub_addr=spec.stub_addr,
        accelerator="no-such-accelerator",
    )
    with GuestRam(spec.ram) as ram, pytest.raises(LabError, match="no-such-accel"):
        run_vm(spec, ram, deadlines=PATIENT)


def test_a_reader_that_is_late_loses_nothing():
    """A port writes byte by byte; with the usual buffer some hundred bytes fit."""
    with ExitStack() as stack:
        near, far = _pair(stack)
        far.setblocking(False)
        for _ in range(2000):
            assert far.send(b"x") == 1
        assert len(near.recv(1 << 16)) == 2000


def test_without_qemu_the_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="install qemu-system-x86"):
        find_qemu()


# This module's own folder, and that of labbench.
FOLDERS = [str(folder) for folder in Path(__file__).parents[:2]]
PROGRAM = """
    import sys
    sys.path[:0] = {folders!r}
    from test_machine import SPIN, run
    print("ready", flush=True)
    run(SPIN)
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_in_the_middle_of_a_boot_leaves_no_process_and_no_file(sent, tmp_path):
    # A temporary folder of its own: whatever appears there would be left behind.
    environment = dict(os.environ, TMPDIR=str(tmp_path))
    program = textwrap.dedent(PROGRAM).format(folders=FOLDERS)
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env=environment,
    )
    with process:
        assert process.stdout.readline() == b"ready\n"
        qemu = wait_for(lambda: machines_below(process.pid))
        process.send_signal(sent)
        process.wait(30)
        wait_for(lambda: not any(is_alive(pid) for pid in qemu))
    assert process.returncode != 0
    assert list(tmp_path.iterdir()) == []


def wait_for(condition):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    return pytest.fail(f"waited in vain for {condition}")


def machines_below(pid):
    """Return the QEMU processes that a program started."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,comm=", "--ppid", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    rows = [line.split(None, 1) for line in listed.splitlines()]
    return [int(number) for number, name in rows if name.startswith("qemu")]


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
