"""What is planned for the next kernel of a machine that shows itself in files."""

from dataclasses import replace
from pathlib import Path

import pytest
import rawbytes
from rawhandoff import GIB, MIB
from rawlive import FIRMWARE, RawAcpi, RawLive, digest

from e820pool.deposits import Deposit
from e820pool.errors import BadImageError, InputError
from e820pool.extents import ExtentSet
from e820pool.live.inherited import KeptHandoff, encode_kept, parse_kept
from e820pool.live.plan import KexecRequest, plan_kexec
from e820pool.loading.kernel_file import KernelFile
from e820pool.memory_devices import MemoryDevices
from e820pool.sources.deposits_file import DepositChanges
from e820pool.sources.live_machine import read_live_machine

IMAGE = KernelFile(name="/boot/vmlinuz", image=rawbytes.bzimage())
BASE = GIB >> 12


def deposits(*triples):
    return tuple(
        Deposit(start_pfn=base, end_pfn=base + count, owner=owner)
        for base, count, owner in triples
    )


def request(*triples, withdrawn=(), **parts):
    changes = DepositChanges(
        deposits=deposits(*triples), withdrawn=ExtentSet(withdrawn)
    )
    return KexecRequest(**({"kernel": IMAGE, "changes": changes} | parts))


@pytest.fixture
def plan(tmp_path):
    """Return a function from a RawLive and a request to the plan."""

    def get(live, asked, kept=()):
        root = live.write(tmp_path / "root")
        return plan_kexec(read_live_machine(root), asked, kept)

    return get


def ids(found):
    return {one.id for one in found.verdict.findings}


def test_deposits_of_a_first_kernel_are_carved_out_and_safe(plan):
    found = plan(RawLive(), request((BASE, 4, 7)))
    assert found.verdict.verdict == "safe"
    assert found.inherited is None
    assert found.generation == 1
    assert (GIB, 4 << 12, 2) in found.table
    assert found.ledger.extents.pairs() == [(BASE, 4)]


def test_segments_keep_off_deposits_and_inside_ram(plan):
    everywhere = [(pfn, 1, 0) for pfn in range(0x100, 0x8000, 0x40)]
    found = plan(RawLive(), request(*everywhere, initrd=bytes(9 * MIB)))
    pages = found.image.pages()
    assert not pages & found.ledger.extents
    assert found.firmware_map.ram_pages().covers(pages)
    assert {one.what for one in found.image.segments} == {
        *("boot_params", "cmdline", "setup_data", "kernel", "initrd", "stub")
    }


def test_the_inherited_pool_goes_on_and_what_is_withdrawn_is_ram_again(plan):
    live = RawLive(deposits=((BASE, 4, 7), (BASE + 16, 2, 8)))
    live = RawLive(deposits=live.deposits, record=live.own_record(generation=3))
    asked = request((BASE + 64, 1, 9), withdrawn=[(BASE, BASE + 2)])
    found = plan(live, asked)
    assert found.verdict.verdict == "safe"
    assert found.generation == 4
    assert [(d.start_pfn, d.nr_pages, d.owner) for d in found.ledger] == [
        (BASE + 2, 2, 7),
        (BASE + 16, 2, 8),
        (BASE + 64, 1, 9),
    ]
    assert found.firmware_map.rows() == list(FIRMWARE)
    assert (MIB, GIB + 0x2000 - MIB, 1) in found.table


def test_a_page_that_is_named_again_has_its_new_owner(plan):
    live = RawLive(deposits=((BASE, 4, 7),))
    live = RawLive(deposits=live.deposits, record=live.own_record())
    found = plan(live, request((BASE, 1, 9)))
    assert [(d.start_pfn, d.owner) for d in found.ledger] == [(BASE, 9), (BASE + 1, 7)]


