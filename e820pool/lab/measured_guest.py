"""A real guest that is aged, and then deposits as the driver does."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from e820pool.errors import BadImageError, LabError
from e820pool.lab.accel import vm_for
from e820pool.lab.boot import BootOptions
from e820pool.lab.depositor import guest_program
from e820pool.lab.guest import LAB_CMDLINE, find_busybox, init_script
from e820pool.lab.guest_ram import GuestRam
from e820pool.lab.guest_report import parse_guest_report
from e820pool.lab.initramfs import device_entry, directory, encode_newc, regular
from e820pool.lab.machine import run_vm
from e820pool.loading.bind import bind_kernel
from e820pool.stress.buddy import Block

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e820pool.handoff.model import Handoff
    from e820pool.lab.machine import Phase
    from e820pool.loading.kernel_file import KernelFile

__all__ = (
    "AGES",
    "Arenas",
    "DepositRun",
    "measure_deposits",
    "parse_deposit_run",
)

# What a host has been through, step by step; after each one what is free is kept.
# Shares are of RAM. Files are read that have holes only: their pages are in the page
# cache all the same. Of small files every second one stays. Churn is guests' memory.
_LOOK = r"""
look() {
    for file in buddyinfo pagetypeinfo zoneinfo; do send "$1/$file" /proc/$file; done
}
while read -r name kib unit; do [ "$name" = MemTotal: ] && break; done </proc/meminfo
mib=$((kib / 1024))
n=0
while [ ! -b /dev/nvme0n1 ] && [ $n -lt 300 ]; do busybox sleep 0.1; n=$((n + 1)); done
busybox mke2fs -m 0 -I 256 /dev/nvme0n1 >/dev/null 2>&1
busybox mount -t ext2 /dev/nvme0n1 /fill
read_file() {
    busybox dd of=/fill/$1 bs=1M seek=$2 count=0 2>/dev/null
    busybox dd if=/fill/$1 of=/dev/null bs=256k 2>/dev/null
}
programs() {
    n=0
    while [ $n -lt $1 ]; do
        busybox head -c $((n % 9 * 3000 + 100)) /bin/busybox >/fill/file$2-$n
        n=$((n + 1))
    done
    busybox rm -f /fill/file$2-*[02468]
}
start() {
    file=$1
    shift
    measure "$@" >$file 2>&1 &
    while ! busybox grep -q ready $file; do
        busybox sleep 0.1
        kill -0 $! 2>/dev/null || break
    done
}
churn() {
    start /tmp/churn churn $1 $2
    churn=$!
}
look boot
start /tmp/deposit deposit {words}
depositor=$!
# What was given back leaves the lists of processors, whether this succeeds or not:
# offline_pages() in mm/memory_hotplug.c begins with zone_pcp_disable().
for block in 1 33; do
    block=/sys/devices/system/memory/memory$block/state
    echo offline >$block && echo online >$block
