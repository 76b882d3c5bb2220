"""A KernelView in words and as JSON, types as that kernel prints them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType

from e820pool.abi.e820 import E820_TYPE_RAM, E820_TYPE_RESERVED_KERN
from e820pool.compat.verdict_documents import VerdictDocument
from e820pool.documents import (
    CheckedRow,
    Count,
    Document,
    FindingDocument,
    Pair,
    Part,
    document_line,
)
from e820pool.extents import ExtentSet
from e820pool.findings import counted
from e820pool.type_words import log_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.compat import Verdict
    from e820pool.kernel.view import KaslrSlots, KernelView
    from e820pool.type_words import LogDialect

__all__ = (
    "KaslrPart",
    "ViewDocument",
    "mem_range",
    "view_document",
    "view_json",
    "view_text",
)


class KaslrPart(Part, frozen=True, kw_only=True):
    """Where KASLR may put the kernel; see :class:`e820pool.kernel.view.KaslrSlots`."""

    enabled: bool
    reason: str
    step: Count
    image_size: Count
    areas: tuple[tuple[Count, ...], ...]
    nr_slots: Count


class ViewDocument(Document, frozen=True, kw_only=True, tag="kernel-view"):
    """What a kernel made of a handoff; see :class:`e820pool.kernel.view.KernelView`.

    Maps are rows ``[addr, size, type]``, null where the kernel has none; ``memory`` is
    ``[start, size]``, ranges ``[start, end]`` in bytes; pages ``[base_pfn, nr_pages]``.
    """

    kernel: str
    engine: str
    map_source: str
    bios_map: tuple[CheckedRow, ...] | None
    extended_map: tuple[CheckedRow, ...] | None
    user_map: tuple[CheckedRow, ...] | None
    memory: tuple[Pair, ...]
    firmware_map: tuple[CheckedRow, ...] | None
    dropped: tuple[CheckedRow, ...] | None
    fatal: str | None
    warnings: tuple[str, ...]
    kernel_range: Pair | None
    load_window: Pair | None
    findings: tuple[FindingDocument, ...]
    kaslr: KaslrPart | UnsetType = UNSET
    touched: ExtentSet | UnsetType = UNSET
    touched_deposits: ExtentSet | UnsetType = UNSET
    verdict: VerdictDocument | UnsetType = UNSET


def view_document(view: KernelView, verdict: Verdict | None = None) -> ViewDocument:
    """Return the document of a view, with the verdict on it if there is one."""
    return ViewDocument.of_attributes(
        view,
        memory=tuple((span.start, span.size) for span in view.memory),
        findings=FindingDocument.all_of(view.findings),
        kaslr=UNSET if view.kaslr is None else KaslrPart.of_attributes(view.kaslr),
        touched=UNSET if view.touched is None else view.touched,
        touched_deposits=UNSET
        if view.touched_deposits is None
        else view.touched_deposits,
        verdict=UNSET if verdict is None else VerdictDocument.of(verdict),
    )


def view_json(view: KernelView, verdict: Verdict | None = None) -> str:
    """Return the JSON twin on one line, kind ``kernel-view``."""
    return document_line(view_document(view, verdict))


def view_text(view: KernelView) -> str:
    """Return the maps as lines, each with a heading, then memory and KASLR."""
    words = _words_of(view.kernel)
    lines = [f"Linux {view.kernel} ({view.engine}), map from {view.map_source}"]
    for name, rows in (
        ("first map", view.bios_map),
        ("after SETUP_E820_EXT", view.extended_map),
        ("after mem= and memmap=", view.user_map),
    ):
        if rows is not None:
            lines += _map_lines(name, rows, words)
    lines.append(f"memory: {sum(span.size for span in view.memory) >> 20} MiB")
    lines += [f"  {mem_range(span.start, span.size)}" for span in view.memory]
    if view.dropped:
        lines += _map_lines("dropped", view.dropped, words)
    return "\n".join([*lines, *_footnotes(view)])


def _footnotes(view: KernelView) -> Iterator[str]:
    for name, span in (
        ("kernel image", view.kernel_range),
        ("decompressor works in", view.load_window),
    ):
        if span is not None:
            yield f"{name}: {mem_range(span[0], span[1] - span[0])}"
    if view.kaslr is not None:
        yield _kaslr_line(view.kaslr)
    if view.touched_deposits is not None:
        yield f"touched deposited pages: {view.touched_deposits.nr_pages}"
    for warning in view.warnings:
        yield f"the kernel warns: {warning}"
    if view.fatal is not None:
        yield f"the boot ends: {view.fatal}"


# The words of 3.5 changed in 7.0; those before differ in punctuation only.
def _words_of(release: str) -> LogDialect:
    major = release.partition(".")[0]
    return "7.0" if major.isdecimal() and int(major) >= 7 else "3.5"


def _map_lines(
    name: str, rows: tuple[CheckedRow, ...], dialect: LogDialect
) -> list[str]:
    shown = [f"  {mem_range(a, s)} {_kind(t, dialect)}" for a, s, t in rows]
    return [f"{name}: {counted(len(rows), 'entry')}", *shown]


def mem_range(addr: int, size: int) -> str:
    """Return a range as kernels print it, what is empty or ends at 2^64 too."""
    return f"[mem {addr:#018x}-{(addr + size - 1) % (1 << 64):#018x}]"


def _kind(kind: int, dialect: LogDialect) -> str:
    # Which entries were marked is worth more than the word, which may hide it.
    words = log_words(kind, dialect)
    hides = kind == E820_TYPE_RESERVED_KERN and words == log_words(
        E820_TYPE_RAM, dialect
    )
    return f"{words} (type {kind})" if hides else words


def _kaslr_line(slots: KaslrSlots) -> str:
    if not slots.enabled:
        return f"KASLR: off ({slots.reason or 'no slot'})"
    return (
        f"KASLR: {slots.nr_slots} possible load addresses in {len(slots.areas)} areas"
    )
