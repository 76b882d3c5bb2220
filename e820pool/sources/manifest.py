"""Read manifest.json, which says where each part of a handoff directory goes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, Self

from msgspec import UNSET

from e820pool.deposits import Deposit, DepositLedger
from e820pool.documents import Count, Document, Pair, Part, read_kind, value_to
from e820pool.errors import BadImageError, InputError
from e820pool.extents import Span
from e820pool.sources.map_json import Pairs, devices_of

if TYPE_CHECKING:
    from e820pool.memory_devices import MemoryDevices

__all__ = (
    "DepositDocument",
    "HandoffDocument",
    "Manifest",
    "SegmentDocument",
    "SegmentKind",
    "deposit_of_json",
    "parse_manifest",
)

_U64_LIMIT = 1 << 64

SegmentKind = Literal["boot_params", "setup_data", "cmdline"]
"""What a segment of a handoff is."""


class SegmentDocument(Part, frozen=True, kw_only=True):
    """A segment: a plain file name in the directory, and where it goes, in bytes.

    What the file does not fill is zero.
    """

    file: str
    addr: Count
    size: Count
    what: SegmentKind

    def __post_init__(self) -> None:
        if self.file in ("", ".", "..") or set(self.file) & set("/\\\0"):
            raise ValueError(f"file is {self.file[:40]!r}, no plain file name")
        if self.end > _U64_LIMIT:
            raise ValueError(
                f"size is {self.size:#x}: outside [0, {_U64_LIMIT - self.addr:#x}]"
            )

    @property
    def end(self) -> int:
        """Return the exclusive end address."""
        return self.addr + self.size


class DepositDocument(Part, frozen=True, kw_only=True):
    """A deposit: its pages, who deposited it, and what it is in the firmware's map."""

    base_pfn: Count
    nr_pages: Count
    owner: Count = 0
    firmware_type: Count = 1

    def __post_init__(self) -> None:
        try:
            self.deposit()
        except InputError as exc:
            raise ValueError(exc) from exc

    @classmethod
    def of(cls, deposit: Deposit) -> Self:
        """Return the document of a deposit."""
        return cls.of_attributes(deposit, base_pfn=deposit.start_pfn)

    @classmethod
    def all_of(cls, ledger: DepositLedger) -> tuple[Self, ...]:
        """Return the documents of a ledger."""
        return tuple(cls.of(deposit) for deposit in ledger)

    def deposit(self) -> Deposit:
        """Return the deposit; InputError where its numbers are out of range."""
        return Deposit(
            start_pfn=self.base_pfn,
            end_pfn=self.base_pfn + self.nr_pages,
            owner=self.owner,
            firmware_type=self.firmware_type,
        )


class HandoffDocument(Document, frozen=True, kw_only=True, tag="handoff"):
    """The manifest of a handoff directory; spans are ``[start, end]`` in bytes.

    A deposit may be ``[base_pfn, nr_pages]``.
    """

    encoding: str = "split"
    segments: tuple[SegmentDocument, ...] = ()
    deposits: tuple[DepositDocument | Pair, ...] = ()
    kernel_window: Pair | None = None
    initrd: Pair | None = None
    memory_devices: Pairs = UNSET
    hotplug_regions: Pairs = UNSET

    def __post_init__(self) -> None:
        _validate_apart(self.segments)
        kinds = [segment.what for segment in self.segments]
        pages, lines = kinds.count("boot_params"), kinds.count("cmdline")
        if pages != 1 or lines > 1:
            raise ValueError(
                f"has {pages} boot_params and {lines} cmdline segments: want 1 and at "
                "most 1"
            )
        for name in ("kernel_window", "initrd"):
            span = getattr(self, name)
            if span is not None and span[0] >= span[1]:
                raise ValueError(f"{name} [{span[0]:#x}, {span[1]:#x}) is empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A whole manifest; see :class:`e820pool.handoff.model.Handoff`."""

    boot_params: SegmentDocument
    nodes: tuple[SegmentDocument, ...]
    cmdline: SegmentDocument | None
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
    manifest = read_kind(text, HandoffDocument, origin)
    segments = manifest.segments
    devices = devices_of(manifest.memory_devices, manifest.hotplug_regions, origin)
    return Manifest(
        boot_params=next(s for s in segments if s.what == "boot_params"),
        nodes=tuple(s for s in segments if s.what == "setup_data"),
        cmdline=next((s for s in segments if s.what == "cmdline"), None),
        ledger=_ledger(manifest, origin),
        kernel_window=manifest.kernel_window and Span(*manifest.kernel_window),
        initrd=manifest.initrd and Span(*manifest.initrd),
        encoding=manifest.encoding,
        memory_devices=devices,
    )


def deposit_of_json(raw: object, label: str) -> Deposit:
    """Return the deposit of ``{"base_pfn", "nr_pages", ..}`` or ``[base, nr]``.

    Raises:
        BadImageError: it has another form, or numbers out of range; ``label`` names
            it in the message.
    """
    if isinstance(raw, list) and len(raw) == 2:
        raw = {"base_pfn": raw[0], "nr_pages": raw[1]}
    return value_to(DepositDocument, raw, label).deposit()


def _validate_apart(parts: tuple[SegmentDocument, ...]) -> None:
    for lower, upper in pairwise(sorted(parts, key=lambda part: part.addr)):
        if upper.addr < lower.end:
            raise ValueError(
                f"segment {lower.file!r} ends at {lower.end:#x}, over "
                f"{upper.file!r} at {upper.addr:#x}"
            )


def _ledger(document: HandoffDocument, origin: str) -> DepositLedger:
    try:
        return DepositLedger(
            deposit.deposit()
            if isinstance(deposit, DepositDocument)
            else Deposit(start_pfn=deposit[0], end_pfn=deposit[0] + deposit[1])
            for deposit in document.deposits
        )
    except InputError as exc:
        raise BadImageError(f"{origin!r}: {exc}") from exc
