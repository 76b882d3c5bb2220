"""kexec_load(2) and reboot(2), as this process calls them."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

from e820pool.errors import MachineError

if TYPE_CHECKING:
    from e820pool.loading.kexec_segments import KexecImage

__all__ = ("load_image", "reboot_into_loaded", "unload")

# arch/x86/entry/syscalls/syscall_64.tbl
_SYS_REBOOT = 169
_SYS_KEXEC_LOAD = 246

# KEXEC_ON_CRASH, include/uapi/linux/kexec.h
_ON_CRASH = 1

# include/uapi/linux/reboot.h
_MAGIC1 = 0xFEE1_DEAD
_MAGIC2 = 672_274_793
_CMD_KEXEC = 0x4558_4543


class _Segment(ctypes.Structure):
    # struct kexec_segment (include/uapi/linux/kexec.h).
    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("bufsz", ctypes.c_size_t),
        ("mem", ctypes.c_void_p),
        ("memsz", ctypes.c_size_t),
    )


def load_image(image: KexecImage) -> None:
    """Load these segments; a kernel that was loaded before is replaced.

    Raises:
        MachineError: the kernel refuses.
    """
    # Where the bytes lie already: a copy would need as much memory once more.
    payload = ctypes.c_char_p(image.payload)
    first = ctypes.cast(payload, ctypes.c_void_p).value or 0
    segments = (_Segment * len(image.segments))(
        *(
            _Segment(buf=first + s.at, bufsz=s.nr_bytes, mem=s.addr, memsz=s.size)
            for s in image.segments
        )
    )
    _kexec_load(image.entry, len(image.segments), ctypes.addressof(segments))


def unload(*, panic: bool = False) -> None:
    """Drop what is loaded, if anything; MachineError when the kernel refuses.

    ``panic`` means what is loaded for a crash.
    """
    _kexec_load(0, 0, 0, _ON_CRASH if panic else 0)


def reboot_into_loaded() -> None:
    """Start the loaded kernel at once, without stopping anything that runs.

    Raises:
        MachineError: nothing is loaded, or the kernel refuses.
    """
    os.sync()
    _call("reboot", _SYS_REBOOT, _MAGIC1, _MAGIC2, _CMD_KEXEC, 0)


def _kexec_load(entry: int, nr_segments: int, segments: int, flags: int = 0) -> None:
    # KEXEC_ARCH_DEFAULT; without a flag a kernel that is started on request.
    _call("kexec_load", _SYS_KEXEC_LOAD, entry, nr_segments, segments, flags)


def _call(name: str, number: int, *words: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    result = libc.syscall(ctypes.c_long(number), *map(ctypes.c_ulong, words))
    if result:
        raise MachineError(f"{name}(2): {os.strerror(ctypes.get_errno()).lower()}")
