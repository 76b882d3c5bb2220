"""The parts of a chain that need no machine: segments, stub, port, plan, archive."""

import io
import os
import socket
import tarfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from e820pool.abi.e820 import E820_DTYPE
from e820pool.deposits import DepositLedger
from e820pool.errors import CapacityError, InputError
from e820pool.extents import ExtentSet
from e820pool.handoff.model import Segment
from e820pool.lab.chain import ChainPlan
from e820pool.lab.chain_model import ChainOptions, Hop
from e820pool.lab.chain_port import AgentError, ChainPort, runs_of
from e820pool.lab.guest import CHAIN_END, init_script
from e820pool.lab.guest_ram import GuestRam, RamLayout
from e820pool.lab.initramfs import loaded_libraries
from e820pool.lab.machine import LostVmError
from e820pool.lab.started_vm import ConsoleFile
from e820pool.loading.bind import BoundKernel
from e820pool.loading.kexec_loaders import memmap_archive
from e820pool.loading.kexec_segments import build_kexec_stub, kexec_image
from e820pool.loading.multiboot_stub import KernelEntry
from e820pool.memory_map import MemoryMap
from e820pool.pool.option import PmpoolOption
from e820pool.pool.pool import region_ledger
from e820pool.pool.rebuild import RebuildResult

MIB, PAGE = 1 << 20, 4096
ENTRY = KernelEntry(kernel_addr=0x300_0000, boot_params_addr=0x10_0000)


def bound(parts, window=None, deposits=()):
    handoff = SimpleNamespace(
        kernel_window=window, ledger=DepositLedger.of_ranges(deposits)
    )
    return BoundKernel(
        handoff=handoff,
        parts=tuple(Segment(what=w, addr=a, data=d) for w, a, d in parts),
        entry=ENTRY,
        stub_addr=0x20_0000,
    )


PARTS = [("boot_params", 0x10_0000, b"p" * PAGE), ("cmdline", 0x10_1000, b"c\0")]


def test_segments_are_whole_pages_at_their_own_addresses():
    image = kexec_image(bound(PARTS))
    assert [(s.what, s.addr, s.nr_bytes, s.size) for s in image.segments] == [
        ("boot_params", 0x10_0000, PAGE, PAGE),
        ("cmdline", 0x10_1000, 2, PAGE),
        ("stub", 0x20_0000, image.segments[2].nr_bytes, PAGE),
    ]
    for one in image.segments:
        assert one.at % PAGE == 0
    assert image.payload[image.segments[1].at :][:2] == b"c\0"
    assert image.entry == 0x20_0000


def test_the_kernels_segment_is_as_long_as_its_window():
    window = (0x300_0000, 0x340_0000)
    image = kexec_image(bound([*PARTS, ("kernel", window[0], b"k" * 100)], window))
    kernel = image.segments[-1]
    assert (kernel.nr_bytes, kernel.size) == (100, 0x40_0000)
    assert image.pages() & ExtentSet([(0x3000, 0x3400)]) == ExtentSet(
        [(0x3000, 0x3400)]
    )


def test_a_segment_over_a_deposit_is_refused():
    with pytest.raises(InputError, match="deposited PFNs \\[0x101, 0x102\\)"):
        kexec_image(bound(PARTS, deposits=[(0x10_1000, 0x10_2000)]))


def test_segments_that_overlap_are_refused():
    with pytest.raises(InputError, match="over cmdline"):
        kexec_image(bound([("boot_params", 0x10_1000, b"p" * PAGE), PARTS[1]]))


def test_a_segment_that_is_no_page_is_refused():
    with pytest.raises(InputError, match="multiple of 0x1000"):
        kexec_image(bound([("boot_params", 0x10_0010, b"p")]))


def test_more_segments_than_the_system_call_takes_are_refused():
    many = [("node", 0x10_0000 + n * PAGE, b"n") for n in range(16)]
    with pytest.raises(CapacityError, match="17 segments"):
        kexec_image(bound(many))


def test_the_stub_loads_its_own_gdt_and_jumps_to_the_64_bit_entry():
    stub = build_kexec_stub(addr=0x20_0000, entry=ENTRY)
    assert (0x300_0200).to_bytes(8, "little") in stub
    assert (0x10_0000).to_bytes(8, "little") in stub
    # lgdt reads a limit and a base of 8 bytes: 6 descriptors, right before it.
    # 2.6.32.69 loads the one at 0x20, a task state, and is lost without it.
    limit = int.from_bytes(stub[-10:-8], "little")
    base = int.from_bytes(stub[-8:], "little")
    assert limit == 6 * 8 - 1
    gdt = stub[base - 0x20_0000 :][: limit + 1]
    assert gdt[16:24] == (0x00AF_9A00_0000_FFFF).to_bytes(8, "little")
    assert gdt[0x20 + 5] == 0x89
    assert len(stub) < PAGE


