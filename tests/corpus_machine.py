"""Boot a case of the conformance corpus on a real kernel; return its outcome."""

import re
import time

from corpus_bytes import parts_of, zero_page_of
from corpus_format import INITRD_BYTES, PLACES, RAM_BYTES

from e820pool.extents import ExtentSet
from e820pool.handoff.model import Segment
from e820pool.lab.guest import find_busybox
from e820pool.lab.guest_ram import GuestRam, layout_for
from e820pool.lab.guest_report import parse_guest_report
from e820pool.lab.initramfs import device_entry, directory, encode_newc, regular
from e820pool.lab.machine import Deadlines, LostVmError, run_vm
from e820pool.lab.qemu import VmSpec
from e820pool.lab.started_vm import restore_parts, started_vm
from e820pool.loading.multiboot_stub import STUB_READY, STUB_RESUME, KernelEntry
from e820pool.sources.iomem import read_iomem
from e820pool.sources.kernel_console import read_console
from e820pool.type_words import TYPE_WITHOUT_NUMBER, type_of_resource

KERN, RAM = 128, 1

# As short as can be: the guest of the package says more than is asked here.
INIT = r"""#!/bin/busybox sh
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs devtmpfs /dev
busybox stty -F /dev/ttyS1 115200 raw -echo
exec 3>/dev/ttyS1
send() {
    sum=$(busybox sha256sum </part)
    size=$(busybox wc -c </part)
    echo "begin $1 $size ${sum%% *}" >&3
    busybox base64 /part >&3
    echo "end $1" >&3
}
echo "mark hello" >&3
busybox cat /proc/iomem >/part
send iomem
cd /sys/firmware/memmap && {
    busybox grep -r . . || {
        # 2.6.32 cannot list a folder for a libc of today: opendir() wants 2.6.39.
        n=0
        while [ -e $n/start ]; do
            busybox grep . ./$n/start ./$n/end ./$n/type
            n=$((n + 1))
        done
    }
} >/part 2>/dev/null
send memmap
cd /sys/kernel/boot_params/setup_data 2>/dev/null && for node in *; do
    echo "$node $(busybox cat $node/type) $(busybox stat -c %s $node/data)"
done >/part || : >/part
send nodes
echo "mark reported" >&3
echo "mark done" >&3
exec 3>&-
busybox reboot -f
"""


def initramfs():
    """Return the guest's files, padded: zeros behind an archive are skipped."""
    folders = ("bin", "dev", "proc", "sys")
    archive = encode_newc(
        (
            *(directory(name) for name in folders),
            device_entry("dev/console", 5, 1),
            regular("bin/busybox", find_busybox().read_bytes()),
            regular("init", INIT.encode()),
        )
    )
    assert len(archive) <= INITRD_BYTES
    return archive.ljust(INITRD_BYTES, b"\0")


def spec_of(case, image, initrd):
    """Return the machine that boots the case."""
    places = PLACES | case.get("place", {})
    page = zero_page_of(case, image[0x1F1 : 0x202 + image[0x201]], places["kernel"])
    line = case["cmdline"].encode("latin-1") + b"\0"
    code = image[((image[0x1F1] or 4) + 1) * 512 :]
    fixed = (
        (places["boot_params"], page),
        (places["cmdline"], line),
        (places["initrd"], initrd),
        (places["kernel"], code),
    )
    return VmSpec(
        ram=layout_for(ExtentSet(backed(case))),
        parts=tuple(
            Segment(what="part", addr=addr, data=data)
            for addr, data in (*fixed, *parts_of(case))
        ),
        entry=KernelEntry(
            kernel_addr=places["kernel"], boot_params_addr=places["boot_params"]
        ),
        stub_addr=places["stub"],
    )


# RAM that the machine must have: what some kernel may take for memory.
def backed(case):
    yield 0, RAM_BYTES >> 12
    rows = [
        *case["e820"],
        *(r for n in case.get("nodes") or () for r in n.get("rows", ())),
    ]
    for addr, size, kind in rows:
        if kind in (RAM, KERN) and addr + size <= 1 << 40:
            yield addr >> 12, (addr + size + 0xFFF) >> 12


# free_area_init() says this when memory is set up; the last is what 2.6.32 says.
MEMORY_READY = (b"Initmem setup node", b"On node 0 totalpages")
# A kernel that died without a reset says so and is silent then.
HALTED = (b"PANIC: early exception", b"-- System halted", b"end Kernel panic")
SILENCE_SECONDS = 3
# What it means when nothing says that the kernel got through, or why not.
ENDS = {"seen": "memory", "lost": "hung", "exit": "reset", "halted": "hung"}


def boot_case(case, image, initrd, *, deadlines=None):
    """Return ``(outcome, console)`` of one boot."""
    spec = spec_of(case, image, initrd)
    deadlines = deadlines or Deadlines()
    with GuestRam(spec.ram) as ram:
        if case.get("until") == "memory":
            console, ended = short_run(spec, ram, deadlines.kernel)
            return outcome_of(console, b"", ended), console
        try:
            run = run_vm(spec, ram, deadlines=deadlines)
        except LostVmError as lost:
            return outcome_of(lost.console, lost.report, "lost"), lost.console
    return outcome_of(run.console, run.report, run.ended), run.console


