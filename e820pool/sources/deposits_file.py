"""Read a list of deposits from a file: JSON, CSV, or a range a line."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e820pool.deposits import Deposit
from e820pool.documents import Count, Document, printable, read_kind, value_to
from e820pool.errors import BadImageError, InputError
from e820pool.extents import ExtentSet
from e820pool.range_text import read_range
from e820pool.sources.files import read_file
from e820pool.sources.log_text import decode_text
from e820pool.sources.manifest import deposit_of_json
from e820pool.sources.packed import unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = (
    "DepositChanges",
    "DepositsDocument",
    "parse_changes",
    "read_deposits",
)

# Columns of a CSV by what people call them.
_COLUMNS = {
    **dict.fromkeys(("start", "addr", "address", "base", "start_addr"), "start"),
    **dict.fromkeys(("end", "last", "end_addr"), "end"),
    **dict.fromkeys(("size", "length", "bytes"), "size"),
    **dict.fromkeys(("base_pfn", "start_pfn", "pfn"), "pfn"),
    **dict.fromkeys(("nr_pages", "pages", "count"), "pages"),
    **dict.fromkeys(("owner", "partition"), "owner"),
    "range": "range",
}
_SETS = (("start", "size"), ("start", "end"), ("pfn", "pages"), ("range",))
_NUMBER = re.compile("0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositChanges:
    """What changed since the handoff that the running kernel got.

    Attributes:
        deposits: what is deposited; pages that were before may be named again.
        withdrawn: pages that the hypervisor has given back.
        readings: how ranges were taken whose text does not say it.
    """

    deposits: tuple[Deposit, ...] = ()
    withdrawn: ExtentSet = field(default_factory=ExtentSet)
    readings: tuple[str, ...] = ()


def read_deposits(source: str | Path) -> list[Deposit]:
    """Return the deposits of a file, in its order.

    Either JSON, ``{"deposits": [..]}`` (``schema`` and ``kind`` may be left out) or
    the array alone, each deposit an object with ``base_pfn``, ``nr_pages`` and if
    wanted ``owner`` and ``firmware_type``, the array ``[base_pfn, nr_pages]``, an
    object with ``start`` and ``size`` or ``end`` (bytes), or a range as text; or text,
    a range a line in any form of :func:`~e820pool.range_text.read_range`, ``#`` before
    a comment; or CSV, whose first line names the columns (``start,size``,
    ``start,end``, ``base_pfn,nr_pages``, ``range``, with ``owner`` if wanted). Whether
    deposits overlap is the ledger's business.

    Raises:
        InputError: the file cannot be read.
        BadImageError: a line or an element is no deposit.
    """
    path = Path(source)
    return list(parse_changes(read_file(path), str(path)).deposits)


def parse_changes(data: bytes, origin: str) -> DepositChanges:
    """Return the same from bytes, with the pages that JSON calls ``withdrawn``.

    ``"withdrawn"`` may be left out; its elements are ``[base_pfn, nr_pages]``.

    Raises:
        BadImageError: a line or an element is no deposit; ``origin`` names the source.
        InputError: it is packed in a way that cannot be unpacked here.
    """
    data, _ = unpacked(data, origin)
    text = decode_text(data, origin)
    start = text.lstrip()[:1]
    if start == "{":
        return _of_json(text, origin)
    if start == "[" and "[mem" not in text:
        return _of_json(f'{{"deposits": {text}}}', origin)
    deposits = list(_of_lines(text, origin))
    if not deposits:
        raise BadImageError(f"{origin!r} names 0 deposits: want START+SIZE lines")
    return _changes(deposits)


def _changes(
    deposits: list[tuple[Deposit, str]], withdrawn: ExtentSet | None = None
) -> DepositChanges:
    return DepositChanges(
        deposits=tuple(deposit for deposit, _ in deposits),
        withdrawn=ExtentSet() if withdrawn is None else withdrawn,
        readings=tuple(reading for _, reading in deposits if reading),
    )


def _of_lines(text: str, origin: str) -> Iterator[tuple[Deposit, str]]:
    columns: list[str] | None = None
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.partition("#")[0].strip()
        where = f"{origin!r} line {number}"
        if not line:
            continue
        cells = [cell.strip() for cell in next(csv.reader([line]), [])]
        names = [_COLUMNS.get(cell.lower(), "") for cell in cells]
        if columns is None and any(names):
            columns = _validated(cells, names, where)
            continue
        try:
            if columns is not None:
                yield _of_row(columns, cells)
            else:
                yield from _of_cells(cells)
        except InputError as exc:
            raise BadImageError(f"{where}: {exc}") from exc


def _validated(cells: list[str], names: list[str], where: str) -> list[str]:
    columns = set(names)
    if "" in columns and not columns & {"range", "start", "pfn"}:
        raise BadImageError(f"{where}: no column of {_shown(cells)} is a range")
    if not any(columns.issuperset(columns_of_range) for columns_of_range in _SETS):
        raise BadImageError(
            f"{where}: want the columns start,end or start,size or base_pfn,nr_pages "
            f"or range, not {_shown(cells)}"
        )
    return names


def _shown(cells: list[str]) -> str:
    return printable(", ".join(cells)[:80])


def _of_row(columns: list[str], cells: list[str]) -> tuple[Deposit, str]:
    row = {name: cell for name, cell in zip(columns, cells, strict=False) if name}
    if len(cells) < len(columns):
        raise InputError(f"{len(cells)} columns: the first line has {len(columns)}")
    owner = _owner(row.get("owner") or "0")
    if "range" in row:
        return _deposit(row["range"], owner)
    if "pfn" in row:
        return _deposit(f"pfn:{row['pfn']}+{row['pages']}", owner)[0], ""
    mark, other = ("+", "size") if "size" in row else ("-", "end")
    return _deposit(f"{row['start']}{mark}{row[other]}", owner)


# Without names of columns each cell is a range, but the last, which may be the owner.
def _of_cells(cells: list[str]) -> Iterator[tuple[Deposit, str]]:
    ranges = [cell for cell in cells if cell]
    owner = 0
    if len(ranges) > 1 and _NUMBER.fullmatch(ranges[-1]):
        if _NUMBER.fullmatch(ranges[0]):
            start, number = (cell[:40] for cell in ranges[:2])
            raise InputError(
                f"{start},{number} can be START,END or START,SIZE: write "
                f"{start}-{number} or {start}+{number}, or name the columns in a first "
                "line (start,size)"
            )
        owner = _owner(ranges.pop())
    for text in ranges:
        yield _deposit(text, owner)


def _deposit(text: str, owner: int = 0) -> tuple[Deposit, str]:
    start, end, reading = read_range(text)
    return Deposit.from_bytes(start, end, owner), reading


def _owner(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise InputError(f"owner {text[:40]!r} is no whole number like 3 or 0x3")
    return int(text, 16 if text[:2] in ("0x", "0X") else 10)


class DepositsDocument(Document, frozen=True, kw_only=True, tag="deposits"):
    """What is deposited and withdrawn, ``[base_pfn, nr_pages]`` each.

    A deposit may be an object with ``owner``, or a range in any form that people write.
    """

    deposits: tuple[Any, ...]
    withdrawn: ExtentSet = ExtentSet()


def _of_json(text: str, origin: str) -> DepositChanges:
    document = read_kind(text, DepositsDocument, origin, needs_schema=False)
    deposits = [
        _element(raw, f"{origin!r}: deposits[{at}]")
        for at, raw in enumerate(document.deposits)
    ]
    return _changes(deposits, document.withdrawn)


# A range as text, an object of bytes, or one of pages.
def _element(raw: Any, label: str) -> tuple[Deposit, str]:
    try:
        if isinstance(raw, str):
            return _deposit(raw)
        if isinstance(raw, dict) and "range" in raw:
            return _deposit(str(raw["range"]), _owner(str(raw.get("owner", 0))))
        if isinstance(raw, dict) and "start" in raw and "base_pfn" not in raw:
            mark, end_key = ("+", "size") if "size" in raw else ("-", "end")
            words = mark.join(
                _word(raw.get(key), f"{label}.{key}") for key in ("start", end_key)
            )
            return _deposit(words, _owner(str(raw.get("owner", 0))))
    except InputError as exc:
        raise BadImageError(f"{label}: {exc}") from exc
    return deposit_of_json(raw, label), ""


def _word(value: Any, label: str) -> str:
    if isinstance(value, str):
        return value
    return hex(value_to(Count, value, label))
