"""Read the parts of a handoff: zero page, nodes, command line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from e820pool.abi.boot_params import (
    BOOT_PARAMS_BYTES,
    BootParams,
    parse_boot_params,
    validate_e820_count,
)
from e820pool.abi.setup_data import SetupDataNode, encode_node, parse_chain
from e820pool.errors import BadImageError
from e820pool.findings import counted
from e820pool.handoff.model import COMMAND_LINE_SIZE, PlacedNode
from e820pool.sources.files import list_names, read_inside

if TYPE_CHECKING:
    from pathlib import Path

    from e820pool.sources.manifest import SegmentDocument

__all__ = (
    "NODE_FILE",
    "line_pointer",
    "node_files",
    "parse_page",
    "place_nodes",
    "read_line",
    "read_part",
)

NODE_FILE = re.compile(r"setup_data-([0-9]{1,9})\.bin")
"""The name of a node's file; group 1 is its place in the chain."""


def parse_page(data: bytes, name: str) -> BootParams:
    """Return the zero page of exactly 4096 bytes, its entry count in range.

    Raises:
        BadImageError: another length, or e820_entries above 128.
    """
    if len(data) != BOOT_PARAMS_BYTES:
        raise BadImageError(
            f"{name!r} has {len(data):#x} bytes: a boot_params has "
            f"{BOOT_PARAMS_BYTES:#x}",
            ident="not-a-zero-page",
            about=name,
        )
    page = parse_boot_params(data)
    validate_e820_count(page)
    return page


def node_files(path: Path) -> list[Path]:
    """Return the setup_data-N.bin of a directory by number, from 0 or from 1.

    Raises:
        BadImageError: a number is missing.
    """
    paths = {
        int(match[1]): path / match[0]
        for name in list_names(path)
        if (match := NODE_FILE.fullmatch(name))
    }
    first = 0 if 0 in paths else 1
    for number in range(first, first + len(paths)):
        if number not in paths:
            raise BadImageError(
                f"{str(path)!r} has {counted(len(paths), 'node')} and no "
                f"setup_data-{number}.bin"
            )
    return [paths[number] for number in sorted(paths)]


def place_nodes(
    page: BootParams, addrs: list[int], nodes: list[SetupDataNode], origin: str
) -> tuple[PlacedNode, ...]:
    """Return the chain: each node where its address says, each pointer as it must be.

    Raises:
        BadImageError: a pointer leads elsewhere, or nodes overlap; ``origin`` names
            the source.
    """
    pointers = [page.hdr.setup_data, *(node.next for node in nodes)]
    for at, (pointer, addr) in enumerate(zip(pointers, [*addrs, 0], strict=True)):
        if pointer != addr or (at < len(nodes) and not pointer):
            whose = f"node {at - 1}'s next" if at else "hdr.setup_data"
            place = (
                f"node {at} is at {addr:#x}" if at < len(nodes) else "no node is there"
            )
            raise BadImageError(f"{origin!r}: {whose} is {pointer:#x}, but {place}")
    parse_chain(
        page.hdr.setup_data,
        [(addr, encode_node(node)) for addr, node in zip(addrs, nodes, strict=True)],
    )
    return tuple(
        PlacedNode(addr=addr, node=node)
        for addr, node in zip(addrs, nodes, strict=True)
    )


def read_part(path: Path, part: SegmentDocument) -> bytes:
    """Return a segment's bytes; BadImageError unless as many as the manifest says."""
    data = read_inside(path / part.file)
    if len(data) != part.size:
        raise BadImageError(
            f"{str(path / part.file)!r} has {len(data):#x} bytes, the manifest says "
            f"{part.size:#x}"
        )
    return data


def read_line(name: Path) -> bytes:
    """Return the command line in a file, without what an editor puts at its end.

    Raises:
        BadImageError: it is over 2047 bytes, or not one line.
    """
    line = read_inside(name, empty=True).rstrip(b"\0").removesuffix(b"\n")
    if len(line) >= COMMAND_LINE_SIZE:
        raise BadImageError(
            f"{str(name)!r} has {len(line)} bytes: the limit of a command line is "
            f"{COMMAND_LINE_SIZE - 1}"
        )
    if b"\0" in line or b"\n" in line:
        raise BadImageError(f"{str(name)!r} is not one line of text")
    return line


def line_pointer(page: BootParams) -> int:
    """Return the address of the command line, both halves."""
    return page.ext_cmd_line_ptr << 32 | page.hdr.cmd_line_ptr
