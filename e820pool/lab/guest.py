"""The guest's user space: a busybox, and an init that reports and fills memory.

In a chain init gives way to the agent, which obeys commands.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from e820pool.errors import LabError
from e820pool.lab.depositor import guest_program
from e820pool.lab.initramfs import (
    InitramfsEntry,
    device_entry,
    directory,
    encode_newc,
    kexec_tools_entries,
    regular,
)
from e820pool.loading.bind import BoundKernel, bind_kernel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e820pool.handoff.model import Handoff

__all__ = (
    "CHAIN_END",
    "LAB_CMDLINE",
    "READY_MARK",
    "bind_guest",
    "build_chain_initramfs",
    "build_initramfs",
    "find_busybox",
    "init_script",
)

LAB_CMDLINE: Final = (
    # The edits of the e820 table are debug messages; overrides "quiet". First, since
    # what was said before a console appears is filtered when that one appears.
    "loglevel=8 "
    # Messages of the decompressor, and of the kernel before it has a console.
    "earlyprintk=ttyS0,115200 "
    "console=ttyS0,115200 "
    # A panic ends the VM: with -no-reboot a reboot is an exit.
    "panic=-1"
)
"""What the lab needs on a kernel's command line to see what that kernel says."""

_BUSYBOX_PLACES = ("/bin/busybox", "/usr/bin/busybox", "/sbin/busybox")

# PT_INTERP would name a dynamic loader, which the guest does not have.
_DYNAMIC_LOADER = b"/ld-linux"

# Frames: guest_report.py reads them. Binary files travel as base64 between a line
# with length and checksum and a line that closes, so that a report cut anywhere is
# known to be cut. The port is set raw, or the line discipline would add returns.
# Hot-added memory is brought online first, as the udev rules of distributions do
# (SUBSYSTEM=="memory", ATTR{state}="online"): many kernels are configured not to.
_REPORT = r"""#!/bin/busybox sh
export PATH=/bin
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs devtmpfs /dev
busybox mount -t tmpfs -o size=64m tmp /tmp
busybox stty -F /dev/ttyS1 115200 raw -echo
exec 3>/dev/ttyS1

mark() {
    echo "mark $1" >&3
}
send() {
    busybox cat "$2" >/tmp/part 2>/dev/null || return 0
    sum=$(busybox sha256sum </tmp/part)
    size=$(busybox wc -c </tmp/part)
    echo "begin $1 $size ${sum%% *}" >&3
    busybox base64 /tmp/part >&3
    echo "end $1" >&3
}

mark hello
for block in /sys/devices/system/memory/memory*; do
    read -r state <"$block/state" || continue
    [ "$state" = offline ] && echo online >"$block/state"
done 2>/dev/null
send iomem /proc/iomem
(cd /sys/firmware/memmap && busybox grep -r . .) >/tmp/memmap 2>/dev/null
send memmap /tmp/memmap
send boot_params /sys/kernel/boot_params/data
for node in /sys/kernel/boot_params/setup_data/*; do
    [ -d "$node" ] || continue
    send "setup_data/${node##*/}/type" "$node/type"
    send "setup_data/${node##*/}/data" "$node/data"
done
send version /proc/version
send meminfo /proc/meminfo
busybox grep -m 1 ^flags /proc/cpuinfo >/tmp/cpu
send cpu_flags /tmp/cpu
busybox dmesg -r >/tmp/dmesg
send dmesg /tmp/dmesg
busybox rm -f /tmp/part /tmp/memmap /tmp/dmesg /tmp/cpu
mark reported
"""

# Fill memory with non-zero pages, all but some 4 MiB. The watermarks and the reserves
# of the low zones are lowered first, or more would be left (4.14 and
# older ones take a ratio of 0 for 1, all of a zone: setup_per_zone_lowmem_reserve(),
# and 2.6.32 then runs out). A round takes what is
# free, less the file's own page index (an xarray node of 576 bytes for 64 pages), less
# a margin: kernels keep free pages back for atomic allocations, and a 7.3 that runs
# out for real may loop in reclaim for minutes. Should it happen all the same, the OOM
# killer takes the filler, and init, which must not allocate then, empties a file kept
# for that moment.
_PRESSURE = r"""
free_kib() {
    while read -r name kib unit; do
        [ "$name" = MemFree: ] && break
    done </proc/meminfo
}
mark pressure
echo 1 >/proc/sys/kernel/printk
busybox mount -t tmpfs -o size=4m,nr_inodes=64 fill /fill
busybox yes e820pool-fills-memory | busybox head -c 1048576 >/chunk
busybox cat /chunk /chunk /chunk /chunk >/fill/ballast
echo "99999999 99999999 99999999 99999999" >/proc/sys/vm/lowmem_reserve_ratio
echo 0 >/proc/sys/vm/watermark_boost_factor
echo 1 >/proc/sys/vm/watermark_scale_factor
echo 128 >/proc/sys/vm/min_free_kbytes
echo 3 >/proc/sys/vm/drop_caches
free_kib
chunks=/chunk mib=1 size=4096
while [ $mib -lt $((kib / 1024)) ]; do chunks="$chunks $chunks" mib=$((mib * 2)); done
for margin in 2560 4096; do
    free_kib
    [ $kib -gt $((margin + 512)) ] || break
    size=$((size + kib - kib / 384 - margin))
    busybox mount -o remount,size=${size}k /fill
    (
        echo 1000 >/proc/self/oom_score_adj || echo 15 >/proc/self/oom_adj
        exec busybox cat $chunks >/fill/pages$margin 2>/dev/null
    )
done
while read -r line; do echo "$line"; done </proc/meminfo >/meminfo
: >/fill/ballast
send filled /meminfo
"""

