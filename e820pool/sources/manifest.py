"""Read manifest.json, which says where each part of a handoff directory goes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from e820pool.deposits import Deposit, DepositLedger
from e820pool.errors import BadImageError, InputError
from e820pool.extents import MAX_PFN, Span
from e820pool.sources.json_text import parse_document, shown_value, whole_number
from e820pool.sources.map_json import devices_of_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.memory_devices import MemoryDevices

__all__ = ("PARTS", "Manifest", "Part", "deposit_of_json", "parse_manifest")

PARTS = ("boot_params", "setup_data", "cmdline")
"""What a segment may be."""

_U32_LIMIT, _U64_LIMIT = 1 << 32, 1 << 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Hold one segment as the manifest states it.

    Attributes:
        file: a plain file name in the directory.
        addr, size: bytes in the next kernel's memory; what the file does not fill
            is zero.
        what: one of ``PARTS``.
    """

    file: str
    addr: int
    size: int
    what: str

    @property
    def end(self) -> int:
        """Return the exclusive end address."""
        return self.addr + self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Hold a whole manifest; see :class:`e820pool.handoff.model.Handoff`."""

    boot_params: Part
    nodes: tuple[Part, ...]
    cmdline: Part | None
    ledger: DepositLedger
    kernel_window: Span | None
    initrd: Span | None
    encoding: str
    memory_devices: MemoryDevices | None


def parse_manifest(text: str, origin: str) -> Manifest:
    """Return the manifest in ``text``.

    Raises:
        BadImageError: it is no manifest, of a newer schema, or contradicts itself:
            parts that overlap, that are twice or are missing.
    """
    found = parse_document(text, "handoff", origin)
    parts = [_part(what, raw) for what, raw in _array(found, "segments", origin)]
    _validate_apart(parts, origin)
    pages = [part for part in parts if part.what == "boot_params"]
    lines = [part for part in parts if part.what == "cmdline"]
    if len(pages) != 1 or len(lines) > 1:
        raise BadImageError(
            f"{origin!r} has {len(pages)} boot_params and {len(lines)} cmdline "
            "segments: want 1 and at most 1"
        )
    encoding = found.get("encoding", "split")
    if not isinstance(encoding, str):
        raise BadImageError(f"{origin!r}: encoding is no string")
    return Manifest(
        boot_params=pages[0],
        nodes=tuple(part for part in parts if part.what == "setup_data"),
        cmdline=lines[0] if lines else None,
        ledger=_ledger(found, origin),
        kernel_window=_span(found, "kernel_window", origin),
        initrd=_span(found, "initrd", origin),
        encoding=encoding,
        memory_devices=devices_of_json(found, origin),
    )


def deposit_of_json(raw: object, what: str) -> Deposit:
    """Return the deposit of ``{"base_pfn", "nr_pages", ..}`` or ``[base, nr]``.

    Raises:
        BadImageError: it has another form, or numbers out of range; ``what`` names
            it in the message.
    """
    if isinstance(raw, list) and len(raw) == 2:
        raw = {"base_pfn": raw[0], "nr_pages": raw[1]}
    if not isinstance(raw, dict):
        raise BadImageError(f"{what} is {shown_value(raw)}, no deposit")
    base_pfn = whole_number(raw.get("base_pfn"), f"{what}.base_pfn", MAX_PFN)
    nr_pages = whole_number(raw.get("nr_pages"), f"{what}.nr_pages", MAX_PFN)
    owner = whole_number(raw.get("owner", 0), f"{what}.owner", _U64_LIMIT)
    kind = whole_number(
        raw.get("firmware_type", 1), f"{what}.firmware_type", _U32_LIMIT
    )
    try:
        return Deposit(
            start_pfn=base_pfn,
            end_pfn=base_pfn + nr_pages,
            owner=owner,
            firmware_type=kind,
        )
    except InputError as exc:
        raise BadImageError(f"{what}: {exc}") from exc


def _array(found: dict[str, Any], key: str, origin: str) -> Iterator[tuple[str, Any]]:
    values = found.get(key, [])
    if not isinstance(values, list):
        raise BadImageError(f"{origin!r}: {key!r} is no array")
    for at, value in enumerate(values):
        yield f"{origin!r}: {key}[{at}]", value


def _part(what: str, raw: object) -> Part:
    if not isinstance(raw, dict):
        raise BadImageError(f"{what} is {shown_value(raw)}, no segment")
    file, kind = raw.get("file"), raw.get("what")
    if not isinstance(file, str) or not _is_plain(file):
        raise BadImageError(f"{what}.file is {shown_value(file)}, no plain file name")
    if kind not in PARTS:
        raise BadImageError(
            f"{what}.what is {shown_value(kind)}: want {', '.join(PARTS)}"
        )
    addr = whole_number(raw.get("addr"), f"{what}.addr", _U64_LIMIT)
    size = whole_number(raw.get("size"), f"{what}.size", _U64_LIMIT - addr)
    return Part(file=file, addr=addr, size=size, what=str(kind))


def _is_plain(name: str) -> bool:
    return name not in ("", ".", "..") and not set(name) & set("/\\\0")


def _validate_apart(parts: list[Part], origin: str) -> None:
    ordered = sorted(parts, key=lambda part: part.addr)
    for one, two in pairwise(ordered):
        if two.addr < one.end:
            raise BadImageError(
                f"{origin!r}: segment {one.file!r} ends at {one.end:#x}, over "
                f"{two.file!r} at {two.addr:#x}"
            )


def _ledger(found: dict[str, Any], origin: str) -> DepositLedger:
    deposits = [
        deposit_of_json(raw, what) for what, raw in _array(found, "deposits", origin)
    ]
    try:
        return DepositLedger(deposits)
    except InputError as exc:
        raise BadImageError(f"{origin!r}: {exc}") from exc


def _span(found: dict[str, Any], key: str, origin: str) -> Span | None:
    raw = found.get(key)
    if raw is None:
        return None
    if not isinstance(raw, list) or len(raw) != 2:
        raise BadImageError(
            f"{origin!r}: {key} is {shown_value(raw)}, not [start, end]"
        )
    start, end = (whole_number(n, f"{origin!r}: {key}", _U64_LIMIT) for n in raw)
    if start >= end:
        raise BadImageError(f"{origin!r}: {key} [{start:#x}, {end:#x}) is empty")
    return Span(start, end)
