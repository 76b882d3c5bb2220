"""Print maps as programs other than a kernel do: from their own format strings.

Each takes ``(addr, size, type)`` rows and gives text; nothing here imports the package.
"""

ROWS = (
    (0x0, 0x9FC00, 1),
    (0x9FC00, 0x400, 2),
    (0x100000, 0x6FEDF000, 1),
    (0x6FFDF000, 0x1000, 3),
    (0x6FFE0000, 0x20000, 4),
    (0xB0000000, 0x10000000, 2),
    (0x100000000, 0x80000000, 1),
)
# Whole pages, no two neighbours of one type: what an EFI map can say.
PAGES = tuple(row for row in ROWS if not (row[0] | row[1]) & 0xFFF)

_XEN = {1: "(usable)", 2: "(reserved)", 3: "(ACPI data)", 4: "(ACPI NVS)"}
_XEN |= {5: "(unusable)"}
_SYSFS = {1: "System RAM", 2: "Reserved", 3: "ACPI Tables"}
_SYSFS |= {4: "ACPI Non-volatile Storage", 5: "Unusable memory"}
_SYSFS |= {7: "Persistent Memory", 12: "Persistent Memory (legacy)"}


def _xen_word(kind):
    return _XEN.get(kind, f"type {kind}")


def xen_new(rows, title="Xen-e820 RAM map", before="(XEN) "):
    lines = [f"{title}:"]
    lines += [f" [{a:016x}, {a + s - 1:016x}] {_xen_word(t)}" for a, s, t in rows]
    lines += ["System RAM: 4095MB (4193000kB)", "ACPI: RSDP 000F58D0, 0014 (r0 BOCHS )"]
    return "".join(f"{before}{line}\n" for line in lines)


def xen_old(rows, title="Xen-e820 RAM map", before="(XEN) "):
    lines = [f"{title}:"]
    lines += [f" {a:016x} - {a + s:016x} {_xen_word(t)}" for a, s, t in rows]
    lines += ["System RAM: 4095MB (4193000kB)", "Xen heap: 9MB (10180kB)"]
    return "".join(f"{before}{line}\n" for line in lines)


def suse_dom0(rows):
    lines = ["Xen-provided machine memory map:"]
    words = {kind: word.strip("()") for kind, word in _XEN.items()}
    lines += [
        f"BIOS: [mem {a:#018x}-{a + s - 1:#018x}] {words.get(t, f'type {t}')}"
        for a, s, t in rows
    ]
    return "".join(f"[    0.000000] {line}\n" for line in lines)


def linux(rows, who="BIOS-e820"):
    words = {kind: word.strip("()") for kind, word in _XEN.items()}
    lines = ["BIOS-provided physical RAM map:"]
    lines += [
        f"{who}: [mem {a:#018x}-{a + s - 1:#018x}] {words.get(t, f'type {t}')}"
        for a, s, t in rows
    ]
    lines += ["NX (Execute Disable) protection: active"]
    return "".join(f"[    0.000000] {line}\n" for line in lines)


def kexec_table(rows, before=""):
    lines = ["E820 memmap:"]
    lines += [f"{a:016x}-{a + s - 1:016x} ({t})" for a, s, t in rows[:128]]
    if rows[128:]:
        lines += ["extra E820 memmap are passed via setup_data"]
        lines += ["Extended E820 via setup_data:"]
        lines += [f"{a:016x}-{a + s - 1:016x} ({t})" for a, s, t in rows[128:]]
    lines += ["nr_segments = 4"]
    return "".join(f"{before}{line}\n" for line in lines)


def kexec_ranges(rows, title="MEMORY RANGES"):
    number = {1: 0, 2: 1, 3: 2, 4: 3, 7: 6, 12: 11}
    lines = [title]
    lines += [f"{a:016x}-{a + s - 1:016x} ({number[t]})" for a, s, t in rows]
    return "".join(f"{line}\n" for line in lines)