def test_a_record_of_another_machine_forbids_the_load_and_its_pages_stay_reserved(plan):
    live = RawLive(deposits=((BASE, 4, 7),))
    other = live.own_record(firmware=FIRMWARE[:-1])
    found = plan(
        RawLive(deposits=live.deposits, record=other), request((0x90000, 1, 1))
    )
    assert "record-other-machine" in ids(found)
    assert found.verdict.verdict == "degraded"
    assert (GIB, 4 << 12, 2) in found.table
    assert found.ledger.extents.pairs() == [(0x90000, 1)]


def test_without_a_node_what_was_kept_is_believed_by_the_table_it_was_kept_with(plan):
    live = RawLive(deposits=((BASE, 4, 7),))
    kept = KeptHandoff(
        boot_id="an-earlier-boot",
        table=tuple(live.rows),
        firmware_map=plan(RawLive(), request((BASE, 1, 0))).firmware_map,
        record=live.own_record(generation=5),
    )
    found = plan(live, request((BASE + 64, 1, 9)), [kept])
    assert found.inherited.carrier == "file"
    assert found.generation == 6
    assert found.verdict.verdict == "safe"
    # Should the next kernel not be started, this one can still read its own.
    assert [one.boot_id for one in found.kept] == ["an-earlier-boot", "8f6d-boot"]


@pytest.mark.parametrize("boot_id", ["8f6d-boot", "an-earlier-boot"])
def test_what_was_kept_in_this_boot_or_with_another_table_says_nothing(plan, boot_id):
    live = RawLive(deposits=((BASE, 4, 7),))
    rows = tuple(live.rows) if boot_id == "8f6d-boot" else FIRMWARE
    kept = KeptHandoff(
        boot_id=boot_id,
        table=rows,
        firmware_map=plan(RawLive(), request((BASE, 1, 0))).firmware_map,
        record=live.own_record(),
    )
    found = plan(live, request((BASE + 64, 1, 9)), [kept])
    assert found.inherited is None
    assert (GIB, 4 << 12, 2) in found.table


def test_what_is_kept_can_be_read_back(plan):
    kept = plan(RawLive(), request((BASE, 4, 7), loader="kexec-load")).kept
    assert parse_kept(encode_kept(kept), "x") == kept
    assert kept[-1].record == rawbytes.pool_record(
        [(BASE, 4, 7, 1)], generation=1, digest=digest(FIRMWARE)
    )


def test_kexec_tools_get_a_tree_and_a_command_that_mounts_it_for_itself(plan):
    asked = request(
        (BASE, 4, 7),
        loader="kexec-load",
        initrd_name="/boot/initrd",
        cmdline=b"quiet ro",
        work=Path("/run/e820pool"),
    )
    found = plan(RawLive(), asked)
    assert found.verdict.verdict == "safe"
    assert found.image is None
    assert found.load[:2] == ("unshare", "-m")
    assert "/run/e820pool/memmap" in found.load
    assert found.load[-5:-3] == ("-c", "-l")
    assert found.load[-2:] == ("--initrd=/boot/initrd", "--command-line=quiet ro")
    assert (0, 0x9F000, 1) in found.tree_rows
    # The next kernel will show what kexec-tools make of the tree.
    assert (0x400, 0x9EC00, 1) in found.table


@pytest.mark.parametrize("loader", ["ours", "kexec-load"])
def test_a_long_table_says_nothing_of_a_call_that_no_plan_uses(plan, loader):
    """kexec_file_load(2) of the next kernel would pass on 128 entries of it."""
    many = [(BASE + 2 * number, 1, 7) for number in range(200)]
    found = plan(RawLive(), request(*many, loader=loader))
    assert len(found.table) > 128
    told = [one.message for one in found.verdict.findings]
    assert not [text for text in told if "kexec_file_load" in text]


