import struct
from dataclasses import replace
from pathlib import Path

import pytest
import rawbytes

from e820pool.abi.boot_params import (
    BOOT_PARAMS,
    BootParams,
    encode_boot_params,
    parse_boot_params,
    validate_e820_count,
)
from e820pool.abi.e820 import table_of
from e820pool.errors import BadImageError, CapacityError, InputError

LIVE = Path("/sys/kernel/boot_params/data")
ROWS = [(i << 20, 1 << 19, 1 + i % 4) for i in range(130)]


def sectors(disk):
    return disk.params.number_of_sectors


def test_the_definition_is_4096_bytes_and_has_the_table_in_full():
    assert BOOT_PARAMS.sizeof() == 4096
    parsed = BOOT_PARAMS.parse(rawbytes.zero_page(ROWS[:128]))
    assert len(parsed.e820_table) == 128
    assert parsed.e820_table[127].addr == 127 << 20


def test_the_map_is_read_from_the_page():
    page = parse_boot_params(rawbytes.zero_page(ROWS[:5]))
    assert page.e820_entries == 5
    assert page.e820_map.tolist() == ROWS[:5]
    assert page.e820_table == rawbytes.e820_table(ROWS[:5]).ljust(2560, b"\0")


def test_every_header_field_is_read_from_its_place():
    values = {name: 3 + i for i, name in enumerate(rawbytes.SETUP_HEADER_NAMES)}
    header = parse_boot_params(rawbytes.zero_page(**values)).hdr
    assert {name: getattr(header, name) for name in values} == values


@pytest.mark.parametrize(
    ("offset", "new", "read"),
    [
        (0x002, struct.pack("<H", 0xABCD), lambda p: p.ext_mem_k),
        (0x058, struct.pack("<Q", 0xABCD), lambda p: p.tboot_addr),
        (0x070, struct.pack("<Q", 0xABCD), lambda p: p.acpi_rsdp_addr),
        (0x0C0, struct.pack("<I", 0xABCD), lambda p: p.ext_ramdisk_image),
        (0x13C, struct.pack("<I", 0xABCD), lambda p: p.cc_blob_address),
        (0x1D0, struct.pack("<I", 0xABCD), lambda p: p.efi_info.memmap_addr),
        (0x1E0, struct.pack("<I", 0xABCD), lambda p: p.alt_mem_k),
        (0x2CC, struct.pack("<I", 0xABCD), lambda p: p.edd_mbr_sig_buffer[15]),
        (
            0xD18,
            struct.pack("<Q", 0xABCD),
            lambda p: int.from_bytes(p.eddbuf[0x18:0x20], "little"),
        ),
    ],
)
def test_a_field_is_read_from_the_offset_of_the_boot_protocol(offset, new, read):
    page = parse_boot_params(rawbytes.zero_page(patches={offset: new}))
    assert read(page) == 0xABCD


def test_both_halves_of_the_efi_map_address_are_joined():
    halves = {0x1D0: struct.pack("<I", 0x1000), 0x1DC: struct.pack("<I", 0x2)}
    page = parse_boot_params(rawbytes.zero_page(patches=halves))
    assert page.efi_info.memmap_addr == 0x2_0000_1000


def test_pads_are_kept():
    noise = {0x54: b"pad2", 0xCC: b"pad4" * 28, 0xEEC: b"pad9" * 69, 0x26C: b"7" * 36}
    data = rawbytes.zero_page(ROWS[:3], patches=noise)
    assert encode_boot_params(parse_boot_params(data)) == data


@pytest.mark.parametrize("length", [0, 1, 20, 4095, 4097, 8192])
def test_another_length_is_refused(length):
    with pytest.raises(BadImageError) as caught:
        parse_boot_params(bytes(length))
    assert str(caught.value) == (
        f"boot_params: got {length} bytes (0x{length:x}), want 4096"
    )


def test_a_page_is_zero_unless_told_otherwise():
    assert encode_boot_params(BootParams.zero()) == bytes(4096)
    assert parse_boot_params(bytes(4096)) == BootParams()


def test_pages_compare_and_hash():
    one, two = (parse_boot_params(rawbytes.zero_page(ROWS[:3])) for _ in range(2))
    assert one == two
    assert hash(one) == hash(two)
    assert one != replace(one, alt_mem_k=1)


@pytest.mark.parametrize("count", [0, 1, 127, 128])
def test_a_table_that_fits_is_put_into_the_page(count):
    page = parse_boot_params(rawbytes.zero_page(ROWS[:128]))
    assert encode_boot_params(page.with_table(table_of(ROWS[:count]))) == (
        rawbytes.zero_page(ROWS[:count])
    )


def test_the_129th_entry_does_not_fit():
    with pytest.raises(CapacityError) as caught:
        BootParams().with_table(table_of(ROWS[:129]))
    assert str(caught.value) == "129 entries (0x81) do not fit: the zero page holds 128"


@pytest.mark.parametrize("count", [0, 2, 128])
def test_a_count_up_to_128_is_valid(count):
    page = parse_boot_params(rawbytes.zero_page(ROWS[:128], count=count))
    validate_e820_count(page)
    assert len(page.e820_map) == count


@pytest.mark.parametrize("count", [129, 255])
def test_a_count_above_128_is_read_but_not_valid(count):
    page = parse_boot_params(rawbytes.zero_page(ROWS[:128], count=count))
    assert page.e820_entries == count
    assert len(page.e820_map) == 128
    with pytest.raises(BadImageError) as caught:
        validate_e820_count(page)
    assert str(caught.value) == (
        f"e820_entries is {count:#x} ({count}): the zero page holds 128"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"e820_entries": 256}, "e820_entries does not fit its field: 0x100"),
        ({"tboot_addr": -1}, "tboot_addr does not fit its field: -0x1"),
        ({"e820_table": b"x"}, "e820_table does not fit its field: 1 bytes"),
        ({"hd0_info": bytes(17)}, "hd0_info does not fit its field: 17 bytes"),
        ({"edd_mbr_sig_buffer": (1,) * 15}, "edd_mbr_sig_buffer does not fit"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(changes, message):
    with pytest.raises(InputError) as caught:
        encode_boot_params(replace(BootParams(), **changes))
    assert str(caught.value).startswith(f"boot_params: {message}")


@pytest.mark.skipif(
    not LIVE.exists(),
    reason=f"no {LIVE}: needs Linux 3.14 or later on x86",
)
def test_the_running_machines_page_is_read():
    """Not even HdrS may be asked of it: entered by PVH, a kernel has none."""
    data = LIVE.read_bytes()
    page = parse_boot_params(data)
    assert encode_boot_params(page) == data
    validate_e820_count(page)
    assert page.e820_map["size"].sum() > 0
