"""Deposits over which this kernel would add a memory device after boot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.compat.verdict import finding_about
from e820pool.handoff.hot_add import not_busy
from e820pool.memory_devices import addable_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.compat.situation import Situation
    from e820pool.findings import Finding

__all__ = ("findings_of_hot_add",)

_SOURCE = (
    "mm/memory_hotplug.c register_memory_resource(), drivers/acpi/acpi_memhotplug.c "
    "acpi_memory_enable_device(), drivers/acpi/scan.c acpi_scan_init()"
)
_OFF = "acpi_no_memhotplug"


def findings_of_hot_add(case: Situation) -> Iterator[Finding]:
    """Yield the deposits in what is or may be a memory device, with nothing busy in it.

    ``unsafe`` where the devices are known, ``degraded`` where they are not. Whether
    what is added goes online by itself depends on configuration and on user space;
    that of distributions does it.
    """
    if not case.deposits or not case.table or case.view.fatal is not None:
        return
    if not case.profile.config["ACPI_HOTPLUG_MEMORY"]:
        return
    if _OFF in case.inp.cmdline.split() and case.has("acpi-no-memhotplug"):
        return
    if case.has("hot-add-into-reserved"):
        free = not_busy(case.table)
    else:
        # The driver comes after RESERVED: whatever has a resource is in the way.
        free = ~case.table.covered
    devices = case.inp.memory_devices
    hit = case.deposits & addable_bytes(free, devices).pages_inside()
    if not hit:
        return
    if devices is not None:
        text = (
            "a memory device lies, or can be plugged in, over {pages}, and nothing "
            "busy is in it: the kernel adds it to its memory"
        )
        yield finding_about("memory-hot-add", "unsafe", hit, text, _SOURCE)
    else:
        text = (
            "{pages} lie in whole memory blocks without anything busy: if they are a "
            "memory device, which is not known, the kernel adds it to its memory"
        )
        yield finding_about("memory-hot-add", "degraded", hit, text, _SOURCE)
