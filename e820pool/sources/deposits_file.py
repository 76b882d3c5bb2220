"""Read a list of deposits from a file: our JSON, or one range a line."""

from __future__ import annotations

from pathlib import Path

from e820pool.deposits import Deposit, parse_range
from e820pool.errors import BadImageError, InputError
from e820pool.sources.files import read_file
from e820pool.sources.json_text import parse_document
from e820pool.sources.log_text import decode_text
from e820pool.sources.manifest import deposit_of_json

__all__ = ("read_deposits",)


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
    text = decode_text(read_file(path), str(path))
    if text.lstrip()[:1] == "{":
        return _of_json(text, str(path))
    found = [
        _of_line(line, f"{str(path)!r} line {number}")
        for number, raw in enumerate(text.splitlines(), 1)
        if (line := raw.partition("#")[0].strip())
    ]
    if not found:
        raise BadImageError(f"{str(path)!r} names 0 deposits: want START+SIZE lines")
    return found


def _of_json(text: str, origin: str) -> list[Deposit]:
    deposits = parse_document(text, "deposits", origin).get("deposits")
    if not isinstance(deposits, list):
        raise BadImageError(f"{origin!r} has no array 'deposits'")
    return [
        deposit_of_json(raw, f"{origin!r}: deposits[{at}]")
        for at, raw in enumerate(deposits)
    ]


def _of_line(line: str, where: str) -> Deposit:
    try:
        return Deposit.from_bytes(*parse_range(line))
    except InputError as exc:
        raise BadImageError(f"{where}: {exc}") from exc
