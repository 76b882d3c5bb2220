"""boot() and what goes with it: dry runs, one-file images, several at a time, KVM."""

import os
import shlex
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
from compat_cases import check
from labbench import (
    LOW,
    MIB,
    PATIENT,
    ROWS,
    boot_patiently,
    deposits,
    handoff_of,
)

from e820pool.errors import LabError
from e820pool.kernel.early_boot import predict
from e820pool.kernel.profiles import profile_for
from e820pool.lab import accel
from e820pool.lab.boot import BootOptions, boot, dry_run
from e820pool.lab.guest import LAB_CMDLINE, build_initramfs
from e820pool.lab.guest_report import parse_guest_report
from e820pool.lab.machine import Deadlines, LostVmError
from e820pool.loading.bind import handoff_image
from e820pool.sources.kernel_console import read_console

SHM = Path("/dev/shm")  # noqa: S108  the tmpfs that the tests are about


@pytest.fixture(scope="module")
def image(image_of):
    return image_of("6.1").read()


def test_a_dry_runs_command_boots_on_its_own(image, tmp_path):
    options = BootOptions(pressure=False, accelerator="tcg")
    command = dry_run(handoff_of(deposits(1)), image, tmp_path / "parts", options)
    subprocess.run(["sh", "-c", command], check=True, timeout=300, cwd=tmp_path)
    report = parse_guest_report((tmp_path / "parts" / "report.txt").read_bytes())
    assert report.is_complete
    console = (tmp_path / "parts" / "console.log").read_text(errors="replace")
    assert read_console(console).kernel.startswith("6.1")


def test_one_file_boots_with_nothing_but_a_multiboot_loader(image, tmp_path):
    handoff = handoff_of(deposits(20), cmdline=LAB_CMDLINE)
    path = tmp_path / "handoff.elf"
    path.write_bytes(handoff_image(handoff, image, build_initramfs(pressure=False)))
    argv = ["qemu-system-x86_64", "-m", "288M", "-nodefaults", "-display", "none"]
    argv += ["-no-reboot", "-serial", "file:console", "-serial", "file:report"]
    argv += ["-kernel", str(path)]
    subprocess.run(argv, check=True, timeout=300, cwd=tmp_path)
    facts = read_console((tmp_path / "console").read_text(errors="replace"))
    assert facts.bios_map == tuple(handoff.boot_params.e820_map.tolist())
    assert facts.reached_init
    assert parse_guest_report((tmp_path / "report").read_bytes()).is_complete


def test_a_zero_page_that_kills_the_kernel_gives_its_reason_not_a_lost_vm(image):
    handoff = handoff_of(cmdline="memmap=exactmap memmap=64M@0")
    view = boot_patiently(handoff, image).view
    assert view.fatal == "Invalid user supplied memory map"
    assert view.bios_map == tuple(handoff.boot_params.e820_map.tolist())
    assert view.memory == ()


def test_an_image_that_stops_without_a_word_is_a_lost_vm(image):
    broken = bytearray(image)
    start = (broken[0x1F1] or 4) * 512 + 512
    # ud2 at the 32-bit entry: no handler, so the CPU resets.
    broken[start : start + 2] = b"\x0f\x0b"
    with pytest.raises(LostVmError, match="ended in phase kernel: no reason given"):
        boot_patiently(handoff_of(), bytes(broken))


def test_more_regions_than_memblock_holds_cost_ram_or_the_boot(kernel):
    """No RAM below 1 MiB and over 128 regions: the array of regions cannot grow."""
    none_low = ((0, 0x1000, 2), *LOW[1:])
    pieces = tuple((128 * MIB + n * 256 * 1024, 128 * 1024, 1) for n in range(140))
    rows = (*none_low, (MIB, 127 * MIB, 1), *pieces)
    handoff = handoff_of(rows=rows)
    view = boot_patiently(handoff, kernel.read(), pressure=False).view
    assert "memblock-full" in view.warnings
    assert len(view.memory) == 128
    assert view.fatal == "Real mode trampoline was not allocated"
    profile = profile_for(kernel.release)
    model = predict(handoff, profile)
    assert model.memory == view.memory
    assert check(handoff, profile, model).verdict == "degraded"


def test_a_handoff_built_for_no_kernel_boots_with_any(image, image_of):
    handoff = handoff_of(deposits(1))
    assert handoff.kernel_window is None
    sizes = set()
    for data in (image, image_of("newest").read()):
        record = boot_patiently(handoff, data, pressure=False)
        sizes.add(record.handoff.boot_params.hdr.init_size)
        assert record.view.load_window == record.handoff.kernel_window
        assert not record.view.touched_deposits
    assert len(sizes) == 2


def test_boots_side_by_side_do_not_meet(image):
    made = {}

    def one(count):
        handoff = handoff_of(deposits(count))
        made[count] = boot_patiently(handoff, image, pressure=False)

    threads = [threading.Thread(target=one, args=(count,)) for count in (1, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for count, record in made.items():
        assert len(record.view.bios_map) == len(ROWS) + 2 * count
    assert made.keys() == {1, 3}


def test_ram_in_a_folder_leaves_nothing_there(image):
    with tempfile.TemporaryDirectory(dir=SHM) as made:
        folder = Path(made)
        record = boot_patiently(
            handoff_of(deposits(1)), image, pressure=False, ram_folder=folder
        )
        assert not record.view.touched_deposits
        assert list(folder.iterdir()) == []


def test_a_guest_larger_than_this_host_is_refused_before_it_starts(image):
    have = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    rows = (*ROWS, (4096 * MIB, have, 1))
    with pytest.raises(LabError, match="boot without memory pressure, or a smaller"):
        boot_patiently(handoff_of(rows=rows), image)


def test_a_lost_machine_keeps_its_console(image):
    impatient = Deadlines(firmware=60, kernel=0.8)
    with pytest.raises(LostVmError, match="VM lost in phase kernel") as lost:
        boot_patiently(handoff_of(), image, deadlines=impatient)
    assert isinstance(lost.value.console, bytes)


def test_the_lab_adds_less_than_half_a_second_to_a_boot(image):
    """All of boot() that is not the machine's own time, start and end included."""
    handoff = handoff_of(deposits(20))
    spent = []
    for _ in range(3):
        start = time.monotonic()
        record = boot_patiently(handoff, image, pressure=False)
        spent.append(time.monotonic() - start - sum(record.run.seconds.values()))
    assert min(spent) < 0.5


def test_kvm_is_used_only_where_a_kernel_booted_with_it(image, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(accel, "_known", {})
    start = time.monotonic()
    chosen = accel.choose_accelerator(image)
    assert time.monotonic() - start < 60
    usable = os.access("/dev/kvm", os.R_OK | os.W_OK)
    assert chosen == ("kvm" if usable and accel.probe_kvm(image) else "tcg")
    # Once known it is not probed again, by this process or the next.
    monkeypatch.setattr(accel, "probe_kvm", None)
    assert accel.choose_accelerator(image) == chosen
    monkeypatch.setattr(accel, "_known", {})
    assert accel.choose_accelerator(image) == chosen


def test_what_auto_chooses_boots(image):
    options = BootOptions(pressure=False, deadlines=PATIENT)
    assert boot(handoff_of(), image, options).report.is_complete


def test_a_users_command_is_one_line_for_a_shell(image, tmp_path):
    command = dry_run(
        handoff_of(), image, tmp_path / "a b", BootOptions(accelerator="tcg")
    )
    assert "\n" not in command
    assert shlex.split(command)[0] == "qemu-system-x86_64"
    assert (tmp_path / "a b" / "stub.elf").exists()