def kernel_kexec(rows):
    return kexec_table(rows, "[  173.113298] kexec-bzImage64: ")


def sysfs_grep(rows, folder="/sys/firmware/memmap/"):
    lines = []
    for at, (addr, size, kind) in enumerate(rows):
        lines += [f"{at}/end:{addr + size - 1:#x}", f"{at}/start:{addr:#x}"]
        lines += [f"{at}/type:{_SYSFS[kind]}"]
    return "".join(f"{folder}{line}\n" for line in lines)


def sysfs_head(rows):
    lines = []
    for at, (addr, size, kind) in enumerate(rows):
        for name, value in (
            ("end", f"{addr + size - 1:#x}"),
            ("start", f"{addr:#x}"),
            ("type", _SYSFS[kind]),
        ):
            lines += [f"==> {at}/{name} <==", value, ""]
    return "\n".join(lines)


def memmap_script(rows):
    return "".join(f"{a:016x}-{a + s:016x} ({_SYSFS[t]})\n" for a, s, t in rows)


def seabios(rows):
    names = {1: "RAM", 2: "RESERVED", 3: "ACPI", 4: "NVS", 5: "UNUSABLE"}
    lines = ["Space available for UMB: 000cb000-000ee800"]
    lines += [f"e820 map has {len(rows)} items:"]
    lines += [
        f"  {at}: {a:016x} - {a + s:016x} = {t} {names.get(t, 'UNKNOWN')}"
        for at, (a, s, t) in enumerate(rows)
    ]
    return "\n".join([*lines, "enter handle_19:", "  NULL", ""])


def coreboot(rows):
    names = {1: "RAM", 2: "RESERVED", 3: "ACPI", 4: "NVS", 5: "UNUSABLE"}
    lines = ["Writing coreboot table at 0x7ab34000"]
    lines += [
        f"{at:2d}. {a:016x}-{a + s - 1:016x}: {names[t]}"
        for at, (a, s, t) in enumerate(rows)
    ]
    return "\n".join([*lines, "Wrote coreboot table at: 0x7ab34000, 0x5c0 bytes", ""])


def grub(rows):
    names = {1: "available RAM", 2: "reserved RAM", 3: "ACPI reclaimable RAM"}
    names |= {4: "ACPI non-volatile storage RAM"}
    return "".join(
        f"base_addr = {a:#x}, length = {s:#x}, {names.get(t, f'type = {t:#x}')}\n"
        for a, s, t in rows
    )


def freebsd(rows):
    return "".join(
        f"SMAP type={t:02x} base={a:016x} len={s:016x}\n" for a, s, t in rows
    )


_EFI = {1: 7, 2: 0, 3: 9, 4: 10, 5: 8, 7: 14}


def efi_kernel(rows):
    names = ["Reserved", "Loader Code", "Loader Data", "Boot Code", "Boot Data"]
    names += ["Runtime Code", "Runtime Data", "Conventional", "Unusable"]
    names += ["ACPI Reclaim", "ACPI Mem NVS", "MMIO", "MMIO Port", "PAL Code"]
    bars = "|   |  |  |  |  |  |  |  |  |  |   |WB|WT|WC|UC]"
    return "".join(
        f"[    0.000000] efi: mem{at:02d}: [{names[_EFI[t]]:<12}{bars} "
        f"range=[{a:#018x}-{a + s - 1:#018x}] ({s >> 20}MB)\n"
        for at, (a, s, t) in enumerate(rows)
    )


def efi_kernel_old(rows):
    return "".join(
        f"[    0.000000] efi: mem{at:02d}: type={_EFI[t]}, attr=0xf, "
        f"range=[{a:#018x}-{a + s:#018x}) ({s >> 20}MB)\n"
        for at, (a, s, t) in enumerate(rows)
    )


