"""Where this machine's memory devices are: ACPI's devices, memory blocks, the SRAT."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.abi.srat import parse_srat
from e820pool.errors import BadImageError, InputError
from e820pool.extents import ByteRangeSet
from e820pool.memory_devices import MemoryDevices
from e820pool.sources.files import list_names, parse_hex_attribute, read_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.range_lists import StartEnd

__all__ = ("read_live_devices",)

_ROOT = Path("/")
_TABLES = "sys/firmware/acpi/tables"
_DEVICES = "sys/bus/acpi/devices"
_BLOCK_BYTES = "sys/devices/system/memory/block_size_bytes"

# The id of a memory device (drivers/acpi/acpi_memhotplug.c).
_DEVICE = re.compile(r"PNP0C80:[0-9a-f]{2,8}")
# A device that is in use has a link to each of its memory blocks (drivers/acpi/glue.c
# acpi_physnode_link_name(), acpi_memhotplug.c acpi_bind_memory_blocks(), 5.10 to 7.3).
_LINK = re.compile(r"physical_node[0-9]*")
_BLOCK = re.compile(r"memory([0-9]{1,15})")
# No machine is without it; SRAT and SRAT1 are names that a kernel gives.
_FADT = "FACP"
_SRAT = re.compile(r"SRAT[0-9]*")


def read_live_devices(root: Path = _ROOT) -> MemoryDevices | None:
    """Return where memory can be added to this machine, None where it does not say.

    A device (PNP0C80) that the kernel uses is known by its memory blocks. Where any
    other lies, or comes to lie, sysfs does not show: an empty slot, or a device that
    was not added since something busy is in it. For those there is what the SRAT calls
    hot-pluggable. Without such a range nothing is known of them, and nothing is
    returned: some of the devices would look as if they were all.

    Args:
        root: where /sys is; another folder is a copy of a machine's.
    """
    try:
        regions = tuple(_hot_pluggable(root / _TABLES))
        devices, all_placed = _placed(root)
        if not (all_placed or regions):
            return None
        return MemoryDevices(devices=devices, regions=regions)
    except (InputError, BadImageError):
        # Not root, no ACPI, or a table that no kernel would read.
        return None


def _hot_pluggable(tables: Path) -> Iterator[StartEnd]:
    names = list_names(tables)
    if _FADT not in names:
        raise InputError(f"{str(tables)!r} does not list {_FADT}")
    for name in sorted(filter(_SRAT.fullmatch, names)):
        for affinity in parse_srat(read_file(tables / name)):
            start, end = affinity.base_address, affinity.base_address + affinity.length
            # QEMU writes empty structures, too.
            if affinity.is_hot_pluggable and start < end:
                yield start, end


# The ranges of the devices that are in use, and whether those are all devices.
def _placed(root: Path) -> tuple[tuple[StartEnd, ...], bool]:
    folder, ranges, all_placed = root / _DEVICES, [], True
    for name in sorted(filter(_DEVICE.fullmatch, list_names(folder))):
        blocks = list(_blocks_of(folder / name))
        if blocks:
            size = parse_hex_attribute(root / _BLOCK_BYTES)
            spans = ((at * size, (at + 1) * size) for at in blocks)
            # A kernel, too, takes a device's ranges that touch for one
            # (acpi_memory_get_resource()).
            ranges += list(ByteRangeSet(spans))
        else:
            all_placed = False
    return tuple(ranges), all_placed


# By the links' text: in a copy of /sys they may lead nowhere.
def _blocks_of(device: Path) -> Iterator[int]:
    for name in filter(_LINK.fullmatch, list_names(device)):
        try:
            target = (device / name).readlink()
        except OSError:
            continue
        block = _BLOCK.fullmatch(target.name)
        if block:
            yield int(block[1])