# A kernel built without STRICT_DEVMEM lets user space read all RAM; others refuse at
# the first page. Only what this kernel calls System RAM is read.
_READ_RAM = r"""
mark devmem
while read -r range colon name; do
    [ "$name" = "System RAM" ] || continue
    start=$((0x${range%-*} / 4096)) end=$(((0x${range#*-} + 1) / 4096))
    busybox dd if=/dev/mem of=/dev/null bs=4096 skip=$start count=$((end - start))
done </proc/iomem 2>/tmp/devmem
send devmem /tmp/devmem
"""

# Closing the port waits until all of it is sent; a reset would not.
_END = r"""
mark done
exec 3>&-
busybox reboot -f
"""


READY_MARK: Final = "done"
"""The mark after which the agent waits for commands."""

# Memory that was filled is given back, or the next kernel would have no room. A
# locked page stays where it is only if compaction leaves locked pages alone
# (Documentation/admin-guide/sysctl/vm.rst). The port is never closed: what the host
# sends meanwhile would be lost.
CHAIN_END: Final = r"""
busybox umount /fill 2>/dev/null
busybox rm -f /chunk /meminfo /tmp/devmem
if [ -e /proc/vmcore ]; then
    mark vmcore
    # Elf64_Ehdr has 64 bytes, e_phnum is at 56, and an Elf64_Phdr has 56.
    count=$(busybox od -A n -t u2 -j 56 -N 2 /proc/vmcore)
    busybox head -c $((64 + 56 * count)) /proc/vmcore >/tmp/headers
    send vmcore_headers /tmp/headers
    agent /proc/vmcore >/tmp/size
    send vmcore_size /tmp/size
fi
echo 0 >/proc/sys/vm/compact_unevictable_allowed
echo 7 >/proc/sys/kernel/printk
exec 3<>/dev/ttyS1
mark done
exec agent
"""
"""What it does in a chain: it obeys its agent after the mark ``done``."""

# "send" for the agent's own commands: the same frames as init's.
_SEND = r"""#!/bin/busybox sh
busybox cat "$2" >/tmp/part 2>/dev/null || exit 1
sum=$(busybox sha256sum </tmp/part)
size=$(busybox wc -c </tmp/part)
echo "begin $1 $size ${sum%% *}" >&3
busybox base64 /tmp/part >&3
echo "end $1" >&3
busybox rm -f /tmp/part
"""


def init_script(*, pressure: bool = True, end: str = _END) -> str:
    """Return the text of the guest's /init.

    Args:
        pressure: whether it fills memory and reads /dev/mem after the report.
        end: what it does last: says that it is done, and reboots.
    """
    return _REPORT + (_PRESSURE + _READ_RAM if pressure else "") + end


def find_busybox() -> Path:
    """Return a statically linked busybox of this machine.

    Raises:
        LabError: there is none; says which package has it.
    """
    for place in map(Path, _BUSYBOX_PLACES):
        if place.is_file() and _DYNAMIC_LOADER not in place.read_bytes():
            return place
    raise LabError(
        f"no static busybox among {', '.join(_BUSYBOX_PLACES)}: "
        "install the package busybox-static"
    )


def build_initramfs(*, pressure: bool = True) -> bytes:
    """Return the guest's initramfs.

    Raises:
        LabError: no static busybox was found.
    """
    return _archive(init_script(pressure=pressure))


def build_chain_initramfs(*, pressure: bool, kexec_tools: bool) -> bytes:
    """Return the initramfs of every kernel of a chain.

    Args:
        pressure: whether memory is filled before the agent takes over.
        kexec_tools: whether stock kexec-tools are needed.

    Raises:
        LabError: busybox, kexec-tools or a C compiler are missing.
    """
    more = (
        regular("bin/agent", guest_program("agent")),
        regular("bin/send", _SEND.encode()),
        *(kexec_tools_entries() if kexec_tools else ()),
    )
    return _archive(init_script(pressure=pressure, end=CHAIN_END), more)


def _archive(script: str, more: Iterable[InitramfsEntry] = ()) -> bytes:
    folders = ("bin", "dev", "fill", "proc", "sys", "tmp")
    return encode_newc(
        (
            *(directory(name) for name in folders),
            # init's own console, before devtmpfs is mounted.
            device_entry("dev/console", 5, 1),
            regular("bin/busybox", find_busybox().read_bytes()),
            *more,
            regular("init", script.encode()),
        )
    )


def bind_guest(handoff: Handoff, image: bytes, *, pressure: bool) -> BoundKernel:
    """Return a handoff as the lab boots it: with its initramfs and its own words.

    Raises:
        LabError: no static busybox was found.
        BadImageError, CapacityError: see :func:`e820pool.loading.bind.bind_kernel`.
    """
    initrd = build_initramfs(pressure=pressure)
    return bind_kernel(handoff, image, initrd=initrd, extra_cmdline=LAB_CMDLINE)
