"""Write boot ABI bytes with nothing but struct, as tests need them: also wrong ones.

Written from the kernel's documents and not from e820pool, so that a test which reads
these bytes with e820pool compares two accounts of the same layout.
"""

import struct

SETUP_HEADER = "<BHIHHHHHIHIHHBBHIIIIHBBIIIBBHIIQIIQQIII"
_NAMES = (
    "setup_sects root_flags syssize ram_size vid_mode root_dev boot_flag jump header"
    " version realmode_swtch start_sys_seg kernel_version type_of_loader loadflags"
    " setup_move_size code32_start ramdisk_image ramdisk_size bootsect_kludge"
    " heap_end_ptr ext_loader_ver ext_loader_type cmd_line_ptr initrd_addr_max"
    " kernel_alignment relocatable_kernel min_alignment xloadflags cmdline_size"
    " hardware_subarch hardware_subarch_data payload_offset payload_length setup_data"
    " pref_address init_size handover_offset kernel_info_offset"
)
SETUP_HEADER_NAMES = tuple(_NAMES.split())

# What a 6.1 distribution kernel says of itself.
SETUP_HEADER_6_1 = {
    "setup_sects": 39,
    "boot_flag": 0xAA55,
    "jump": 0x6AEB,
    "header": 0x53726448,
    "version": 0x020F,
    "loadflags": 1,
    "initrd_addr_max": 0x7FFFFFFF,
    "kernel_alignment": 0x200000,
    "relocatable_kernel": 1,
    "min_alignment": 21,
    "xloadflags": 0x7F,
    "cmdline_size": 2047,
    "pref_address": 0x1000000,
    "init_size": 0x3378000,
}


def e820_table(rows):
    return b"".join(struct.pack("<QQI", *row) for row in rows)


def setup_header(**fields):
    values = dict.fromkeys(SETUP_HEADER_NAMES, 0) | fields
    return struct.pack(SETUP_HEADER, *values.values())


def patched(data, patches):
    """Return data with the bytes of each offset replaced."""
    changed = bytearray(data)
    for offset, new in patches.items():
        changed[offset : offset + len(new)] = new
    return bytes(changed)


def zero_page(rows=(), *, count=None, patches=None, **hdr):
    """Return 4096 bytes; rows beyond 128 are not written, `count` may still lie."""
    page = bytearray(4096)
    page[0x1E8] = len(rows) if count is None else count
    page[0x1F1:0x26C] = setup_header(**(SETUP_HEADER_6_1 | hdr))
    table = e820_table(rows)[: 128 * 20]
    page[0x2D0 : 0x2D0 + len(table)] = table
    return patched(page, patches or {})


def setup_data(type_, data, next_=0, length=None):
    """Return one node; `length` may lie."""
    length = len(data) if length is None else length
    return struct.pack("<QII", next_, type_, length) + data


def setup_data_chain(placed):
    """Link `(addr, type, data)` in the order given; returns head and memory parts."""
    nexts = [addr for addr, _, _ in [*placed, (0, 0, b"")][1:]]
    parts = [
        (addr, setup_data(type_, data, next_))
        for (addr, type_, data), next_ in zip(placed, nexts, strict=True)
    ]
    return (placed[0][0] if placed else 0), parts


def bzimage(text=b"6.1.0-52-cloud-amd64 (me@here) #1 SMP", *, payload=b"P" * 64, **hdr):
    """Return an image: one boot sector, `setup_sects` more, then the payload."""
    fields = SETUP_HEADER_6_1 | {"setup_sects": 4, "payload_length": len(payload)} | hdr
    real_mode = bytearray((fields["setup_sects"] or 4) * 512 + 512)
    if text:
        fields.setdefault("kernel_version", 0x400)
        at = fields["kernel_version"] + 0x200
        real_mode[at : at + len(text) + 1] = text + b"\0"
    end = 0x202 + (fields["jump"] >> 8)
    header = setup_header(**fields).ljust(end - 0x1F1, b"\0")
    real_mode[0x1F1:end] = header[: end - 0x1F1]
    return bytes(real_mode) + bytes(fields.get("payload_offset", 0)) + payload


def crc32(data):
    """Return the CRC-32 of IEEE 802.3, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def pool_record(
    extents=(),
    *,
    generation=0,
    digest=bytes(16),
    major=1,
    minor=0,
    flags=0,
    header_more=b"",
    extent_more=b"",
    trailing=b"",
    crc=None,
    **lies,
):
    """Return a record of `(base_pfn, nr_pages, owner, firmware_type)` extents.

    `header_more` and `extent_more` are what a newer minor version might append;
    `lies` are header_bytes, record_bytes, extent_bytes, nr_extents.
    """
    rows = b"".join(struct.pack("<QQQII", *row, 0) + extent_more for row in extents)
    sizes = {
        "header_bytes": 64 + len(header_more),
        "record_bytes": 64 + len(header_more) + len(rows) + len(trailing),
        "extent_bytes": 32 + len(extent_more),
        "nr_extents": len(extents),
    } | lies
    front = struct.pack(
        "<8sHHII",
        b"E820POOL",
        major,
        minor,
        sizes["header_bytes"],
        sizes["record_bytes"],
    )
    back = struct.pack(
        "<IIIIQ16s",
        sizes["extent_bytes"],
        sizes["nr_extents"],
        flags,
        0,
        generation,
        digest,
    )
    back += header_more + rows + trailing
    crc = crc32(front + bytes(4) + back) if crc is None else crc
    return front + struct.pack("<I", crc) + back


def elf_core(*loads, kind=4):
    """Return ELF core headers: (vaddr, paddr, size) a PT_LOAD, after one PT_NOTE."""
    count = len(loads) + 1
    head = struct.pack("<16sHHIQQQ", b"\x7fELF\x02\x01\x01", kind, 62, 1, 0, 64, 0)
    head += struct.pack("<IHHHHHH", 0, 64, 56, count, 0, 0, 0)
    body = struct.pack("<IIQQQQQQ", 4, 0, 4096, 0, 0, 100, 100, 0)
    for vaddr, paddr, size in loads:
        body += struct.pack("<IIQQQQQQ", 1, 7, 4096, vaddr, paddr, size, size, 0)
    return head + body


def srat(*memory, others=b"", length=None, signature=b"SRAT"):
    """Return an SRAT: `memory` is (start, size, flags) each, after other structures."""
    body = others
    for start, size, flags in memory:
        # type, length, proximity domain, reserved, base low and high, length low and
        # high, reserved, flags, reserved (ACPI 6.4, table 5.59).
        body += struct.pack("<BBIHQQIIQ", 1, 40, 0, 0, start, size, 0, flags, 0)
    total = 48 + len(body) if length is None else length
    head = signature + struct.pack("<IBB", total, 3, 0) + b"BOCHS BXPC    "
    head += struct.pack("<I4sI", 1, b"BXPC", 1) + struct.pack("<IQ", 1, 0)
    return head + body
