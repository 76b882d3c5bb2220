"""The Handoff: everything the next kernel gets, each part with its address."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from e820pool.abi.boot_params import BootParams, encode_boot_params
from e820pool.abi.e820 import E820_ENTRY_BYTES, parse_table
from e820pool.abi.pool_record import SETUP_E820POOL, BadRecordError, parse_record
from e820pool.abi.setup_data import (
    SETUP_E820_EXT,
    SetupDataNode,
    encode_node,
    node_size,
)
from e820pool.deposits import DepositLedger
from e820pool.table import E820Table

if TYPE_CHECKING:
    from e820pool.atomic import StrPath
    from e820pool.extents import Span
    from e820pool.findings import Finding
    from e820pool.memory_devices import MemoryDevices
    from e820pool.memory_map import MemoryMap

__all__ = ("COMMAND_LINE_SIZE", "Handoff", "PlacedNode", "Segment")

COMMAND_LINE_SIZE = 2048
"""Bytes a kernel copies, NUL included (arch/x86/include/asm/setup.h, all read)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Bytes that a loader must put at ``addr``.

    Attributes:
        what: ``boot_params``, ``setup_data`` or ``cmdline``.
    """

    what: str
    addr: int
    data: bytes

    @property
    def end(self) -> int:
        """Return the exclusive end address."""
        return self.addr + len(self.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedNode:
    """A setup_data node and the address of its header."""

    addr: int
    node: SetupDataNode

    @property
    def end(self) -> int:
        """Return the exclusive end address, header included."""
        return self.addr + node_size(self.node)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handoff:
    """A zero page, its setup_data chain and command line, with addresses.

    Attributes:
        nodes: in chain order; ``boot_params.hdr.setup_data`` is the first one's
            address and each node's ``next`` the following one's.
        kernel_window: bytes ``[P, P + init_size)`` in which the decompressor
            works, None when no kernel is known.
        initrd: bytes ``[start, end)``, None without one.
        ledger: the deposits this handoff was made for.
        firmware_map: the map before deposits, None when not known.
        memory_devices: where memory can be added after boot, None for not known.
        encoding: the name of the encoding that made the table.
        notes: what is odd in the place from which it was read; a verdict has them.
    """

    boot_params: BootParams
    boot_params_addr: int
    nodes: tuple[PlacedNode, ...] = ()
    cmdline: bytes = b""
    cmdline_addr: int = 0
    kernel_window: Span | None = None
    initrd: Span | None = None
    ledger: DepositLedger = field(default_factory=DepositLedger)
    firmware_map: MemoryMap | None = None
    memory_devices: MemoryDevices | None = None
    encoding: str = "guarded"
    notes: tuple[Finding, ...] = ()

    @property
    def table(self) -> E820Table:
        """The zero page's entries and those of every EXT node, as written.

        Bytes behind the last whole entry of a node are no entry to any kernel
        (parse_e820_ext(), 2.6.32 to 7.3).
        """
        payloads = (n.node.data for n in self.nodes if n.node.type == SETUP_E820_EXT)
        ext = [
            parse_table(data[: len(data) // E820_ENTRY_BYTES * E820_ENTRY_BYTES])
            for data in payloads
        ]
        return E820Table.joined((self.boot_params.e820_map, *ext))

    def record_bytes(self) -> bytes | None:
        """Return the payload of the pool record, None without one.

        Of several it is the one of the highest generation, or one that cannot be
        read: it might be the latest.
        """
        nodes = (placed.node for placed in self.nodes)
        records = [node.data for node in nodes if node.type == SETUP_E820POOL]
        if len(records) > 1:
            return max(records, key=_generation)
        return records[0] if records else None

    def write(self, path: StrPath) -> None:
        """Write a handoff directory whole or not at all; an older one is replaced.

        Raises:
            InputError: something that is no handoff directory is there, or it cannot
                be written.
        """
        # The only import from a room below: the front door's word for a function
        # that needs files.
        from e820pool.report.handoff_files import write_handoff  # noqa: PLC0415

        write_handoff(self, path)

    def segments(self) -> tuple[Segment, ...]:
        """Return what a loader places: boot_params, nodes, command line."""
        zero_page = Segment(
            what="boot_params",
            addr=self.boot_params_addr,
            data=encode_boot_params(self.boot_params),
        )
        nodes = tuple(
            Segment(what="setup_data", addr=n.addr, data=encode_node(n.node))
            for n in self.nodes
        )
        line = Segment(
            what="cmdline", addr=self.cmdline_addr, data=self.cmdline + b"\0"
        )
        return (zero_page, *nodes, line)


# Beyond all generations, which have 64 bits: what cannot be read.
def _generation(record: bytes) -> int:
    try:
        return parse_record(record).generation
    except BadRecordError:
        return 1 << 64
