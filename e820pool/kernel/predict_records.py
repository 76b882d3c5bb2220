"""The bulk form: one JSON record in, one out, a line each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from e820pool.abi.e820 import (
    E820_MAX_ENTRIES_ZEROPAGE,
    E820_TYPE_RAM,
    E820_TYPE_RESERVED_KERN,
)
from e820pool.documents import CheckedRow
from e820pool.errors import E820PoolError, InputError
from e820pool.extents import Span
from e820pool.kernel.boot_input import BootInput, SetupDataSpan
from e820pool.kernel.early_boot import run_early_boot
from e820pool.kernel.profiles import profile_for
from e820pool.kernel.state import EarlyBoot
from e820pool.memory_devices import MemoryDevices

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from e820pool.range_lists import Row

__all__ = (
    "MAX_LINE_CHARS",
    "answer_of_line",
    "boot_of_record",
    "encode_line",
    "field_of",
    "ident_of",
    "predict_line",
    "predict_lines",
    "predict_record",
    "record_of_line",
)

MAX_LINE_CHARS = 64 << 20
"""Characters of one line at most: a record is held in memory whole."""

_U64_MAX = (1 << 64) - 1
_SHOWN = 60


def predict_lines(lines: Iterable[bytes | str]) -> Iterator[str]:
    """Yield one JSON line (without its newline) for each line, in order.

    A line that cannot be read gives ``{"id", "error"}`` and the run goes on.
    """
    for line in lines:
        yield predict_line(line)


def predict_line(line: bytes | str) -> str:
    """Return the answer for one line as JSON (without its newline)."""
    return encode_line(answer_of_line(line))


def answer_of_line(line: bytes | str) -> dict[str, Any]:
    """Return the prediction for one line, or ``id`` and ``error``: what is wrong."""
    ident = None
    try:
        record = _quick_record(line) or record_of_line(line)
        ident = ident_of(record)
        return predict_record(record)
    except E820PoolError as exc:
        return {"id": ident, "error": str(exc)}


def predict_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the prediction for one record.

    In: ``id``, ``kernel``, ``e820``, and what may be left out: ``ext``,
    ``cmdline``, ``kernel_range``, ``setup_data``, ``config`` and, for check alone,
    ``memory_devices`` (``[start, size]`` each, null for unknown); other keys are
    ignored. The first 128 entries are in the zero page, what follows and ``ext``
    are in one SETUP_E820_EXT node. Types of the maps are as that kernel prints
    them: where it prints type 128 as usable, it is 1 here; ``dropped`` rows keep
    their own.

    Raises:
        InputError: a key is missing, a value has the wrong type or range, or the
            kernel is not known.
    """
    ident = ident_of(record)
    boot = run_early_boot(boot_of_record(record))
    return {"id": ident, **_answer(boot)}


def boot_of_record(record: Mapping[str, Any]) -> EarlyBoot:
    """Return the state of a record's kernel before it reads the zero page.

    Raises:
        InputError: as :func:`predict_record`.
    """
    config = field_of(record, "config", dict)
    profile = profile_for(_needed(record, "kernel", str), config)
    rows = _rows(_needed(record, "e820", list), "e820")
    spill = rows[E820_MAX_ENTRIES_ZEROPAGE:]
    spill += _rows(field_of(record, "ext", list) or [], "ext")
    inp = BootInput(
        cmdline=_cmdline(field_of(record, "cmdline", str) or ""),
        kernel_range=_range(field_of(record, "kernel_range", list)),
        setup_data=_spans(field_of(record, "setup_data", list)),
        memory_devices=_devices(field_of(record, "memory_devices", list)),
    )
    given = rows[:E820_MAX_ENTRIES_ZEROPAGE]
    return EarlyBoot.of_rows(inp, profile, given, [spill] if spill else [])


def _answer(boot: EarlyBoot) -> dict[str, Any]:
    # Of type 128 there is none before setup_data is marked, but for what the
    # loader wrote itself.
    as_usable = boot.profile.has("type-128-is-memory")
    return {
        "map_source": boot.map_source,
        "bios_map": _printed(boot.bios_map, as_usable),
        "extended_map": _printed(boot.extended_map, as_usable),
        "user_map": _printed(boot.user_map, as_usable),
        "memory": [(start, end - start) for start, end in boot.memory],
        "dropped": boot.all_dropped(),
        "fatal": boot.end.words if boot.end else None,
    }


def _printed(rows: Sequence[Row] | None, as_usable: bool) -> Sequence[Row] | None:
    if not rows or not as_usable:
        return rows
    if E820_TYPE_RESERVED_KERN not in [kind for _, _, kind in rows]:
        return rows
    return [
        (a, s, E820_TYPE_RAM if kind == E820_TYPE_RESERVED_KERN else kind)
        for a, s, kind in rows
    ]


# Limits of more than 63 bits are none that msgspec takes; few records need them.
_Number = Annotated[int, msgspec.Meta(ge=0, lt=(1 << 63) - 1)]
_Type = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]


class _Rows(list["Row"]):
    # Rows that were validated while they were read.
    __slots__ = ()


class _Record(msgspec.Struct):
    # What a prediction takes of a record; None is as good as nothing.
    e820: list[tuple[_Number, _Number, _Type]]
    kernel: Any = None
    id: Any = None
    cmdline: Any = None
    kernel_range: Any = None
    ext: Any = None
    setup_data: Any = None
    config: Any = None
    memory_devices: Any = None


