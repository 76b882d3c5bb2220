"""The boot stub, disassembled by binutils: an oracle that knows nothing of us."""

import re
import struct
import subprocess

import pytest

from e820pool.errors import InputError
from e820pool.loading.multiboot_stub import (
    STUB_BYTES,
    KernelEntry,
    build_image_elf,
    build_stub_elf,
    image_bytes,
)

MIB = 1 << 20
ENTRY = KernelEntry(kernel_addr=16 * MIB, boot_params_addr=2 * MIB)


def disassembled(elf, tmp_path, addr):
    # Past the 12 bytes of the Multiboot header, up to the far jump.
    code = tmp_path / "code"
    code.write_bytes(elf[0x1000 + 12 :])
    options = ["-D", "-b", "binary", "-m", "i386", "-M", "intel"]
    options.append(f"--adjust-vma={addr + 12:#x}")
    try:
        told = subprocess.run(
            ["objdump", *options, code], capture_output=True, text=True, check=True
        ).stdout
    except FileNotFoundError:
        pytest.skip("objdump is not installed: install binutils")
    lines = [line.split("\t") for line in told.splitlines() if "\t" in line]
    ops = [re.sub(r"\s+", " ", parts[2]).strip() for parts in lines if len(parts) > 2]
    return ops[: next(n for n, op in enumerate(ops) if op.startswith("jmp 0x10:")) + 1]


def test_the_stub_enters_the_kernel_as_the_32_bit_protocol_wants(tmp_path):
    elf = build_stub_elf(addr=3 * MIB, entry=ENTRY, wait=False)
    ops = disassembled(elf, tmp_path, 3 * MIB)
    assert ops[:2] == ["cli", "cld"]
    assert ops[2].startswith("lgdtd ds:0x")
    assert ops[3:] == [
        "mov eax,0x18",
        *[f"mov {segment},eax" for segment in ("ds", "es", "fs", "gs", "ss")],
        "mov esi,0x200000",
        "xor ebp,ebp",
        "xor edi,edi",
        "xor ebx,ebx",
        "jmp 0x10:0x1000000",
    ]


def test_the_gdt_is_where_lgdt_looks_and_its_segments_are_flat(tmp_path):
    addr = 3 * MIB
    elf = build_stub_elf(addr=addr, entry=ENTRY, wait=False)
    lgdt = disassembled(elf, tmp_path, addr)[2]
    pointer = int(lgdt.partition("0x")[2], 16)
    limit, base = struct.unpack_from("<HI", elf, 0x1000 + pointer - addr)
    assert (limit, base % 8) == (31, 0)
    table = struct.unpack_from("<QQQQ", elf, 0x1000 + base - addr)
    code, data = table[0x10 // 8], table[0x18 // 8]
    assert table[0] == 0
    for descriptor, access in ((code, 0x9A), (data, 0x92)):
        base_bits = (descriptor >> 16 & 0xFFFFFF) | (descriptor >> 56) << 24
        limit_bits = (descriptor & 0xFFFF) | (descriptor >> 48 & 0xF) << 16
        assert (base_bits, limit_bits) == (0, 0xFFFFF)
        assert descriptor >> 40 & 0xFF == access
        # Granularity 4 KiB, 32-bit.
        assert descriptor >> 52 & 0xF == 0xC


def test_a_waiting_stub_reports_and_polls_the_second_serial_port(tmp_path):
    elf = build_stub_elf(addr=3 * MIB, entry=ENTRY, wait=True)
    ops = disassembled(elf, tmp_path, 3 * MIB)
    start = ops.index("mov dx,0x2f8")
    assert ops[start : start + 8] == [
        "mov dx,0x2f8",
        "mov al,0x5",
        "out dx,al",
        "mov dx,0x2fd",
        "in al,dx",
        "test al,0x1",
        f"je {poll_address(elf):#x}",
        "mov dx,0x2f8",
    ]
    assert ops[start + 8] == "in al,dx"


def poll_address(elf):
    # The IN after "mov dx, line status".
    return 3 * MIB + elf[0x1000:].index(b"\x66\xba\xfd\x02\xec") + 4


def test_an_image_copies_each_part_to_its_place(tmp_path):
    parts = [(16 * MIB, b"kernel" * 100), (2 * MIB, b"params")]
    addr = 64 * MIB
    elf = build_image_elf(parts, addr=addr, entry=ENTRY)
    ops = disassembled(elf, tmp_path, addr)
    copies = [op for op in ops if "movs" in op]
    assert len(copies) == 2
    first = ops.index(copies[0]) - 3
    assert ops[first : first + 3] == [
        f"mov esi,{addr + STUB_BYTES:#x}",
        f"mov edi,{16 * MIB:#x}",
        f"mov ecx,{600:#x}",
    ]
    packed = elf[0x1000 + STUB_BYTES :]
    assert packed == b"kernel" * 100 + b"params"


def test_an_image_over_the_place_of_a_part_is_refused():
    parts = [(16 * MIB, bytes(1000))]
    below = 16 * MIB - image_bytes(parts)
    below -= below % 4096
    build_image_elf(parts, addr=below, entry=ENTRY)
    with pytest.raises(InputError, match="overlaps the part that belongs at"):
        build_image_elf(parts, addr=below + 4096, entry=ENTRY)