def short_run(spec, ram, seconds):
    """Boot until memory is set up; return the console and how it ended."""
    console, last, end = b"", time.monotonic(), time.monotonic() + seconds
    with started_vm(spec, ram) as vm:
        vm.report.settimeout(30)
        assert vm.report.recv(1) == STUB_READY
        restore_parts(spec, ram)
        vm.report.sendall(STUB_RESUME)
        while time.monotonic() < end:
            ended = vm.process.poll() is not None
            data = vm.console.read_new()
            if data:
                console, last = console + data, time.monotonic()
            if any(words in console for words in MEMORY_READY):
                return console, "seen"
            if ended:
                return console, "exit"
            silent = time.monotonic() - last > SILENCE_SECONDS
            if silent and any(words in console for words in HALTED):
                return console, "halted"
            time.sleep(0.02)
    return console, "lost"


def outcome_of(console, report, ended):
    """Return what was observed, as specs/corpus.md has it."""
    facts = read_console(console.decode("utf-8", "replace"))
    told = parse_guest_report(report)
    end = "init" if told.is_complete else "fatal" if facts.fatal else ENDS[ended]
    firmware = told.firmware_memmap()
    return {
        "end": end,
        "fatal": facts.fatal if end == "fatal" else None,
        **said_of(console),
        "firmware_map": firmware and [(a, s, _type(name)) for a, s, name in firmware],
        "iomem": _iomem(told),
        "nodes": _nodes(told),
        "kernel": facts.kernel_range or _reserved_image(console) or _kernel_start(told),
    }


def _sizes(spans):
    return [(span.start, span.size) for span in spans]


def said_of(console):
    """Return what the console alone tells, but for how the boot ended."""
    text = console.decode("utf-8", "replace")
    facts = read_console(text)
    last = _LAST_PFN.search(_behind_maps(text, facts.fatal))
    word = _FIRST_WORD.search(text)
    gap = _PCI_GAP.search(text)
    return {
        "map_source": facts.map_source,
        "bios_map": facts.bios_map,
        "extended_map": facts.extended_map,
        "setup_data_map": _as_printed(facts.setup_data_map),
        "user_map": facts.user_map,
        "memory": _sizes(facts.memory) or _active_ranges(text),
        "warnings": list(facts.warnings),
        "ignored": _sizes(facts.ignored) or None,
        "lost_messages": facts.lost_messages or _lost_in_silence(facts, last),
        "reserved": facts.reserved and _sizes(facts.reserved),
        "last_pfn": last and int(last[1], 16),
        "ram_word": word and word[1].strip(),
        "pci_gap": (gap and [int(gap[1], 16), int(gap[2], 16) + 1]) or _old_gap(text),
    }


# What 2.6.32 has in place of memblock.memory.
def _active_ranges(text):
    found = _ACTIVE_RANGE.findall(text.partition("active PFN ranges")[2])
    pages = [(int(start, 16) << 12, int(end, 16) << 12) for start, end in found]
    return [(start, end - start) for start, end in pages] or None


def _old_gap(text):
    found = _OLD_GAP.search(text)
    return found and [int(found[1], 16), int(found[1], 16) + int(found[2], 16)]


# Up to 3.10 nothing says that messages were overwritten, and the banner is the first.
def _lost_in_silence(facts, last):
    return int(facts.kernel is None and bool(facts.memory or last))


# e820_end_pfn(); the second such line, if there is one, is about low RAM.
_LAST_PFN = re.compile(r"last_pfn = 0x([0-9a-f]+) max_arch_pfn")
_PCI_GAP = re.compile(
    r"\[(?:mem|gap) 0x([0-9a-f]+)-0x([0-9a-f]+)\] available for PCI devices"
)
_ACTIVE_RANGE = re.compile(
    r"^ +\d+: 0x([0-9a-f]{8,}) -> 0x([0-9a-f]{8,})", re.MULTILINE
)
# Up to 3.4.
_OLD_GAP = re.compile(r"Allocating PCI resources .*\(gap: ([0-9a-f]+):([0-9a-f]+)\)")
_FIRST_WORD = re.compile(
    r"BIOS-\w+: (?:\[mem [^]]*\]|[0-9a-f]+ - [0-9a-f]+) "
    r"+((?:usable|System RAM)\b|\(usable\))"
)


# memmap=exactmap of older kernels prints the end of RAM before its map counts too.
def _behind_maps(text, fatal):
    if fatal == "Invalid user supplied memory map":
        return ""
    return text.rpartition("physical RAM map:")[2]


# Type 128 prints as usable.
def _as_printed(rows):
    return rows and [(a, s, RAM if kind == KERN else kind) for a, s, kind in rows]


def _type(name):
    kind = type_of_resource(name)
    return TYPE_WITHOUT_NUMBER if kind is None else kind


def _iomem(report):
    if "iomem" not in report.frames:
        return None
    return list(read_iomem(report.text("iomem")).rows())


def _nodes(report):
    if "nodes" not in report.frames:
        return None
    found = [line.split() for line in report.text("nodes").splitlines()]
    found = sorted((int(n), int(kind, 16), int(size)) for n, kind, size in found)
    return [[kind, size] for _, kind, size in found]


_IMAGE = re.compile(rb" \[([0-9a-f]{10}) - ([0-9a-f]{10})\] +TEXT DATA BSS")


# 2.6.32 names its early reservations.
def _reserved_image(console):
    found = _IMAGE.search(console)
    return found and (int(found[1], 16), int(found[2], 16))


_CODE = re.compile(r"^ *([0-9a-f]+)-[0-9a-f]+ : Kernel code", re.MULTILINE)


# The image begins where its code does; its end is the same for every boot.
def _kernel_start(report):
    found = _CODE.search(report.text("iomem"))
    return found and (int(found[1], 16),)
