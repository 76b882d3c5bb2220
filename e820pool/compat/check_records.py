"""The bulk form of check: one JSON record in, one verdict out, a line each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from e820pool.abi.e820 import E820_DTYPE
from e820pool.compat.judge import judge_input
from e820pool.compat.verdict import Verdict, verdict_unknown
from e820pool.compat.verdict_documents import verdict_value
from e820pool.errors import E820PoolError, InputError
from e820pool.extents import MAX_PFN, ExtentSet
from e820pool.kernel.predict_records import (
    boot_of_record,
    field_of,
    ident_of,
    record_of_line,
)
from e820pool.kernel.profiles import profile_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e820pool.range_lists import StartEnd

__all__ = ("check_line", "check_record")


def check_line(line: bytes | str) -> dict[str, Any]:
    """Return the verdict for one line, or what is wrong with it, as plain values."""
    ident = None
    try:
        record = record_of_line(line)
        ident = ident_of(record)
        return {"id": ident, **verdict_value(check_record(record))}
    except E820PoolError as exc:
        return {"id": ident, "error": str(exc)}


def check_record(record: Mapping[str, Any]) -> Verdict:
    """Return the verdict for one record; ``unknown`` where its kernel is.

    In: a record as :func:`e820pool.kernel.predict_records.predict_record` takes it, and
    ``deposits``: ``[base_pfn, nr_pages]`` each, in any order.

    Raises:
        InputError: a key is missing, or a value has the wrong type or range.
    """
    deposits = _deposits(field_of(record, "deposits", list) or [])
    release = field_of(record, "kernel", str)
    if release is not None:
        try:
            profile_for(release)
        except InputError as exc:
            return verdict_unknown(release, str(exc))
    boot = boot_of_record(record)
    inp = replace(
        boot.inp,
        table=np.array(boot.given, E820_DTYPE),
        ext=tuple(np.array(rows, E820_DTYPE) for rows in boot.extended),
    )
    return judge_input(deposits, inp, boot.profile)


def _deposits(rows: list[Any]) -> ExtentSet:
    spans: list[StartEnd] = []
    for row in rows:
        match row:
            case [base, count] if type(base) is type(count) is int:
                if 0 <= base < base + count <= MAX_PFN:
                    spans.append((base, base + count))
                    continue
        raise InputError(
            f"deposits[{len(spans)}] {repr(row)[:60]} is not base_pfn, nr_pages below "
            f"{MAX_PFN:#x}"
        )
    return ExtentSet(spans)