def test_an_archive_has_the_shape_of_the_kernels_tree():
    table = np.array([(0, 0x9_F000, 1), (0x10_0000, PAGE, 2)], E820_DTYPE)
    with tarfile.open(fileobj=io.BytesIO(memmap_archive(table.tolist()))) as archive:
        found = {one.name: archive.extractfile(one).read() for one in archive}
    assert found == {
        "0/start": b"0x0\n",
        "0/end": b"0x9efff\n",
        "0/type": b"System RAM\n",
        "1/start": b"0x100000\n",
        "1/end": b"0x100fff\n",
        "1/type": b"Reserved\n",
    }


def test_libraries_are_found_in_what_ldd_says():
    said = (
        "\tlinux-vdso.so.1 (0x00007f7a83986000)\n"
        "\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f7a83660000)\n"
        "\t/lib64/ld-linux-x86-64.so.2 (0x00007f7a83988000)\n"
    )
    assert loaded_libraries(said) == (
        "/lib/x86_64-linux-gnu/libc.so.6",
        "/lib64/ld-linux-x86-64.so.2",
    )


def test_the_guest_keeps_its_port_open_between_init_and_agent():
    script = init_script(end=CHAIN_END)
    assert script.index("exec 3<>/dev/ttyS1") < script.index("mark done")
    assert "exec 3>&-" not in script
    assert script.rstrip().endswith("exec agent")


@pytest.fixture
def port():
    near_report, far_report = socket.socketpair()
    with closing(ConsoleFile()) as console, near_report, far_report:
        made = ChainPort(
            SimpleNamespace(console=console, report=near_report, process=None)
        )
        path = Path(f"/proc/self/fd/{console.fileno}")
        with path.open("ab", buffering=0) as far_console:
            yield made, far_console, far_report
        made.close()


def test_a_command_returns_the_lines_before_ok(port):
    made, _, far = port
    far.sendall(b"run 16 2\r\nrun 7 1\r\nok\r\n")
    assert runs_of(made.command("pages 2 1", 5)) == [(16, 18), (7, 8)]
    assert far.recv(100) == b"pages 2 1\n"


def test_a_refusal_of_the_agent_is_an_error_with_its_words(port):
    made, _, far = port
    far.sendall(b"error kexec_load: Invalid argument\n")
    with pytest.raises(AgentError, match="kexec_load: Invalid argument"):
        made.command("load 0 0", 5)


def test_a_machine_that_ends_is_lost_and_leaves_its_console(port):
    made, far_console, far = port
    far_console.write(b"last words")
    far_console.close()
    far.close()
    with pytest.raises(LostVmError, match="ended") as caught:
        made.wait_for_mark("hello", 5)
    assert caught.value.console == b"last words"


def test_logs_are_cut_by_hop(port):
    made, far_console, far = port
    far_console.write(b"first")
    far.sendall(b"mark hello\n")
    made.wait_for_mark("hello", 5)
    _, report = made.cut()
    assert report == b"mark hello\n"
    far.sendall(b"mark hello\n")
    made.wait_for_mark("hello", 5)
    assert made.report == b"mark hello\n"


@pytest.mark.parametrize("line", ["run 5", "run a 1", "run -1 1", "frame 1 1", ""])
def test_what_is_no_run_of_frames_is_refused(line):
    with pytest.raises(AgentError, match="no run of frames"):
        runs_of([line])


def test_pages_are_written_where_the_file_has_them():
    with GuestRam(RamLayout(low_bytes=MIB, high_bytes=MIB)) as ram:
        ram.write(5, b"five" * 2000)
        ram.write(0x10_0000, b"high")
        assert os.pread(ram.fileno, 8000, 5 * PAGE) == b"five" * 2000
        assert os.pread(ram.fileno, 4, MIB) == b"high"
        assert ram.touched() == ExtentSet([(5, 7), (0x10_0000, 0x10_0001)])


def plan(**options):
    rows = ((0, 0x9_F000, 1), (0x9_F000, 0x6_1000, 2), (MIB, 255 * MIB, 1))
    return ChainPlan(
        memory_map=MemoryMap.of(rows), initrd=b"", options=ChainOptions(**options)
    )


@pytest.mark.parametrize("carrier", ["setup_data", "none"])
def test_a_region_of_the_kernel_s_own_is_not_ours_to_write(carrier):
    """Its first page holds the bitmap of the series' pool."""
    word = "pmpool=0x7600000,0x7c00000"
    handoff = SimpleNamespace(cmdline=word.encode(), ledger=DepositLedger())
    assert plan(carrier=carrier, cmdline=word).region_of(handoff) is None
    assert plan(carrier=carrier, cmdline=word).region_record(handoff, 1) is None
    assert str(plan(carrier="pmpool").region_of(handoff)) == word


