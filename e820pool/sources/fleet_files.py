"""Read captured maps of many hosts, one by one: a folder, JSON Lines, Parquet."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from e820pool.documents import Part, shown_value, value_to
from e820pool.errors import BadImageError, E820PoolError, InputError, missing_package
from e820pool.sources.files import bounded_lines, is_directory, list_names
from e820pool.sources.map_json import Pairs, devices_of
from e820pool.sources.recognise import read_map

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.memory_devices import MemoryDevices
    from e820pool.range_lists import Row, StartCount

__all__ = ("FleetRecord", "count_fleet", "read_fleet")

# A line holds one host; a map of 10^5 entries has less.
_LINE_LIMIT = 16 << 20
_BATCH = 64
_PARQUET = ".parquet"
_PARQUET_NAMES = ("*.parquet", "*=*/**/*.parquet")
_BLOCK_BYTES = 1 << 20


class _DevicesPart(Part, frozen=True, kw_only=True):
    memory_devices: Pairs = UNSET
    hotplug_regions: Pairs = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRecord:
    """One host: its map, or why it cannot be read.

    Attributes:
        id: the file's name, the record's ``id``, or its number.
        rows: ``(addr, size, type)``.
        deposits: ``(base_pfn, nr_pages)``, None where the record names none.
        error: "" where there is a map.
        notes: what was odd in the source, ``(id, message)``.
        devices: where memory can be added, None where the source does not say.
        later: ``(base_pfn, nr_pages)`` of RAM that a kernel reserved after it had
            printed the map (``reserved-later``).
    """

    id: str
    rows: tuple[Row, ...] = ()
    deposits: tuple[StartCount, ...] | None = None
    error: str = ""
    notes: tuple[tuple[str, str], ...] = ()
    devices: MemoryDevices | None = None
    later: tuple[StartCount, ...] = ()


def read_fleet(path: str, *, partial: bool = False) -> Iterator[FleetRecord]:
    """Yield the hosts of a fleet in their order, never more than some in memory.

    A folder has one map a file, of any form that ``show`` reads; names with a dot in
    front are left out. A Parquet data set is a file, or a folder of such files, also
    in partitions (``site=a/part-0.parquet``), in the order of their names. JSON Lines
    and Parquet have ``e820`` (rows of addr, size, type), and may have ``id`` and
    ``deposits`` (rows of base_pfn, nr_pages), ``memory_devices`` and
    ``hotplug_regions`` (rows of start, size in bytes, as in a map's JSON). A host that
    cannot be read is a record with an error, and the others go on.

    Args:
        path: of the folder or file.
        partial: take a map of a folder as it is, of which entries cannot be read.

    Raises:
        InputError: there is no such fleet.
        MachineError: Parquet cannot be read here.
    """
    source = Path(path)
    parts = _parquet_parts(source)
    if parts:
        return _of_parquet(parts)
    if is_directory(source):
        return _of_folder(source, partial=partial)
    return _of_lines(source)


def count_fleet(path: str) -> int | None:
    """Return how many hosts :func:`read_fleet` will yield; None if that is not known.

    What is wrong with the fleet is for the reading to say.
    """
    source = Path(path)
    try:
        parts = _parquet_parts(source)
        if parts:
            parquet = import_module("pyarrow.parquet")
            rows = (parquet.ParquetFile(part).metadata.num_rows for part in parts)
            return int(sum(rows))
        if is_directory(source):
            return len(_map_names(source))
        return _count_lines(source) if source.is_file() else None
    except Exception:  # noqa: BLE001  pyarrow has errors of every kind
        return None


def _count_lines(path: Path) -> int:
    # A last line may have no newline.
    count, last = 0, b"\n"
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            count += block.count(b"\n")
            last = block
    return count + (not last.endswith(b"\n"))


# The files of a Parquet data set, none where it is something else.
def _parquet_parts(source: Path) -> list[Path]:
    if is_directory(source):
        paths = (source.glob(pattern) for pattern in _PARQUET_NAMES)
        return sorted(chain.from_iterable(paths))
    return [source] if source.suffix == _PARQUET else []


def _map_names(folder: Path) -> list[str]:
    return sorted(name for name in list_names(folder) if not name.startswith("."))


def _of_folder(folder: Path, *, partial: bool) -> Iterator[FleetRecord]:
    for name in _map_names(folder):
        try:
            _validate_is_file(folder / name)
            memory_map = read_map(str(folder / name))
            if not partial:
                memory_map.validate_whole()
        except E820PoolError as exc:
            yield FleetRecord(id=name, error=str(exc))
        else:
            notes = tuple((note.id, note.message) for note in memory_map.notes)
            later = () if partial else memory_map.reserved_later()
            yield FleetRecord(
                id=name,
                rows=tuple(memory_map.rows()),
                notes=notes,
                devices=memory_map.devices,
                later=tuple((start, end - start) for start, end in later),
            )


# A pipe in the folder would be waited for, by everybody.
def _validate_is_file(path: Path) -> None:
    if not (path.is_file() or is_directory(path)):
        raise InputError(f"{str(path)!r} is no file: a pipe, device or broken link")


def _of_lines(path: Path) -> Iterator[FleetRecord]:
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(bounded_lines(stream, _LINE_LIMIT)):
                yield _of_line(line, str(number))
    except OSError as exc:
        reason = (exc.strerror or str(exc)).lower()
        raise InputError(f"cannot read {str(path)!r}: {reason}") from exc


def _of_line(line: bytes, number: str) -> FleetRecord:
    if len(line) > _LINE_LIMIT:
        return FleetRecord(
            id=number, error=f"line of more than {_LINE_LIMIT:#x} bytes: the limit"
        )
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as exc:
        # A lone log, given as a file, would be an error a line.
        is_text = line.lstrip()[:1] not in (b"{", b"[", b"")
        hint = "; a fleet is JSON Lines, Parquet, or a folder of logs" * is_text
        return FleetRecord(id=number, error=f"no JSON: {str(exc)[:80]}{hint}")
    return _record(record, number)


def _of_parquet(parts: list[Path]) -> Iterator[FleetRecord]:
    try:
        parquet = import_module("pyarrow.parquet")
    except ImportError as exc:
        raise missing_package("Parquet", "pyarrow") from exc
    number = 0
    for path in parts:
        try:
            for batch in parquet.ParquetFile(path).iter_batches(batch_size=_BATCH):
                for record in batch.to_pylist():
                    yield _record(record, str(number))
                    number += 1
        except InputError:
            raise
        except Exception as exc:
            # pyarrow has errors of every kind, OverflowError among them.
            raise BadImageError(f"cannot read {str(path)!r}: {str(exc)[:120]}") from exc


def _record(record: Any, number: str) -> FleetRecord:
    name = number
    try:
        if not isinstance(record, dict):
            raise BadImageError(f"{shown_value(record)} is no object")
        name = str(record["id"])[:200] if record.get("id") is not None else number
        rows = _rows(record["e820"], 3)
        deposits = record.get("deposits")
        pages = None if deposits is None else _rows(deposits, 2)
        part = value_to(_DevicesPart, record, "record")
        devices = devices_of(part.memory_devices, part.hotplug_regions, "record")
    except (AttributeError, KeyError, TypeError, ValueError, E820PoolError) as exc:
        reason = f"no {exc}" if isinstance(exc, KeyError) else str(exc)
        return FleetRecord(id=name, error=f"no record of a host: {reason[:120]}")
    return FleetRecord(id=name, rows=rows, deposits=pages, devices=devices)


def _rows(array: Any, length: int) -> tuple[Any, ...]:
    if not isinstance(array, list):
        raise BadImageError(f"{shown_value(array)} is no array of rows")
    rows = []
    for row in array:
        if not isinstance(row, list | tuple | dict):
            raise BadImageError(f"{shown_value(row)} is not {length} whole numbers")
        values = tuple(row.values()) if isinstance(row, dict) else tuple(row)
        if len(values) != length or any(type(value) is not int for value in values):
            raise BadImageError(f"{str(row)[:60]} is not {length} whole numbers")
        rows.append(values)
    return tuple(rows)