# The record of a line as it should be; None of any other, of which the slow way says
# what is wrong.
def _quick_record(line: bytes | str) -> dict[str, Any] | None:
    if len(line) > MAX_LINE_CHARS:
        return None
    try:
        record = _RECORD_DECODER.decode(line)
    except (ValueError, RecursionError):
        return None
    named = {name: getattr(record, name) for name in _RECORD_KEYS}
    return {**named, "e820": _Rows(record.e820)}


def record_of_line(line: bytes | str) -> dict[str, Any]:
    """Return the record of one line.

    Raises:
        InputError: the line is too long, no JSON, or no object.
    """
    if len(line) > MAX_LINE_CHARS:
        raise InputError(
            f"line of {len(line):#x} characters is over the limit {MAX_LINE_CHARS:#x}"
        )
    record = _decoded(line)
    if not isinstance(record, dict):
        raise InputError(f"{type(record).__name__} is no record: an object is needed")
    return record


# The quick reader refuses what JSON allows, as half of a surrogate pair; the slow one
# decides then, and says what is wrong.
def _decoded(line: bytes | str) -> Any:
    try:
        return _QUICK_DECODER.decode(line)
    except (ValueError, RecursionError):
        pass
    try:
        text = line if isinstance(line, str) else line.decode()
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as exc:
        raise InputError(f"not JSON: {_short(str(exc))}") from exc


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def encode_line(answer: Mapping[str, Any]) -> str:
    """Return an answer as one line of ASCII, without its newline."""
    try:
        text = _QUICK_ENCODER.encode(answer).decode()
    except UnicodeEncodeError:
        text = ""
    # The quick writer leaves what is beyond ASCII as it is.
    return text if text and text.isascii() else _ENCODER.encode(answer)


_QUICK_ENCODER = msgspec.json.Encoder()
_QUICK_DECODER = msgspec.json.Decoder()
_RECORD_DECODER = msgspec.json.Decoder(_Record)
_RECORD_KEYS = _Record.__struct_fields__
_ENCODER = json.JSONEncoder(separators=(",", ":"))
_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def ident_of(record: Mapping[str, Any]) -> str | int | None:
    """Return the record's ``id``, None without one.

    Raises:
        InputError: it is neither a string nor a whole number.
    """
    ident = record.get("id")
    if ident is None or type(ident) in (str, int):
        return ident
    raise InputError(f"id {_short(ident)} is no string or number")


def _needed(record: Mapping[str, Any], key: str, kind: type) -> Any:
    value = field_of(record, key, kind)
    if value is None:
        raise InputError(f"{key} is missing")
    return value


def field_of(record: Mapping[str, Any], key: str, kind: type) -> Any:
    """Return what the record has under ``key``; None where it has nothing.

    Raises:
        InputError: it is of another kind.
    """
    value = record.get(key)
    if value is not None and not isinstance(value, kind):
        raise InputError(f"{key} {_short(value)} is no {kind.__name__}")
    return value


def _rows(rows: list[Any], key: str) -> list[Row]:
    converted = _converted(rows)
    if converted is None:
        at = next(at for at, row in enumerate(rows) if _converted([row]) is None)
        raise InputError(
            f"{key}[{at}] {_short(rows[at])} is not addr, size below 2^64 and type "
            "below 2^32"
        )
    return converted


# All at once, as a look at each number by itself costs more than a kernel's whole boot.
def _converted(rows: list[Any]) -> list[Row] | None:
    if isinstance(rows, _Rows):
        return rows
    try:
        converted: list[Row] = msgspec.convert(rows, list[CheckedRow])
    except msgspec.ValidationError:
        return None
    # Limits of 2^63 and more are none that msgspec takes.
    most = max([addr | size for addr, size, _ in converted], default=0)
    return converted if most <= _U64_MAX else None


def _range(span: list[Any] | None) -> Span | None:
    if span is None:
        return None
    match span:
        case [start, end] if type(start) is type(end) is int:
            if 0 <= start <= end <= _U64_MAX:
                return Span(start, end)
    raise InputError(f"kernel_range {_short(span)} is not start, end below 2^64")


def _spans(rows: list[Any] | None) -> tuple[SetupDataSpan, ...] | None:
    if rows is None:
        return None
    return tuple(
        SetupDataSpan(addr=addr, size=size, type=kind)
        for addr, size, kind in _rows(rows, "setup_data")
    )


def _devices(rows: list[Any] | None) -> MemoryDevices | None:
    if rows is None:
        return None
    spans = []
    for row in rows:
        match row:
            case [start, size] if type(start) is type(size) is int:
                spans.append((start, start + size))
            case _:
                raise InputError(f"memory_devices {_short(row)} is not start, size")
    return MemoryDevices(devices=tuple(spans))


# A kernel sees bytes; one beyond ASCII is several of them.
def _cmdline(text: str) -> str:
    if text.isascii():
        return text
    try:
        return text.encode().decode("latin-1")
    except UnicodeEncodeError as exc:
        raise InputError(f"cmdline has no UTF-8 form at {exc.start:#x}") from exc


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    text = text.encode("ascii", "backslashreplace").decode("ascii")
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