def test_a_chain_of_another_pool_goes_on_without_one_of_ours():
    given = DepositLedger.of_ranges([(2 * MIB, 3 * MIB)])
    hop = SimpleNamespace(given=given, rebuilt=None, kernel="series")
    assert plan(nr_pool=64).ledger_of(hop) == given
    with pytest.raises(InputError, match="series has no pool"):
        plan().ledger_of(hop)


def test_a_hop_without_a_loader_of_its_own_takes_the_last():
    options = ChainOptions(loaders=("ours", "kexec-file"))
    assert [options.loader_of(n) for n in range(4)] == ["ours", *["kexec-file"] * 3]


def test_only_the_kernel_that_is_to_crash_keeps_memory_for_its_capture_kernel():
    whole = plan(loaders=("ours", "panic-file"), crash_mib=96)
    lines = [replace(whole, nr_kernels=3)._lab_line(n) for n in range(3)]
    assert [line.endswith(" crashkernel=96M") for line in lines] == [False, True, False]
    assert "crashkernel" not in plan()._lab_line(0)


@pytest.mark.parametrize(
    ("loaders", "count", "said"),
    [
        (("panic-file",), 3, "a chain of 3 kernels with loader 'panic-file': .* is 2"),
        (("ours", "panic-ours"), 2, "a chain of 2 kernels .* is 3"),
    ],
)
def test_a_capture_kernel_is_the_last_of_a_chain(loaders, count, said):
    with pytest.raises(InputError, match=said):
        ChainOptions(loaders=loaders).validate_kernels(count)
    ChainOptions(loaders=loaders).validate_kernels(len(loaders) + 1)
    with pytest.raises(InputError, match="'panic-load' before another"):
        ChainOptions(loaders=("panic-load", "ours"))


def test_the_lowest_pages_are_withdrawn():
    ledger = DepositLedger.of_ranges([(MIB, MIB + 3 * PAGE), (2 * MIB, 2 * MIB + PAGE)])
    assert plan(nr_withdrawn=2).to_withdraw(ledger) == ExtentSet([(0x100, 0x102)])
    assert plan(nr_withdrawn=4).to_withdraw(ledger) == ledger.extents
    assert plan(nr_withdrawn=9).to_withdraw(ledger) == ledger.extents
    assert plan().to_withdraw(ledger) == ExtentSet()


def test_what_a_kernel_deposits_has_its_number_as_owner():
    grown = plan().grown(DepositLedger(), [(0x100, 0x101), (0x108, 0x109)], owner=3)
    assert {one.owner for one in grown} == {3}
    assert grown.extents.nr_pages == 2


def test_a_region_grows_by_passing_its_pages_on():
    made = plan(carrier="pmpool", nr_pages=5)
    first = made.grown(DepositLedger(), [(0x8000, 0x8200)], owner=1)
    second = made.grown(first, [], owner=2)
    region = ExtentSet([(0x8000, 0x8200)])
    assert first.extents == second.extents == region
    pages = {n: sum(d.nr_pages for d in second if d.owner == n) for n in (1, 2)}
    assert pages == {1: 5, 2: 5}


def test_a_regions_record_stays_in_memory_when_deposits_become_holes():
    made = plan(carrier="pmpool")
    ledger = region_ledger(PmpoolOption.of_pages(0x8000, 0x200))
    assert made.clearable(ledger.extents) == ExtentSet([(0x8001, 0x8200)])
    assert plan().clearable(ledger.extents) == ledger.extents


@pytest.mark.parametrize(
    ("returned", "inferred", "equal"),
    [
        ([(0x100, 0x110)], None, True),
        ([(0x100, 0x110)], [(0x200, 0x201)], False),
        ([(0x100, 0x10F)], None, False),
        ([(0x100, 0x108)], [(0x108, 0x110)], True),
        ([], None, False),
    ],
)
def test_a_pool_is_equal_when_file_and_table_hold_all_of_it(returned, inferred, equal):
    """What a live update brings back is in no table."""
    ledger = inferred and DepositLedger.of_ranges(
        (start << 12, end << 12) for start, end in inferred
    )
    hop = Hop(
        kernel="kho",
        entered="kexec-file",
        given=DepositLedger.of_ranges([(0x10_0000, 0x11_0000)]),
        nr_entries=3,
        view=None,
        model=None,
        predicted=None,
        differences=(),
        rebuilt=RebuildResult(
            pool=None, carrier="inference", ledger=ledger, findings=()
        ),
        returned=ExtentSet(returned),
        report=None,
        console=b"",
        seconds=0,
    )
    assert hop.is_rebuilt_equal == equal
