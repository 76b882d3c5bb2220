"""Find in the lines of a console why a boot could not go on."""

from __future__ import annotations

import re

from e820pool.kernel.early_memory import (
    INITRD_TOO_LARGE,
    NO_FREE_MEMORY,
    NO_PLACE_FOR_INITRD,
    NO_ROOM_FOR_SECTIONS,
    NO_TRAMPOLINE,
    RESERVED_ARRAY_STUCK,
)
from e820pool.kernel.early_res import RESERVATIONS_FULL, RESERVATIONS_OVERLAP
from e820pool.kernel.resources import ENDS_AT_2_64
from e820pool.kernel.table_edits import (
    KERNEL_UNMAPPED,
    TYPE_INTO_ITSELF,
    USER_MAP_EMPTY,
)
from e820pool.kernel.view import BootEnd
from e820pool.kernel.zero_page import COUNT_TOO_HIGH

__all__ = ("OUT_OF_MEMORY", "FatalScan")

_PANIC = re.compile(r"(?<!end )Kernel panic - not syncing: (.*)")
_BUG = re.compile(r"kernel BUG at (\S+?)!")
_OOPS = re.compile(r"BUG: ((?:unable to handle|kernel NULL pointer)[^,]*)")
# early_fixup_exception() (arch/x86/mm/extable.c): the CPU is halted after it; up to
# 4.5 early_idt_handler, which names the function in a line of its own.
_EARLY = re.compile(r"PANIC: early exception (?:0x)?([0-9a-f]{1,4})")
# do_pf_error() of the decompressor (arch/x86/boot/compressed/ident_map_64.c): it tells
# the address, then more, and stops as error() does.
_PAGE_FAULT = re.compile(r"^CR2: 0x([0-9a-f]{16})$")
# error() of the decompressor (arch/x86/boot/compressed/error.c): its words, then
# this line.
_DECOMPRESSOR = re.compile(r"^ *-- System halted")
# Up to 4.10 the address stands before the name, twice.
_FUNCTION = re.compile(
    r"^(?:.*RIP: [0-9a-f]{1,4}:(?:\[<[0-9a-f]{16}>\] +){0,2}|RIP )([A-Za-z_][\w]*)"
)
_UPTIME = re.compile(r"^(?:<\d{1,2}>)?\[ *\d{1,7}\.\d{6}\] ")

# Panics that only say that an oops, which was told before, hit the wrong task.
_HOLLOW = re.compile(r"Attempted to kill|Fatal exception")

#: What a guest that fills its memory may end with, whatever it was handed.
OUT_OF_MEMORY = BootEnd(
    id="out-of-memory",
    words="System is deadlocked on memory",
    source="6.1 mm/oom_kill.c out_of_memory()",
)
# By what a reason shows an end of the model: a panic's words, or where it crashed.
_KNOWN = tuple(
    (re.compile(pattern), end)
    for pattern, end in (
        (r"^Invalid user supplied memory map", USER_MAP_EMPTY),
        (r"^Real mode trampoline was not allocated", NO_TRAMPOLINE),
        # Up to 4.8, where the place is reserved.
        (r"^Cannot allocate trampoline", NO_TRAMPOLINE),
        # Up to 4.14 it "ran out of" memory where nothing is mapped yet.
        (r"^alloc_low_pages?: (?:can not alloc|ran out of) memory", NO_FREE_MEMORY),
        # 2.6.32
        (r"^Cannot find space for the kernel page tables", NO_FREE_MEMORY),
        (r"^Cannot find place for new RAMDISK", NO_PLACE_FOR_INITRD),
        (r"^initrd too large to handle", INITRD_TOO_LARGE),
        # 2.6.32
        (r"^Out of memory$", NO_ROOM_FOR_SECTIONS),
        (r"^Too many early reservations", RESERVATIONS_FULL),
        (r"^Overlapping early reservations", RESERVATIONS_OVERLAP),
        (r"^System is deadlocked on memory", OUT_OF_MEMORY),
        (r" in extend_brk$", RESERVED_ARRAY_STUCK),
        (r" in firmware_map_add_entry$", ENDS_AT_2_64),
        (r" in __?e820_+range_update$", TYPE_INTO_ITSELF),
        (r" in sanitize_e820_map$", COUNT_TOO_HIGH),
        # Up to 3.8.
        (r"^early exception 0x0e in init_memory_mapping$", KERNEL_UNMAPPED),
    )
)


class FatalScan:
    """The end of a boot, gathered while its lines go by."""

    __slots__ = ("_crash", "_early", "_halt", "_last", "_panic", "_place")

    def __init__(self) -> None:
        self._panic: str | None = None
        self._crash: str | None = None
        self._place: str | None = None
        self._early: str | None = None
        self._halt: str | None = None
        self._last = ""

    def take(self, line: str) -> None:
        """Look at the next line."""
        if match := _PANIC.search(line):
            self._panic = self._panic or match[1].strip()
        elif match := _BUG.search(line):
            self._crash = self._crash or f"kernel BUG at {match[1]}"
        elif match := _OOPS.search(line):
            self._crash = self._crash or match[1].strip()
        elif match := _EARLY.search(line):
            self._early = self._early or f"early exception 0x{match[1]}"
        elif (match := _PAGE_FAULT.search(line)) and "Error Code:" in self._last:
            self._halt = f"page fault at {int(match[1], 16):#x} in the decompressor"
        elif _DECOMPRESSOR.search(line):
            self._halt = self._halt or self._last or "System halted"
        elif match := _FUNCTION.search(line):
            self._place = self._place or match[1]
        self._last = _UPTIME.sub("", line).strip() or self._last

    @property
    def end(self) -> BootEnd | None:
        """Return which of the ends that are known the reason is, None for others."""
        reason = self.reason
        if reason is None:
            return None
        return next((end for pattern, end in _KNOWN if pattern.search(reason)), None)

    @property
    def reason(self) -> str | None:
        """Return why the boot ended, None when nothing says that it had to."""
        crash = f"{self._crash} in {self._place}" if self._crash else None
        if self._panic and not _HOLLOW.search(self._panic):
            return self._panic
        # An oops alone may be survived; a panic or a halt after it is not.
        if self._panic or self._early:
            # So early a BUG may have no words of its own.
            early = f"{self._early} in {self._place}" if self._place else self._early
            return crash or self._panic or early
        return self._halt
