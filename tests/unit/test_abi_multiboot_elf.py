"""ELF and Multiboot bytes against the documents' own offsets, read with struct."""

import struct
import subprocess

import pytest

from e820pool.abi.multiboot_elf import (
    encode_gdt,
    encode_gdt_pointer,
    encode_multiboot_elf,
    encode_multiboot_header,
)
from e820pool.errors import InputError

MIB = 1 << 20


def test_the_three_words_of_the_multiboot_header_sum_to_zero():
    magic, flags, checksum = struct.unpack("<III", encode_multiboot_header())
    assert magic == 0x1BADB002
    assert flags == 0
    assert (magic + flags + checksum) % (1 << 32) == 0


def test_an_elf_file_has_its_content_at_the_address_it_names():
    elf = encode_multiboot_elf(addr=3 * MIB, entry=3 * MIB + 12, content=b"x" * 5000)
    kind, machine, version, entry, phoff = struct.unpack_from("<HHIII", elf, 0x10)
    assert (elf[:7], kind, machine, version) == (b"\x7fELF\x01\x01\x01", 2, 3, 1)
    assert entry == 3 * MIB + 12
    program = struct.unpack_from("<IIIIIIII", elf, phoff)
    load, offset, vaddr, paddr, filesz, memsz, _, align = program
    assert (load, vaddr, paddr, filesz, memsz) == (1, 3 * MIB, 3 * MIB, 5000, 5000)
    assert offset % align == vaddr % align
    assert elf[offset : offset + filesz] == b"x" * 5000
    assert len(elf) == offset + filesz


def test_file_takes_it_for_an_elf_executable(tmp_path):
    path = tmp_path / "stub.elf"
    path.write_bytes(encode_multiboot_elf(addr=MIB, entry=MIB, content=b"\xf4"))
    try:
        told = subprocess.run(
            ["readelf", "-h", "-l", path], capture_output=True, text=True, check=True
        ).stdout
    except FileNotFoundError:
        pytest.skip("readelf is not installed: install binutils")
    assert "EXEC (Executable file)" in told
    assert "Intel 80386" in told
    assert "LOAD" in told
    assert "Warning" not in told


@pytest.mark.parametrize("addr", [MIB + 1, (1 << 32) - 4096])
def test_a_segment_off_a_page_or_beyond_4_gib_is_refused(addr):
    with pytest.raises(InputError, match="must start on a page and end by 0x100000000"):
        encode_multiboot_elf(addr=addr, entry=addr, content=bytes(4097))


def test_the_gdt_pointer_holds_the_size_less_one():
    table = encode_gdt((0, 0x00CF9A000000FFFF))
    assert table == bytes(8) + b"\xff\xff\x00\x00\x00\x9a\xcf\x00"
    assert struct.unpack("<HI", encode_gdt_pointer(0x1234, len(table))) == (15, 0x1234)
