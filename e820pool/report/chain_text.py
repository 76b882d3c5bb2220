"""A chain of kexecs, hop by hop, as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.compat.verdict_documents import VerdictDocument
from e820pool.documents import FindingDocument, document_text
from e820pool.findings import counted
from e820pool.report.chapters import (
    ChainDocument,
    DumpDocument,
    HopDocument,
    PoolDocument,
)
from e820pool.report.columns import columns
from e820pool.report.verdicts import finding_line, judged_on_lines

if TYPE_CHECKING:
    from e820pool.lab.chain_model import ChainRecord, Dump, Hop

__all__ = ("chain_json", "chain_text", "hop_line")

_HEADERS = (
    "kernel",
    "entered by",
    "entries",
    "deposited",
    "touched",
    "pool",
    "model",
    "deposits",
)


def chain_text(record: ChainRecord, width: int | None = None) -> str:
    """Return one line a kernel, then what is to be said of each, then the end.

    ``width`` is what a line has room for, None for any.
    """
    table = columns([_row(hop) for hop in record.hops], _HEADERS, width=width)
    remarks = [line for hop in record.hops for line in _remarks(hop)]
    judged_on = judged_on_lines([hop.predicted for hop in record.hops if hop.predicted])
    return "\n".join([table, "", *remarks, *judged_on, _end(record)])


def hop_line(hop: Hop) -> str:
    """Return one hop as a line of progress."""
    deposited = hop.given.extents.nr_pages
    return (
        f"{hop.kernel} by {hop.entered}: {counted(hop.nr_entries, 'entry')}, "
        f"{counted(deposited, 'page')} deposited, {hop.touched.nr_pages} touched, "
        f"pool {_pool_word(hop)} ({hop.seconds:.0f} s)"
    )


def chain_json(record: ChainRecord) -> str:
    """Return the JSON twin, kind ``chain``."""
    return document_text(_document(record))


def _document(record: ChainRecord) -> ChainDocument:
    options = record.options
    return ChainDocument(
        loaders=tuple(options.loaders),
        carrier=options.carrier,
        hops=tuple(_hop_document(hop) for hop in record.hops),
        touched_deposits=record.touched,
        stopped=record.stopped or None,
        intact=record.is_intact,
    )


def _row(hop: Hop) -> list[str]:
    return [
        hop.kernel,
        hop.entered,
        str(hop.nr_entries),
        counted(hop.given.extents.nr_pages, "page"),
        f"{hop.touched.nr_pages}",
        _pool_word(hop),
        hop.predicted.verdict if hop.predicted else "unknown",
        f"{counted(hop.made.nr_pages, 'page')} in {hop.nr_made}" if hop.made else "-",
    ]


def _pool_word(hop: Hop) -> str:
    document = _hop_document(hop)
    words = {"none": "-", "equal": f"equal ({document.pool_carrier})"}
    return words.get(document.pool_word, document.pool_word)


def _remarks(hop: Hop) -> list[str]:
    lines = []
    if hop.withdrawn:
        lines.append(
            f"{hop.kernel}: {counted(hop.withdrawn.nr_pages, 'page')} withdrawn, "
            f"{hop.used_again.nr_pages} of them are in use again"
        )
    if hop.late:
        lines.append(
            f"{hop.kernel}: {counted(hop.late.nr_pages, 'page')} deposited after it "
            f"was loaded, {hop.touched_late.nr_pages} of them touched"
        )
    if hop.returned is not None:
        lines.append(
            f"{hop.kernel}: a live update brought "
            f"{counted(hop.returned.nr_pages, 'page')} back, "
            f"{(hop.returned & hop.given.extents).nr_pages} of them deposited"
        )
    if hop.dump is not None:
        lines.append(_dump_line(hop, hop.dump))
    lines += [
        f"{hop.kernel}: model and machine differ in {difference.field}: "
        f"{difference.model}; {difference.machine}"
        for difference in hop.differences
    ]
    judged = hop.predicted is not None and hop.predicted.verdict != "safe"
    findings = (
        *(hop.predicted.findings if hop.predicted is not None and judged else ()),
        *(hop.rebuilt.findings if hop.rebuilt is not None else ()),
    )
    return lines + [f"{hop.kernel}: {finding_line(f).strip()}" for f in findings]


def _dump_line(hop: Hop, dump: Dump) -> str:
    if not dump.held:
        return f"{hop.kernel}: no dump: {hop.view.fatal or 'it made no /proc/vmcore'}"
    pages = dump.held.pages_touched()
    return (
        f"{hop.kernel}: its dump holds {counted(pages.nr_pages, 'page')} of RAM, "
        f"{(pages & hop.given.extents).nr_pages} of them deposited"
    )


def _end(record: ChainRecord) -> str:
    if record.stopped:
        return f"stopped: {record.stopped}"
    if record.is_intact:
        return (
            f"intact over {counted(len(record.hops), 'kernel')}: no deposited page "
            "was touched"
        )
    if record.touched:
        touched = counted(record.touched.nr_pages, "deposited page")
        return f"not intact: {touched} touched"
    return f"not intact: {_document(record).loss}; no deposited page was touched"


def _hop_document(hop: Hop) -> HopDocument:
    predicted = hop.predicted
    return HopDocument.of_attributes(
        hop,
        deposits=hop.given.extents,
        touched_deposits=hop.touched,
        table=tuple(hop.view.table),
        pool=None
        if hop.rebuilt is None
        else PoolDocument.of_attributes(
            hop.rebuilt,
            equal=hop.is_rebuilt_equal,
            extents=None if hop.rebuilt.ledger is None else hop.rebuilt.ledger.extents,
            findings=FindingDocument.all_of(hop.rebuilt.findings),
        ),
        predicted=None if predicted is None else VerdictDocument.of(predicted),
        differences=hop.differences,
        dump=None
        if hop.dump is None
        else DumpDocument(
            pages=hop.dump.held.pages_touched(),
            expected_pages=hop.dump.expected.pages_touched(),
            nr_bytes=hop.dump.nr_bytes,
        ),
        fatal=hop.view.fatal,
        seconds=round(hop.seconds, 3),
    )
