"""The QEMU command line, and the one that a user can paste."""

import shlex
from dataclasses import replace

import pytest

from e820pool.extents import round_up
from e820pool.handoff.model import Segment
from e820pool.lab.guest_ram import RamLayout
from e820pool.lab.qemu import VmChannels, VmSpec, qemu_argv, write_dry_run
from e820pool.loading.multiboot_stub import KernelEntry

MIB = 1 << 20
CHANNELS = VmChannels(
    ram="/ram",
    stub="/stub",
    parts=("/a", "/b"),
    console="socket,fd=5",
    report="socket,fd=6",
)


def spec(ram=None, accelerator="tcg"):
    return VmSpec(
        ram=ram or RamLayout(low_bytes=336 * MIB),
        parts=(
            Segment(what="boot_params", addr=0x200000, data=b"page"),
            Segment(what="kernel", addr=0x1000000, data=b"code"),
        ),
        entry=KernelEntry(kernel_addr=0x1000000, boot_params_addr=0x200000),
        stub_addr=0x300000,
        accelerator=accelerator,
    )


def values(argv, option):
    return [argv[n + 1] for n, word in enumerate(argv) if word == option]


def test_each_part_is_placed_by_the_generic_loader_as_raw_bytes():
    assert values(qemu_argv(spec(), CHANNELS), "-device") == [
        "loader,file=/a,addr=0x200000,force-raw=on",
        "loader,file=/b,addr=0x1000000,force-raw=on",
    ]


def test_ram_is_a_shared_file_and_a_reset_is_the_end():
    argv = qemu_argv(spec(), CHANNELS)
    size = 336 * MIB
    assert values(argv, "-m") == [f"size={size}B"]
    assert values(argv, "-object") == [
        f"memory-backend-file,id=ram,size={size}B,mem-path=/ram,share=on"
    ]
    assert "-no-reboot" in argv
    assert values(argv, "-serial") == ["chardev:console", "chardev:report"]


@pytest.mark.parametrize("accelerator", ["tcg", "kvm"])
def test_the_accelerator_is_the_one_asked_for(accelerator):
    argv = qemu_argv(spec(accelerator=accelerator), CHANNELS)
    assert values(argv, "-accel") == [accelerator]


def test_with_ram_above_4_gib_the_low_part_ends_where_the_layout_says():
    alone = qemu_argv(spec(), CHANNELS)
    both = qemu_argv(
        spec(RamLayout(low_bytes=64 * MIB, high_bytes=128 * MIB)), CHANNELS
    )
    assert "max-ram-below-4g" not in values(alone, "-machine")[0]
    assert f"max-ram-below-4g={64 * MIB}" in values(both, "-machine")[0]
    assert values(both, "-m") == [f"size={192 * MIB}B"]


def test_without_room_for_its_tables_the_machine_has_no_acpi():
    argv = qemu_argv(spec(RamLayout(low_bytes=3 << 30, has_acpi=False)), CHANNELS)
    assert "acpi=off" in values(argv, "-machine")[0]
    assert "acpi=off" not in values(qemu_argv(spec(), CHANNELS), "-machine")[0]


def test_numa_nodes_are_equal_shares_of_ram_with_a_processor_each():
    ram = RamLayout(low_bytes=2064 * MIB)
    argv = qemu_argv(replace(spec(ram), nodes=2), CHANNELS)
    # The slack at the end of RAM is the last node's.
    assert values(argv, "-numa") == [
        f"node,nodeid=0,cpus=0,mem={1024 * MIB}B",
        f"node,nodeid=1,cpus=1,mem={1040 * MIB}B",
    ]
    assert values(argv, "-smp") == ["2"]
    assert "-numa" not in qemu_argv(spec(ram), CHANNELS)


def test_each_memory_device_is_a_pc_dimm_on_a_shared_file():
    gib = 1 << 30
    ram = RamLayout(
        low_bytes=64 * MIB,
        devices=((4 * gib, 5 * gib), (6 * gib, 6 * gib + 128 * MIB)),
    )
    argv = qemu_argv(spec(ram), replace(CHANNELS, devices=("/d0", "/d1")))
    # Room from 4 GiB to the last device's end, beside the RAM at power-on.
    room = round_up(2 * gib + 192 * MIB, gib)
    assert values(argv, "-m") == [f"size={64 * MIB}B,slots=2,maxmem={room}B"]
    assert values(argv, "-object")[1:] == [
        f"memory-backend-file,id=mem0,size={gib}B,mem-path=/d0,share=on",
        f"memory-backend-file,id=mem1,size={128 * MIB}B,mem-path=/d1,share=on",
    ]
    assert values(argv, "-device")[:2] == [
        "pc-dimm,id=dimm0,memdev=mem0,addr=0x100000000",
        "pc-dimm,id=dimm1,memdev=mem1,addr=0x180000000",
    ]


def test_a_dry_run_leaves_files_and_a_command_that_names_them(tmp_path):
    folder = tmp_path / "a folder, with a comma"
    argv = shlex.split(write_dry_run(spec(), folder))
    assert argv[0] == "qemu-system-x86_64"
    loaders = values(argv, "-device")
    for loader, data in zip(loaders, (b"page", b"code"), strict=True):
        # QEMU reads a doubled comma as one.
        name = loader.replace(",,", "\0").split(",")[1].replace("\0", ",")
        path = name.removeprefix("file=")
        assert (folder / path.rpartition("/")[2]).read_bytes() == data
    assert values(argv, "-kernel") == [str(folder / "stub.elf")]
    assert (folder / "stub.elf").read_bytes()[:4] == b"\x7fELF"
    # Nobody is there to answer a stub that waits.
    assert b"\x66\xba\xfd\x02" not in (folder / "stub.elf").read_bytes()
