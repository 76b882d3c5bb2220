"""Read a list of deposits from a file: our JSON, or one range a line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e820pool.deposits import Deposit, parse_range
from e820pool.errors import BadImageError, InputError
from e820pool.extents import MAX_PFN, ExtentSet
from e820pool.sources.files import read_file
from e820pool.sources.json_text import parse_document, shown_value, whole_number
from e820pool.sources.log_text import decode_text
from e820pool.sources.manifest import deposit_of_json

__all__ = ("DepositChanges", "parse_changes", "read_deposits")


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositChanges:
    """Hold what changed since the handoff that the running kernel got.

    Attributes:
        deposits: what is deposited; pages that were before may be named again.
        withdrawn: pages that the hypervisor has given back.
    """

    deposits: tuple[Deposit, ...] = ()
    withdrawn: ExtentSet = field(default_factory=ExtentSet)


def read_deposits(source: str | Path) -> list[Deposit]:
    """Return the deposits of a file, in its order.

    Either ``{"schema": 1, "kind": "deposits", "deposits": [..]}``, each deposit an
    object with ``base_pfn``, ``nr_pages`` and if wanted ``owner`` and
    ``firmware_type``, or the array ``[base_pfn, nr_pages]``; or text with one range
    a line, ``START-END`` (end inclusive) or ``START+SIZE`` in bytes, ``#`` before
    a comment. Whether deposits overlap is the ledger's business.

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
    """
    text = decode_text(data, origin)
    if text.lstrip()[:1] == "{":
        return _of_json(text, origin)
    found = [
        _of_line(line, f"{origin!r} line {number}")
        for number, raw in enumerate(text.splitlines(), 1)
        if (line := raw.partition("#")[0].strip())
    ]
    if not found:
        raise BadImageError(f"{origin!r} names 0 deposits: want START+SIZE lines")
    return DepositChanges(deposits=tuple(found))


def _of_json(text: str, origin: str) -> DepositChanges:
    document = parse_document(text, "deposits", origin)
    deposits, withdrawn = document.get("deposits"), document.get("withdrawn", [])
    if not isinstance(deposits, list):
        raise BadImageError(f"{origin!r} has no array 'deposits'")
    if not isinstance(withdrawn, list):
        raise BadImageError(f"{origin!r}: 'withdrawn' is no array")
    return DepositChanges(
        deposits=tuple(
            deposit_of_json(raw, f"{origin!r}: deposits[{at}]")
            for at, raw in enumerate(deposits)
        ),
        withdrawn=ExtentSet(
            _span(raw, f"{origin!r}: withdrawn[{at}]")
            for at, raw in enumerate(withdrawn)
        ),
    )


def _span(raw: Any, what: str) -> tuple[int, int]:
    if not isinstance(raw, list) or len(raw) != 2:
        raise BadImageError(f"{what} is {shown_value(raw)}, not [base_pfn, nr_pages]")
    base_pfn, nr_pages = (whole_number(number, what, MAX_PFN) for number in raw)
    if not 0 < nr_pages <= MAX_PFN - base_pfn:
        raise BadImageError(
            f"{what}: {nr_pages:#x} pages at PFN {base_pfn:#x} are none, or beyond "
            f"the limit {MAX_PFN:#x}"
        )
    return base_pfn, base_pfn + nr_pages


def _of_line(line: str, where: str) -> Deposit:
    try:
        return Deposit.from_bytes(*parse_range(line))
    except InputError as exc:
        raise BadImageError(f"{where}: {exc}") from exc
