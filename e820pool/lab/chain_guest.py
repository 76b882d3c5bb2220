"""The guest's user space in a chain: report, press on memory, obey the agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e820pool.lab.depositor import guest_program
from e820pool.lab.guest import find_busybox, init_script
from e820pool.lab.initramfs import device_entry, directory, encode_newc, regular
from e820pool.lab.kexec_tools import kexec_tools_entries

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ("READY_MARK", "build_chain_initramfs", "chain_script")

READY_MARK: Final = "done"
"""The mark after which the agent waits for commands."""

# Memory that was filled is given back, or the next kernel would have no room. A
# locked page stays where it is only if compaction leaves locked pages alone
# (Documentation/admin-guide/sysctl/vm.rst). The port is never closed: what the host
# sends meanwhile would be lost.
_END = r"""
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


def chain_script(*, pressure: bool) -> str:
    """Return the text of the guest's /init."""
    return init_script(pressure=pressure, end=_END)


def build_chain_initramfs(
    *, pressure: bool, kexec_tools: bool, busybox: Path | None = None
) -> bytes:
    """Return the initramfs of every kernel of a chain.

    Args:
        pressure: whether memory is filled before the agent takes over.
        kexec_tools: whether stock kexec-tools are needed.
        busybox: a static one; this machine's own by default.

    Raises:
        LabError: busybox, kexec-tools or a C compiler are missing.
    """
    program = (busybox or find_busybox()).read_bytes()
    folders = ("bin", "dev", "fill", "proc", "sys", "tmp")
    return encode_newc(
        (
            *(directory(name) for name in folders),
            device_entry("dev/console", 5, 1),
            regular("bin/busybox", program),
            regular("bin/agent", guest_program("agent")),
            regular("bin/send", _SEND.encode()),
            *(kexec_tools_entries() if kexec_tools else ()),
            regular("init", chain_script(pressure=pressure).encode()),
        )
    )