def test_a_capture_kernel_that_kexec_load_has_room_for_is_no_reason_to_refuse(plan):
    """Scattered pages: kexec_file_load(2) writes 128 entries before its own RAM."""
    scattered = [(BASE + 2 * n, 1, 0) for n in range(150)]
    found = plan(RawLive(), request(*scattered, cmdline=b"ro crashkernel=256M"))
    (one,) = [one for one in found.verdict.findings if one.id == "capture-table-full"]
    assert (found.verdict.verdict, one.level) == ("safe", "note")
    assert found.verdict.verdict == "safe"


def test_memory_that_the_command_line_makes_ram_again_is_unsafe(plan):
    found = plan(RawLive(), request((BASE, 4, 7), cmdline=b"memmap=2M%1G-2+1"))
    assert found.verdict.verdict == "unsafe"
    assert "usable-as-ram" in ids(found)


def test_a_kernel_that_nobody_knows_has_no_verdict(plan):
    kernel = KernelFile(name="x", image=rawbytes.bzimage(b"99.1.0-x (me) #1"))
    found = plan(RawLive(), request((BASE, 4, 7), kernel=kernel))
    assert found.verdict.verdict == "unknown"


def test_a_deposit_over_the_running_kernel_is_a_note(plan):
    found = plan(RawLive(), request((0x1100, 4, 7), (0x30000, 1, 7)))
    assert "deposit-in-running-kernel" in ids(found)
    names = [f.message for f in found.verdict.findings if "running" in f.id]
    assert ["Kernel code" in names[0], "Crash kernel" in names[1]] == [True, True]
    assert found.verdict.verdict == "safe"


def test_screen_disks_and_acpi_are_carried_over_and_memory_sizes_are_not(plan):
    page = {0x02: b"\xff\xff", 0x06: b"\x03", 0x70: (0xF5000).to_bytes(8, "little")}
    page |= {0x1E0: b"\xff\xff\xff\xff", 0x1E9: b"\x01", 0xD00: b"\x80\x30"}
    found = plan(RawLive(page=page), request((BASE, 4, 7)))
    segment = next(s for s in found.image.segments if s.what == "boot_params")
    made = found.image.payload[segment.at : segment.at + 4096]
    assert made[0x70:0x78] == page[0x70]
    assert (made[0x06], made[0x1E9], made[0xD00:0xD02]) == (3, 1, b"\x80\x30")
    assert (made[0x02:0x04], made[0x1E0:0x1E4]) == (bytes(2), bytes(4))


@pytest.mark.parametrize("loader", ["ours", "kexec-load"])
def test_an_old_image_hangs_under_page_tables_of_five_levels(plan, loader):
    old = KernelFile(name="old", image=rawbytes.bzimage(b"4.9.0-x", xloadflags=0x1F))
    asked = request((BASE, 4, 7), kernel=old, loader=loader)
    five = {"proc/cpuinfo": b"processor\t: 0\nflags\t\t: fpu la57 sse\n"}
    found = plan(RawLive(files=five), asked)
    assert "five-level-paging" in ids(found)
    assert found.verdict.verdict == "degraded"
    newer = request((BASE, 4, 7), loader=loader)
    assert "five-level-paging" not in ids(plan(RawLive(files=five), newer))
    four = {"proc/cpuinfo": b"processor\t: 0\nflags\t\t: fpu sse\n"}
    assert "five-level-paging" not in ids(plan(RawLive(files=four), asked))


@pytest.mark.parametrize("loader", ["ours", "kexec-load"])
def test_the_pair_of_kernels_decides_what_five_levels_do(plan, loader):
    text = b"5.10.0-32-amd64 (a@b) #1 SMP Debian 5.10.223-1"
    four = KernelFile(name="four", image=rawbytes.bzimage(text, xloadflags=0x3F))
    asked = request((BASE, 4, 7), kernel=four, loader=loader)
    flags = b"processor\t: 0\nflags\t\t: fpu la57 sse\n"
    version = "Linux version {}-amd64 (a@b) (gcc (Debian 12.2.0-14)) #1 SMP"

    def found(release):
        said = version.format(release).encode()
        files = {"proc/cpuinfo": flags, "proc/version": said}
        return plan(RawLive(files=files), asked)

    assert "five-level-paging" in ids(found("6.12.117+deb13"))
    assert found("6.12.117+deb13").verdict.verdict == "degraded"
    assert "five-level-paging" not in ids(found("6.12.3"))
    assert "five-level-paging" not in ids(found("6.1.0-50"))