done 2>/dev/null
"""
_READ = "read_file a $((mib * 3 / 10))\nlook read\n"
_PROGRAMS = "programs 150 a\nlook programs\n"
_CHURN = "churn $((mib * 4 / 10)) 30\nlook churn\n"
# More than is free: page cache is reclaimed, and memory compacted for huge pages.
_PRESSURE = r"""
kill $churn
churn $((mib * 6 / 10)) 30
read_file b $((mib / 2))
programs 150 b
look pressure
echo 1 >/proc/sys/vm/compact_memory
look compacted
"""

AGES: Final = {
    "fresh": "",
    "used": _READ + _PROGRAMS + _CHURN,
    "worn": _READ + _PROGRAMS + _CHURN + _PRESSURE,
}
"""What a guest goes through before it deposits, by age."""

# What may lie in zone Movable is kept out of the others, huge pages among it.
_ZONE = 'echo "1 1 1 1 1" >/proc/sys/vm/lowmem_reserve_ratio\n'
_DEPOSIT = r"""
kill -USR1 $depositor
wait $depositor
look end
send deposit /tmp/deposit
mark done
exec 3>&-
busybox reboot -f
"""

# A grace period is waited for at each ring: packet_set_ring() calls synchronize_net().
_CMDLINE = LAB_CMDLINE.replace("loglevel=8", "loglevel=4") + " rcupdate.rcu_expedited=1"
_HEAD = re.compile(r"free (\d{1,12}) left (\d{1,12}) end (\w{1,10})")
_BLOCK = re.compile(r"([0-9a-f]{1,13}):(\d{1,2})")


# QEMU's default processor has no pages of 1 GiB.
_CPU = "qemu64,+pdpe1gb"


class Arenas(NamedTuple):
    """How a guest gets arenas out of which its deposits are.

    Attributes:
        way: ``ring`` by the allocator, ``huge`` as huge pages at run time, ``zone`` as
            huge pages of zone Movable, ``areas`` as huge pages set aside at boot.
        order: of each.
        most: how many there may be, 0 for any number.
        cmdline: what the kernel is told at boot.
    """

    way: Literal["ring", "huge", "zone", "areas"]
    order: int
    most: int = 0
    cmdline: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositRun:
    """What a guest deposited, and what was free before.

    Attributes:
        calls: the blocks (or new arenas) of each call, as they were allocated.
        free_pages: MemFree before the first call.
        left_pages: MemFree after the last one.
        ended: why there were no more calls: ``calls`` or ``share`` as many as asked
            for, ``memory`` there was none, ``sockets`` the program had no more.
        before: /proc/buddyinfo, pagetypeinfo and zoneinfo before the first call, and
            the ``runs`` of free blocks of 4 MiB, ``PFN:BLOCKS`` a line.
        steps: the same of each step of ageing, by ``step/file``.
    """

    calls: tuple[tuple[Block, ...], ...]
    free_pages: int
    left_pages: int
    ended: str
    before: dict[str, str]
    steps: dict[str, str]


def measure_deposits(
    handoff: Handoff,
    kernel: KernelFile,
    options: BootOptions | None = None,
    *,
    age: str = "used",
    pages: int = 511,
    calls: int = 100_000,
    percent: int = 75,
    nodes: int = 1,
    arenas: Arenas | None = None,
    on_phase: Callable[[Phase], None] = lambda _: None,
) -> DepositRun:
    """Boot a kernel, age it, and let it deposit.

    Args:
        handoff: its memory; without deposits.
        kernel: what is booted.
        options: accelerator and deadlines.
        age: a key of :data:`AGES`.
        pages: of one call.
        calls: at most.
        percent: of the memory that is free, which is deposited at most.
        nodes: NUMA nodes, each with a processor; calls ask them in turn.
        arenas: what calls are served from, None for the allocator.
        on_phase: called with each phase that is over.

    Raises:
        LostVmError: the guest did not come to its end.
        LabError: QEMU, busybox or a C compiler are missing, or the guest could not
            deposit.
    """
    options = options or BootOptions()
    words = " ".join(map(str, (pages, calls, percent, nodes, *(arenas or ())[:3])))
    is_zone = arenas is not None and arenas.way == "zone"
    before = _LOOK.replace("{words}", words) + AGES[age]
    end = before + (_ZONE if is_zone else "") + _DEPOSIT
    bound = bind_kernel(
        handoff,
        kernel.image,
        initrd=_initramfs(init_script(pressure=False, end=end)),
        extra_cmdline=f"{_CMDLINE} {arenas.cmdline if arenas else ''}".strip(),
    )
    cpu = _CPU if arenas else ""
    spec = vm_for(bound, kernel.image, options.accelerator, cpu=cpu)
    spec = replace(spec, nodes=nodes, disk_bytes=spec.ram.total_bytes)
    with GuestRam(spec.ram, options.ram_folder) as files:
        run = run_vm(spec, files, deadlines=options.deadlines, on_phase=on_phase)
    report = parse_guest_report(run.report)
    if not report.is_complete:
        last = run.console.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise LabError(f"the guest ended before its deposits did: {''.join(last)}")
    steps = {name: report.text(name) for name in report.frames if "/" in name}
    return parse_deposit_run(report.text("deposit"), steps)


def parse_deposit_run(text: str, steps: dict[str, str] | None = None) -> DepositRun:
    """Return what the guest's program printed.

    Raises:
        LabError: it says that it failed.
        BadImageError: it is not what the program prints.
    """
    head, _, rest = text.removeprefix("ready\n").partition("\n")
    if head.startswith("error"):
        raise LabError(f"the guest cannot deposit: {head[6:80]}")
    match = _HEAD.fullmatch(head)
    if match is None:
        raise BadImageError(f"report: {head[:60]!r} is no head of deposits")
    body, *files = rest.split("\nfile ")
    return DepositRun(
        calls=tuple(_calls(body)),
        free_pages=int(match[1]),
        left_pages=int(match[2]),
        ended=match[3],
        before=dict(_named(file) for file in files),
        steps=dict(steps or {}),
    )


def _named(file: str) -> tuple[str, str]:
    name, _, text = file.partition("\n")
    return name, text


def _calls(body: str) -> Iterator[tuple[Block, ...]]:
    for line in body.splitlines():
        head, *words = line.split() or [""]
        blocks = [_BLOCK.fullmatch(word) for word in words]
        if head != "call" or not all(blocks):
            raise BadImageError(f"report: {line[:60]!r} are no blocks of a call")
        yield tuple(
            Block(int(match[1], 16), int(match[2])) for match in blocks if match
        )


def _initramfs(script: str) -> bytes:
    folders = ("bin", "dev", "fill", "proc", "sys", "tmp")
    return encode_newc(
        (
            *(directory(name) for name in folders),
            device_entry("dev/console", 5, 1),
            regular("bin/busybox", find_busybox().read_bytes()),
            regular("bin/measure", guest_program("measure")),
            regular("init", script.encode()),
        )
    )
