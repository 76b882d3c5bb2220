"""Name what a text is that holds no memory map, and what to give in its place."""

from __future__ import annotations

import re

__all__ = ("name_of_foreign",)

_WHOLE_LOG = "the kernel log from its first line (journalctl -k -b, or dmesg)"
_MEMMAP = 'grep "" /sys/firmware/memmap/*/*, as root'

_MEMBLOCK = (
    r"MEMBLOCK configuration:|memblock_(?:add|reserve|alloc)\w{0,40}: \[|"
    r"^[ \t]{0,40}memory\[0x[0-9a-f]{1,16}\]|"
    r"^[ \t]{0,40}\d{1,9}: 0x[0-9a-f]{8,16}\.\.0x[0-9a-f]{8,16}"
)
_NODES = (
    r"Early memory node ranges|"
    r"^[ \t]{0,40}(?:\[[^]\n]{0,40}\] {1,9})?node {1,9}\d+: \[mem 0x"
)
_ZERO_PAGE = "hexdump -C /sys/kernel/boot_params/data, all of its 4096 bytes"
# gdb's x, QEMU's xp, crash's rd.
_DEBUGGER = (
    r"^[>|# \t]{0,40}(?:0x)?[0-9a-f]{8,16}(?: <[^>\n]{0,80}>)?:\s{1,4}"
    r"(?:0x[0-9a-f]{2,16}[ \t]|[0-9a-f]{16} [0-9a-f]{16}(?: |$))"
)
# od, hexdump -b; xxd -b; xxd -i.
_OTHER_DUMP = (
    r"^[>|# \t]{0,40}(?:[0-9a-f]{7} [0-7]{3}(?:[0-7]{3})? [0-7]{3}"
    r"|[0-9a-f]{8}: [01]{8} [01]{8} |unsigned char \w{1,80}\[|(?:0x[0-9a-f]{2}, ?){8})"
)
# Each is tried at every place of a text: a repeat at its start is bounded.
# What people give for a memory map: how it is told, what it is, what to give instead.
# The first that fits counts, and they are looked for in the first part of a text.
_KNOWN = (
    (r"^MemTotal:\s+\d+ kB", "/proc/meminfo", _MEMMAP),
    (r"^[ \t]{0,40}total\s+used\s+free\s+shared", "what free prints", _MEMMAP),
    (r"^RANGE\s+SIZE\s+STATE", "what lsmem prints", _MEMMAP),
    (
        r"^Memory block size:|^Total online memory:",
        *("what lsmem prints", _MEMMAP),
    ),
    (
        r"^SMBIOS \d|^Handle 0x[0-9A-F]{4}, DMI type|^# dmidecode",
        *("what dmidecode prints", _MEMMAP),
    ),
    (r"^reg0\d: base=0x", "/proc/mtrr", f"{_WHOLE_LOG}, or {_MEMMAP}"),
    (
        r"^Node \d+, zone",
        *("/proc/buddyinfo or zoneinfo", f"{_MEMMAP}; build takes it as --buddyinfo"),
    ),
    (
        _MEMBLOCK,
        "a kernel's memblock list",
        f"{_WHOLE_LOG}: the table that memblock was made from",
    ),
    (
        _NODES,
        "a kernel's list of memory nodes",
        f"{_WHOLE_LOG}: the e820 table stands before it",
    ),
    (
        r"e820: update \[mem|e820: remove \[mem|e820: reserve RAM buffer",
        "a part of a kernel log, with changes to a table and not the table",
        _WHOLE_LOG,
    ),
    (r"^/dts-v1/;|\bdevice_type = \"memory\"", "a device tree", "an x86 machine's map"),
    (
        r"^ {0,40}(?:Usable RAM: Range\s+Base|Address Map \[)|EISA Memory BIOS Inter",
        "what GRUB 0.97's displaymem prints",
        "the output of lsmmap of GRUB 2, or a kernel log",
    ),
    (
        r"Type +Physical +Virtual +#Pages",
        "FreeBSD's EFI memory map",
        "the lines `SMAP type=..` of boot -v, or memmap's of the UEFI shell",
    ),
    (
        r"^[ \t]{0,40}(?:FlatView #|address-space:|memory-region:)",
        "what QEMU's info mtree prints",
        _WHOLE_LOG,
    ),
    (
        r"Xen call trace|\(XEN\) ",
        "a log of Xen without its memory map",
        "xl dmesg from its first line (the ring may have run over: conring_size=)",
    ),
    (
        r"U-Boot \d|^DRAM bank\s+=|^-> start\s+=",
        "a log of U-Boot",
        "a kernel log: bdinfo names RAM, and no reserved range",
    ),
    (
        r"^(?:start|end):\s|^0x[0-9a-f]{1,16}[ \t]*$",
        "a part of /sys/firmware/memmap without the names of its files",
        f"the output of {_MEMMAP}",
    ),
    (
        r"Linux version \d|\bkernel: |^\[ *\d+\.\d+\] ",
        "a kernel log without the lines of its memory map",
        f"{_WHOLE_LOG}; the ring may have run over: log_buf_len=",
    ),
    (
        r"^(?:[A-Za-z0-9+/]{60,90}\r?\n){3}",
        *("base64, as a mail carries an attachment", "what base64 -d makes of it"),
    ),
    (
        r"\b0x[0-9a-f]{1,16}[-,: \t]{1,9}0x[0-9a-f]{1,16}\b.{0,4}System RAM",
        *("what a script printed of /sys/firmware/memmap", _MEMMAP),
    ),
    (_DEBUGGER, "what a debugger printed of memory", _ZERO_PAGE),
    (_OTHER_DUMP, "bytes in octal, in binary or as an array of C", _ZERO_PAGE),
    (r"^[ \t]{0,40}<(?:!DOCTYPE|html)", "a web page", "the text of the log"),
    (r"^%PDF-", "a PDF file", "the text of the log"),
)
_PATTERNS = tuple(
    (re.compile(pattern, re.MULTILINE), name, instead)
    for pattern, name, instead in _KNOWN
)
# What tells a text stands near its start.
_PROBE_CHARACTERS = 1 << 18


def name_of_foreign(text: str) -> str:
    """Return what a text is and what to give instead, as the end of a sentence.

    "" for a text that is nothing that is known here.
    """
    probe = text[:_PROBE_CHARACTERS]
    for pattern, name, instead in _PATTERNS:
        if pattern.search(probe):
            return f"it looks like {name}: give {instead}"
    return ""
