"""build_handoff: from a map and a ledger to everything the next kernel gets.

Its zero page has the kernel's own header, our table and our pointers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from e820pool.abi.boot_params import (
    BOOT_PARAMS_BYTES,
    BootParams,
    EfiInfo,
    parse_boot_params,
)
from e820pool.abi.e820 import (
    E820_MAX_ENTRIES_ZEROPAGE,
    E820_TYPE_RAM,
    E820_TYPE_RESERVED_KERN,
    encode_table,
)
from e820pool.abi.efi_map import efi_info_of
from e820pool.abi.pool_record import RECORD_EXTENT_DTYPE, SETUP_E820POOL, encode_record
from e820pool.abi.setup_data import NODE_HEADER_BYTES, SETUP_E820_EXT, SetupDataNode
from e820pool.abi.setup_header import (
    BOOT_FLAG,
    HDRS_MAGIC,
    LOADED_HIGH,
    SETUP_HEADER_OFFSET,
)
from e820pool.deposits import Deposit, DepositLedger
from e820pool.errors import CapacityError, InputError
from e820pool.extents import ByteRangeSet, Span
from e820pool.handoff.budget import fit_table
from e820pool.handoff.encodings import Encoding, encoding_named
from e820pool.handoff.hot_add import hold_blocks
from e820pool.handoff.model import COMMAND_LINE_SIZE, Handoff, PlacedNode
from e820pool.handoff.placement import (
    PLACEMENT_LIMIT,
    Room,
    place_kernel,
    validate_above_low_memory,
)
from e820pool.handoff.strict import validate_handoff
from e820pool.table import E820Table
from e820pool.type_words import type_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from e820pool.abi.bzimage import BzImage
    from e820pool.memory_map import MemoryMap

    NodesAt = Callable[[Callable[[int], int]], list[SetupDataNode]]

__all__ = (
    "CARRIERS",
    "MAX_TABLE_ENTRIES",
    "BuildOptions",
    "bind_header",
    "build_handoff",
    "encode_pool_record",
    "zero_page",
)

CARRIERS = ("setup_data", "none")
"""How the pool record travels; ``none`` leaves rebuilding to inference."""

MAX_TABLE_ENTRIES = 3200
"""E820_MAX_ENTRIES with NODES_SHIFT=10: 128 + 3 * 1024, the largest kernel table
(arch/x86/include/asm/e820/types.h, 4.12 to 7.3)."""

# 64 pages that early_memremap() can map at once, for a node and its header
# (arch/x86/include/asm/fixmap.h NR_FIX_BTMAPS): a longer EXT node kills the boot.
_EXT_LIMIT_ENTRIES = ((64 << 12) - 0x10) // 20
_TABLE_LIMIT = E820_MAX_ENTRIES_ZEROPAGE + _EXT_LIMIT_ENTRIES


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """How a handoff is to be built.

    Attributes:
        encoding: a name of :data:`e820pool.handoff.encodings.ENCODINGS`.
        max_entries: give up RAM until the table has no more entries than this,
            the fewest bytes that do (:mod:`e820pool.handoff.budget`); None gives up
            nothing and refuses a table above :data:`MAX_TABLE_ENTRIES`.
        cmdline: latin-1 text, without a NUL.
        kernel: the next kernel's image, to place its window and copy its header.
        kernel_addr: where to load it, None to choose.
        initrd_size: bytes to find a place for, 0 for no initrd.
        addresses: a part's name (``boot_params``, ``cmdline``, ``initrd``,
            ``setup_data-0``, ``setup_data-1`` ...) to the address the user wants.
        generation: hops since the first kernel, kept in the pool record.
    """

    encoding: str = "guarded"
    max_entries: int | None = None
    carrier: str = "setup_data"
    cmdline: str = ""
    kernel: BzImage | None = None
    kernel_addr: int | None = None
    initrd_size: int = 0
    addresses: Mapping[str, int] = field(default_factory=dict)
    generation: int = 1


def build_handoff(
    memory_map: MemoryMap,
    ledger: DepositLedger,
    options: BuildOptions | None = None,
) -> Handoff:
    """Return the handoff that keeps the next kernel off the deposits.

    Args:
        memory_map: the firmware's own map, before any deposit.
        ledger: what is deposited; whole pages of RAM of that map, or of a memory
            device that the map knows of.
        options: see :class:`BuildOptions`.

    Raises:
        InputError: a deposit is not inside RAM or is below 1 MiB, a part is wanted
            where it cannot lie, the table would be refused by a kernel.
        CapacityError: entries, command line or parts do not fit; with
            ``max_entries`` no choice of RAM to give up is enough.

    Example:
        >>> from e820pool.deposits import DepositLedger, parse_range
        >>> from e820pool.memory_map import MemoryMap
        >>> machine = MemoryMap.of([(0x0, 0x9F000, 1), (0x10_0000, 0x7FF0_0000, 1)])
        >>> ledger = DepositLedger.of_ranges([parse_range("1G+2M")])
        >>> for addr, size, kind in build_handoff(machine, ledger).boot_params.e820_map:
        ...     print(f"{addr:#x} {size:#x} {kind}")
        0x0 0x9f000 1
        0x100000 0x3ff00000 1
        0x40000000 0x200000 2
        0x40200000 0x3fe00000 1
    """
    options = options or BuildOptions()
    _validate_ledger(ledger)
    builder = _Builder(
        memory_map=memory_map,
        machine=memory_map.with_devices_of(ledger.extents),
        ledger=ledger,
        options=options,
        encoding=encoding_named(options.encoding),
    )
    cmdline = builder.cmdline()
    handoff = builder.placed(builder.table(), cmdline)
    validate_handoff(handoff)
    return handoff


def _validate_ledger(ledger: DepositLedger) -> None:
    validate_above_low_memory(ledger)
    # Whoever withdraws a page gives it the type that the record says.
    rows = ledger.rows
    for at in np.flatnonzero(rows["firmware_type"] != E820_TYPE_RAM)[:1].tolist():
        start, end, owner, kind = rows[at].tolist()
        deposit = Deposit(start_pfn=start, end_pfn=end, owner=owner, firmware_type=kind)
        raise InputError(
            f"deposit {deposit} is said to be {type_text(kind)} to the firmware: "
            f"deposits are RAM, type {E820_TYPE_RAM:#x}"
        )


def encode_pool_record(
    memory_map: MemoryMap, ledger: DepositLedger, generation: int
) -> bytes:
    """Return the record of a ledger: what a later kernel has to know of it.

    Args:
        memory_map: the firmware's own, to which withdrawn pages return.
        ledger: what is deposited.
        generation: handoffs so far.

    Raises:
        CapacityError: more deposits than a setup_data node can hold.
    """
    deposits = ledger.rows
    rows = np.zeros(deposits.size, RECORD_EXTENT_DTYPE)
    rows["base_pfn"] = deposits["start"]
    rows["nr_pages"] = deposits["end"] - deposits["start"]
    rows["owner"] = deposits["owner"]
    rows["firmware_type"] = deposits["firmware_type"]
    machine = memory_map.with_devices_of(ledger.extents)
    return encode_record(rows, generation=generation, map_digest=machine.digest())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Builder:
    # What a handoff is made from; the machine has the memory devices of the deposits.
    memory_map: MemoryMap
    machine: MemoryMap
    ledger: DepositLedger
    options: BuildOptions
    encoding: Encoding

    def cmdline(self) -> bytes:
        make_words, kernel = self.encoding.make_words, self.options.kernel
        words = make_words(self.ledger) if make_words else ""
        text = " ".join(filter(None, (self.options.cmdline, words)))
        try:
            line = text.encode("latin-1")
        except UnicodeEncodeError as exc:
            bad = text[exc.start]
            raise InputError(
                f"command line has {bad!r} at {exc.start}: the limit is Latin-1"
            ) from exc
        if b"\0" in line:
            raise InputError(
                f"command line has a NUL at {line.index(0)}: it would end there"
            )
        limit = COMMAND_LINE_SIZE - 1
        if kernel is not None and kernel.cmdline_size:
            limit = min(limit, kernel.cmdline_size)
        if len(line) > limit:
            raise CapacityError(
                f"command line of {len(line)} bytes does not fit: the kernel reads "
                f"{limit}"
            )
        return line

    def table(self) -> NDArray[Any]:
        table = self.encoding.make_table(self.machine, self.ledger)
        if self.options.max_entries is not None:
            table = self._within_budget(table, self.options.max_entries)
        else:
            table = self._held(table)
            if table.size > MAX_TABLE_ENTRIES:
                over = int(table["addr"][MAX_TABLE_ENTRIES])
                raise CapacityError(
                    f"{table.size} entries do not fit: the limit is "
                    f"{MAX_TABLE_ENTRIES}, and entry {MAX_TABLE_ENTRIES} at {over:#x} "
                    "is the first over it; --max-entries gives up RAM until they fit"
                )
        wrong = table["type"] == E820_TYPE_RESERVED_KERN
        if self.encoding.deposit_type == E820_TYPE_RESERVED_KERN:
            wrong[:] = False
        for at in np.flatnonzero(wrong)[:1].tolist():
            raise InputError(
                f"entry {at} at {int(table['addr'][at]):#x} has type 128: kernels up "
                "to 6.12 take it for RAM; write 1 or 2"
            )
        if table.size < 2:
            raise InputError(
                f"the table has {table.size} entry: kernels before 7.1 refuse fewer "
                "than 2"
            )
        return table

    def _held(self, table: NDArray[Any]) -> NDArray[Any]:
        if not self.encoding.holds_blocks or not len(self.ledger):
            return table
        ram = self.machine.bytes_of(E820_TYPE_RAM)
        return hold_blocks(E820Table(table), self.ledger.extents, ram).entries

    def _within_budget(self, table: NDArray[Any], max_entries: int) -> NDArray[Any]:
        # What has its place stays RAM; what is placed later finds what is left.
        options = self.options
        addrs = list(options.addresses.values())
        if options.kernel_addr is not None:
            addrs.append(options.kernel_addr)
        elif options.kernel is not None:
            addrs.append(options.kernel.pref_address)
        keep = ByteRangeSet((at, at + 1) for at in addrs if 0 <= at < 1 << 32)
        limit = room = min(max_entries, _TABLE_LIMIT)
        while True:
            fitted = fit_table(table, room, keep)
            entries = self._held(fitted.entries)
            # A deposit beside what the firmware itself reserves no longer shares its
            # entry.
            if entries.size <= limit:
                break
            room -= entries.size - limit
        if fitted.given_up and options.carrier == "none":
            start, end = next(iter(fitted.given_up))
            raise InputError(
                f"without a pool record RAM given up, {Span(start, end)} first, would "
                "be taken for deposits: a budget needs the carrier setup_data"
            )
        return entries

    def placed(self, table: NDArray[Any], cmdline: bytes) -> Handoff:
        options, kernel = self.options, self.options.kernel
        record = self._record()
        room = Room.in_table(E820Table(table), self.ledger.extents.to_bytes())
        parts = _Parts(room=room, wanted=dict(options.addresses))
        window = None
        if kernel is not None:
            window = place_kernel(kernel, room, options.kernel_addr)
        elif options.kernel_addr is not None:
            raise InputError(
                f"kernel address {options.kernel_addr:#x} without a kernel: its size "
                "is in its image"
            )
        params_addr = parts.place("boot_params", BOOT_PARAMS_BYTES)
        line_addr = parts.place("cmdline", COMMAND_LINE_SIZE)
        nodes = parts.place_chain(partial(self._nodes, table, record))
        initrd, efi_info = None, None
        if options.initrd_size:
            last = PLACEMENT_LIMIT - 1 if kernel is None else kernel.initrd_addr_max
            high = min(PLACEMENT_LIMIT, last + 1)
            start = parts.place("initrd", options.initrd_size, high)
            initrd = Span.at(start, options.initrd_size)
        for name, addr in parts.wanted.items():
            raise InputError(f"no part is called {name!r} (wanted at {addr:#x})")
        if self.encoding.has_efi_map:
            tables = nodes[0].node.data
            efi_info = efi_info_of(nodes[0].addr + NODE_HEADER_BYTES, tables)
        return Handoff(
            boot_params=zero_page(
                table=table[:E820_MAX_ENTRIES_ZEROPAGE],
                setup_data=nodes[0].addr if nodes else 0,
                cmdline_addr=line_addr,
                initrd=initrd,
                kernel=kernel,
                load_addr=window.start if window else None,
                efi_info=efi_info,
            ),
            boot_params_addr=params_addr,
            nodes=nodes,
            cmdline=cmdline,
            cmdline_addr=line_addr,
            kernel_window=window,
            initrd=initrd,
            ledger=self.ledger,
            firmware_map=self.memory_map,
            memory_devices=self.memory_map.devices,
            encoding=options.encoding,
        )

    def _record(self) -> bytes | None:
        carries = self.encoding.carries_record and self.options.carrier == "setup_data"
        if not carries or not len(self.ledger):
            return None
        return encode_pool_record(self.memory_map, self.ledger, self.options.generation)

    def _nodes(
        self, table: NDArray[Any], record: bytes | None, addr_of: Callable[[int], int]
    ) -> list[SetupDataNode]:
        encoding, nodes = self.encoding, []
        if encoding.make_nodes:
            nodes += encoding.make_nodes(self.machine, self.ledger, addr_of)
        spill = table[E820_MAX_ENTRIES_ZEROPAGE:]
        if encoding.make_ext:
            more = encoding.make_ext(self.machine, self.ledger)
            spill = np.concatenate((spill, more))
        if spill.size:
            nodes.append(SetupDataNode(type=SETUP_E820_EXT, data=encode_table(spill)))
        if self.options.carrier not in CARRIERS:
            raise InputError(
                f"carrier {self.options.carrier!r} is not one of: {', '.join(CARRIERS)}"
            )
        if record is not None:
            nodes.append(SetupDataNode(type=SETUP_E820POOL, data=record))
        return nodes


@dataclass(slots=True, kw_only=True)
class _Parts:
    # Places named parts: where the user wants them, else wherever they fit.
    room: Room
    wanted: dict[str, int]

    def place(self, part: str, size: int, high: int = PLACEMENT_LIMIT) -> int:
        addr = self.wanted.pop(part, None)
        if addr is None:
            return self.room.find(part, size, high=high)
        if not 0 <= addr <= addr + size <= high:
            raise InputError(
                f"{part} at {Span(addr, addr + size)}: the boot protocol's limit "
                f"is {high:#x}"
            )
        return self.room.claim(part, addr, size)

    def place_chain(self, make_nodes: NodesAt) -> tuple[PlacedNode, ...]:
        # Addresses first, then each node learns where it and the next one lie.
        addrs = [
            self.place(f"setup_data-{at}", 0x10 + len(node.data))
            for at, node in enumerate(make_nodes(lambda _: 0))
        ]
        nodes = make_nodes(addrs.__getitem__)
        nexts = [*addrs[1:], 0]  # one too many where there is no node
        return tuple(
            PlacedNode(addr=addr, node=replace(node, next=following))
            for addr, node, following in zip(addrs, nodes, nexts, strict=False)
        )


# An unregistered loader; 0 would make kernels ignore the initrd
# (Documentation/arch/x86/boot.rst, type_of_loader).
_TYPE_OF_LOADER = 0xFF
_PROTOCOL = 0x020F
_PREF_ADDRESS = 0x0100_0000


def bind_header(page: BootParams, kernel: BzImage, load_addr: int) -> BootParams:
    """Return ``page`` with the kernel's own setup_header under our pointers.

    As many bytes are copied as the image's header has; decompressors since 4.9
    read init_size and kernel_alignment from here (head_64.S), so that a made-up
    value would move the window.
    """
    raw = bytearray(BOOT_PARAMS_BYTES)
    end = SETUP_HEADER_OFFSET + len(kernel.setup_header)
    raw[SETUP_HEADER_OFFSET:end] = kernel.setup_header
    ours = page.hdr
    hdr = replace(
        parse_boot_params(bytes(raw)).hdr,
        type_of_loader=_TYPE_OF_LOADER,
        code32_start=load_addr,
        cmd_line_ptr=ours.cmd_line_ptr,
        ramdisk_image=ours.ramdisk_image,
        ramdisk_size=ours.ramdisk_size,
        setup_data=ours.setup_data,
    )
    return replace(page, hdr=hdr)


def zero_page(
    *,
    table: NDArray[Any],
    setup_data: int,
    cmdline_addr: int,
    initrd: Span | None,
    kernel: BzImage | None,
    load_addr: int | None,
    efi_info: EfiInfo | None = None,
) -> BootParams:
    """Return a zero page with ``table`` (at most 128 rows) and all else zero.

    Without a kernel the header is that of a relocatable 2.15 one; a loader that
    has the image replaces it.
    """
    blank = BootParams.zero()
    start, end = initrd or (0, 0)
    hdr = replace(
        blank.hdr,
        boot_flag=BOOT_FLAG,
        header=HDRS_MAGIC,
        version=_PROTOCOL,
        type_of_loader=_TYPE_OF_LOADER,
        loadflags=LOADED_HIGH,
        kernel_alignment=1 << 21,
        relocatable_kernel=1,
        min_alignment=21,
        cmdline_size=2047,
        pref_address=_PREF_ADDRESS,
        code32_start=_PREF_ADDRESS,
        setup_data=setup_data,
        cmd_line_ptr=cmdline_addr,
        ramdisk_image=start,
        ramdisk_size=end - start,
    )
    page = replace(blank, hdr=hdr).with_table(table)
    page = replace(page, efi_info=efi_info or page.efi_info)
    if kernel is None or load_addr is None:
        return page
    return bind_header(page, kernel, load_addr)
