"""Give the guest's agent a payload: through its own RAM, which is a file here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.errors import LabError
from e820pool.extents import PAGE_SIZE
from e820pool.lab.chain_port import runs_of

if TYPE_CHECKING:
    from e820pool.lab.chain_port import ChainPort
    from e820pool.lab.guest_ram import GuestRam

__all__ = ("deliver", "write_pages")

_BUFFER_SECONDS = 120


def deliver(port: ChainPort, ram: GuestRam, payload: bytes) -> None:
    """Put ``payload`` into a locked buffer of the agent.

    A serial port would take minutes for a kernel; the pages of a locked buffer are
    known by their frames, and the file that backs them is at hand.

    Raises:
        AgentError: the guest has no memory for it.
        LabError: the buffer is not where a page table can be.
    """
    lines = port.command(f"buffer {len(payload)}", _BUFFER_SECONDS)
    at = 0
    for start_pfn, end_pfn in runs_of(lines):
        size = (end_pfn - start_pfn) * PAGE_SIZE
        write_pages(ram, start_pfn, payload[at : at + size])
        at += size
    if at < len(payload):
        raise LabError(
            f"the agent's buffer has {at:#x} bytes, the payload {len(payload):#x}"
        )


def write_pages(ram: GuestRam, start_pfn: int, data: bytes) -> None:
    """Write bytes into consecutive guest pages.

    Raises:
        LabError: the machine has no RAM there.
    """
    if ram.write(start_pfn, data) < len(data):
        raise LabError(f"PFN {start_pfn:#x} on: {len(data):#x} bytes are not all RAM")
