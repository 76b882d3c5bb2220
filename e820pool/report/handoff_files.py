"""Write a handoff as a directory that loaders, kexec-tools and we can read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, cast

from e820pool.documents import document_text
from e820pool.errors import E820PoolError
from e820pool.loading.kexec_loaders import memmap_files
from e820pool.report.output import write_tree
from e820pool.sources.files import read_file
from e820pool.sources.handoff_dir import MANIFEST, validate_listed
from e820pool.sources.manifest import (
    DepositDocument,
    HandoffDocument,
    SegmentDocument,
    parse_manifest,
)
from e820pool.sources.map_json import MemoryMapDocument, device_keys

if TYPE_CHECKING:
    from e820pool.atomic import StrPath
    from e820pool.handoff.model import Handoff, Segment
    from e820pool.sources.manifest import SegmentKind

__all__ = ("write_handoff",)

# Every file that a handoff directory can have.
_OURS = re.compile(
    r"manifest\.json|firmware\.json|boot_params\.bin|cmdline\.txt"
    r"|setup_data-\d+\.bin|memmap/\d+/(start|end|type)"
)


def _manifest(handoff: Handoff) -> HandoffDocument:
    """Return what manifest.json says: where each part goes, and for what."""
    named = zip(_file_names(handoff), handoff.segments(), strict=True)
    return HandoffDocument(
        encoding=handoff.encoding,
        segments=tuple(
            SegmentDocument(
                file=name,
                addr=part.addr,
                size=len(part.data),
                what=cast("SegmentKind", part.what),
            )
            for name, part in named
        ),
        deposits=DepositDocument.all_of(handoff.ledger),
        kernel_window=handoff.kernel_window,
        initrd=handoff.initrd,
        **device_keys(handoff.memory_devices),
    )


def _handoff_files(handoff: Handoff) -> dict[str, bytes]:
    """Return every file of a handoff directory, by its name in it."""
    files = {"manifest.json": document_text(_manifest(handoff)).encode()}
    for name, part in zip(_file_names(handoff), handoff.segments(), strict=True):
        files[name] = _content(part)
    tree = memmap_files(handoff.table.rows())
    files |= {f"memmap/{name}": data for name, data in tree.items()}
    if handoff.firmware_map is not None:
        text = document_text(MemoryMapDocument.of(handoff.firmware_map))
        files["firmware.json"] = text.encode()
    return files


def write_handoff(handoff: Handoff, path: StrPath) -> None:
    """Write the directory whole or not at all; an older handoff there is replaced.

    Raises:
        InputError: a directory is there whose manifest is not a handoff's, or that
            has a file which no handoff has; or it cannot be written.
    """
    write_tree(
        Path(path), _handoff_files(handoff), ours=_OURS, is_ours=_has_our_manifest
    )


def _has_our_manifest(path: Path) -> bool:
    try:
        text = read_file(path / MANIFEST).decode()
        validate_listed(path, parse_manifest(text, MANIFEST))
    except (E820PoolError, UnicodeDecodeError):
        return False
    return True


def _file_names(handoff: Handoff) -> list[str]:
    nodes = [f"setup_data-{at}.bin" for at in range(len(handoff.nodes))]
    return ["boot_params.bin", *nodes, "cmdline.txt"]


def _content(part: Segment) -> bytes:
    # Text without the NUL: a segment is zero beyond its file.
    return part.data.removesuffix(b"\0") if part.what == "cmdline" else part.data