def test_an_efi_machine_is_told_what_our_loader_leaves_behind(plan):
    systab = {"sys/firmware/efi/systab": b"ACPI20=0x7bfe014\nSMBIOS=0x1\n"}
    found = plan(RawLive(files=systab), request((BASE, 4, 7)))
    assert "efi-services-lost" in ids(found)
    assert found.verdict.verdict == "safe"
    bare = {"sys/firmware/efi/fw_vendor": b"0x0\n", "sys/firmware/efi/systab": b"x\n"}
    lost = plan(RawLive(files=bare), request((BASE, 4, 7)))
    assert "acpi-root-unknown" in ids(lost)
    assert lost.verdict.verdict == "degraded"
    tools = plan(RawLive(files=bare), request((BASE, 4, 7), loader="kexec-load"))
    assert "efi-services-lost" not in ids(tools)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (request((0xC0000, 1, 0)), "is not inside RAM"),
        (request((BASE, 2, 0), (BASE + 1, 2, 0)), "deposits overlap"),
        (
            request((BASE, 2, 0), withdrawn=[(BASE, BASE + 1)]),
            "deposited and withdrawn",
        ),
        (request(withdrawn=[(BASE, BASE + 1)]), "are not deposited"),
    ],
)
def test_a_list_that_cannot_be_is_refused(plan, asked, said):
    with pytest.raises(InputError, match=said):
        plan(RawLive(), asked)


def test_an_image_without_a_64_bit_entry_is_for_kexec_tools(plan):
    kernel = KernelFile(name="old", image=rawbytes.bzimage(xloadflags=0))
    with pytest.raises(BadImageError, match=r"xloadflags 0x0 .*--loader kexec-load"):
        plan(RawLive(), request((BASE, 4, 7), kernel=kernel))
    found = plan(RawLive(), request((BASE, 4, 7), kernel=kernel, loader="kexec-load"))
    assert found.load


@pytest.mark.parametrize("loaded", ["0\n", "1\n"])
def test_a_capture_kernel_that_was_loaded_before_the_deposits_is_named(plan, loaded):
    files = {"sys/kernel/kexec_crash_loaded": loaded.encode()}
    asked = request((BASE, 4, 7))
    found = plan(RawLive(files=files), asked)
    assert ("capture-kernel-loaded" in ids(found)) == (loaded == "1\n")
    assert found.verdict.verdict == "safe"
    # What this kernel was booted with is RESERVED to it, and in no dump.
    inherited = RawLive(files=files, deposits=((BASE, 4, 7),))
    inherited = replace(inherited, record=inherited.own_record())
    assert "capture-kernel-loaded" not in ids(plan(inherited, request()))


@pytest.mark.parametrize("loader", ["ours", "kexec-load"])
@pytest.mark.parametrize("block", [None, 8, 9])
def test_the_verdict_and_the_handoff_know_the_machine_s_memory_devices(
    plan, loader, block
):
    # A deposit of a whole block at 1 GiB, RAM of the map, and what else can be added.
    acpi = RawAcpi(devices=() if block is None else ((block,),))
    live = RawLive(deposits=((BASE, 1 << 15, 7),), acpi=acpi)
    live = replace(live, record=live.own_record())
    found = plan(live, request((BASE + (1 << 16), 1, 9), loader=loader))
    devices = found.firmware_map.devices
    span = () if block is None else ((block << 27, block + 1 << 27),)
    assert devices == MemoryDevices(devices=span)
    assert found.verdict.judged_on.memory_devices == "known"
    assert found.verdict.verdict == "safe"