def efi_shell(rows):
    names = {
        7: "Available",
        0: "Reserved",
        9: "ACPI_Recl",
        10: "ACPI_NVS",
        8: "Unusable",
    }
    lines = ["Type       Start            End              # Pages          Attributes"]
    lines += [
        f"{names[_EFI[t]]:<10} {a:016X}-{a + s - 1:016X} {s >> 12:016X} {0xF:016X}"
        for a, s, t in rows
    ]
    lines += ["", "  Reserved  :         65,569 Pages (268,570,624 Bytes)"]
    return "\r\n".join(lines) + "\r\n"


def efi_shell_sfo(rows):
    names = {7: "Available", 0: "Reserved", 9: "ACPIReclaimMemory", 10: "ACPIMemoryNVS"}
    lines = ['ShellCommand,"memmap"']
    lines += [
        f'MemoryMap,"{names[_EFI[t]]}","{a:X}","{a + s - 1:X}","{s >> 12:X}","F"'
        for a, s, t in rows
    ]
    return "\r\n".join(lines) + "\r\n"


def grub_efi(rows):
    names = {7: "conv-mem", 0: "reserved", 9: "ACPI-rec", 10: "ACPI-nvs", 8: "unusable"}
    lines = [
        "Type      Physical start  - end             #Pages        Size Attributes"
    ]
    lines += [
        f"{names[_EFI[t]]:<9} {a:016x}-{a + s - 1:016x} {s >> 12:08x} {s >> 10:8}KiB "
        "UC WC WT WB"
        for a, s, t in rows
    ]
    return "\n".join(lines) + "\n"


def hexdump_c(data):
    """Print bytes as ``hexdump -C`` does, repeated lines as an asterisk."""
    return _dump(data, 16, _canonical)


def xxd(data):
    """Print bytes as ``xxd`` does, which repeats no line unless told to."""
    return "".join(_xxd_line(at, data[at : at + 16]) for at in range(0, len(data), 16))


def hexdump_words(data):
    """Print bytes as plain ``hexdump`` does: words, the low byte first."""
    return _dump(data, 16, _words)


def _dump(data, width, line_of):
    lines, before, starred = [], None, False
    for at in range(0, len(data), width):
        part = data[at : at + width]
        if part == before:
            lines += [] if starred else ["*\n"]
            starred = True
        else:
            lines.append(line_of(at, part))
            before, starred = part, False
    digits = 7 if line_of is _words else 8
    return "".join([*lines, f"{len(data):0{digits}x}\n"])


def _shown(part):
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)


def _canonical(at, part):
    left, right = (" ".join(f"{b:02x}" for b in half) for half in (part[:8], part[8:]))
    return f"{at:08x}  {left}  {right}  |{_shown(part)}|\n"


def _words(at, part):
    words = (part[n + 1] << 8 | part[n] for n in range(0, len(part), 2))
    return f"{at:07x} " + " ".join(f"{word:04x}" for word in words) + "\n"


def _xxd_line(at, part):
    groups = " ".join(part[n : n + 2].hex() for n in range(0, len(part), 2))
    return f"{at:08x}: {groups:<39}  {_shown(part)}\n"


# Every list, with the rows that it can say.
FORMS = {
    "xen": (xen_new, ROWS),
    "xen before 4.13": (xen_old, ROWS),
    "suse": (suse_dom0, ROWS),
    "kexec table": (kexec_table, ROWS),
    "kexec ranges": (kexec_ranges, ROWS),
    "kernel's kexec": (kernel_kexec, ROWS),
    "sysfs grep": (sysfs_grep, ROWS),
    "sysfs head": (sysfs_head, ROWS),
    "memmap script": (memmap_script, ROWS),
    "seabios": (seabios, ROWS),
    "coreboot": (coreboot, ROWS),
    "grub": (grub, ROWS),
    "freebsd": (freebsd, ROWS),
    "efi kernel": (efi_kernel, PAGES),
    "efi kernel before 4.2": (efi_kernel_old, PAGES),
    "uefi shell": (efi_shell, PAGES),
    "uefi shell -sfo": (efi_shell_sfo, PAGES),
    "grub efi": (grub_efi, PAGES),
}
