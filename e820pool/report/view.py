"""A KernelView in words and as JSON, types as that kernel prints them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from e820pool.abi.e820 import E820_TYPE_RAM, E820_TYPE_RESERVED_KERN
from e820pool.findings import finding_value
from e820pool.report.jsons import extent_values, span_value
from e820pool.type_words import log_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e820pool.kernel.view import KaslrSlots, KernelView, Row
    from e820pool.type_words import LogDialect

__all__ = ("mem_range", "view_json", "view_record", "view_text")


def _rows(rows: tuple[Row, ...] | None) -> list[list[int]] | None:
    return None if rows is None else [list(row) for row in rows]


def view_record(view: KernelView) -> dict[str, Any]:
    """Return the fields of the bulk form, and more, as plain values."""
    told: dict[str, Any] = {
        "schema": 1,
        "kind": "kernel-view",
        "kernel": view.kernel,
        "engine": view.engine,
        "map_source": view.map_source,
        "bios_map": _rows(view.bios_map),
        "extended_map": _rows(view.extended_map),
        "user_map": _rows(view.user_map),
        "memory": [[span.start, span.size] for span in view.memory],
        "firmware_map": _rows(view.firmware_map),
        "dropped": _rows(view.dropped),
        "fatal": view.fatal,
        "warnings": list(view.warnings),
        "kernel_range": span_value(view.kernel_range),
        "load_window": span_value(view.load_window),
        "findings": [finding_value(one) for one in view.findings],
    }
    if view.kaslr is not None:
        told["kaslr"] = {
            "enabled": view.kaslr.enabled,
            "reason": view.kaslr.reason,
            "step": view.kaslr.step,
            "image_size": view.kaslr.image_size,
            "areas": [list(area) for area in view.kaslr.areas],
            "nr_slots": view.kaslr.nr_slots,
        }
    for name in ("touched", "touched_deposits"):
        pages = getattr(view, name)
        if pages is not None:
            told[name] = extent_values(pages)
    return told


def view_json(view: KernelView) -> str:
    """Return the JSON twin, kind ``kernel-view``."""
    return json.dumps(view_record(view))


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


def _map_lines(name: str, rows: tuple[Row, ...], dialect: LogDialect) -> list[str]:
    shown = [f"  {mem_range(a, s)} {_kind(t, dialect)}" for a, s, t in rows]
    return [f"{name}: {len(rows)} entries", *shown]


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
