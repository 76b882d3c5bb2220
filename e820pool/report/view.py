"""A KernelView in words and as JSON, types as that kernel prints them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from e820pool.report.jsons import finding_value

if TYPE_CHECKING:
    from e820pool.kernel.view import KernelView, Row

__all__ = ("view_json", "view_record", "view_text")


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
        "memory": [list(row) for row in view.memory],
        "firmware_map": _rows(view.firmware_map),
        "dropped": _rows(view.dropped),
        "fatal": view.fatal,
        "kernel_range": None if view.kernel_range is None else list(view.kernel_range),
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
            told[name] = [list(pair) for pair in pages.pairs()]
    return told


def view_json(view: KernelView) -> str:
    """Return the JSON twin, kind ``kernel-view``."""
    return json.dumps(view_record(view))


def view_text(view: KernelView) -> str:
    """Return the maps as lines, each with a heading, then memory and KASLR."""
    lines = [f"Linux {view.kernel} ({view.engine}), map from {view.map_source}"]
    lines += _map_lines("first map", view.bios_map)
    for name, rows in (
        ("after SETUP_E820_EXT", view.extended_map),
        ("after mem= and memmap=", view.user_map),
    ):
        if rows is not None:
            lines += _map_lines(name, rows)
    lines.append(f"memory: {sum(size for _, size in view.memory) >> 20} MiB")
    lines += [f"  [mem {a:#018x}-{a + s - 1:#018x}]" for a, s in view.memory]
    if view.dropped:
        lines += _map_lines("dropped", view.dropped)
    if view.kaslr is not None:
        lines.append(_kaslr_line(view))
    if view.touched_deposits is not None:
        lines.append(f"touched deposited pages: {view.touched_deposits.nr_pages}")
    if view.fatal is not None:
        lines.append(f"the boot ends: {view.fatal}")
    return "\n".join(lines)


def _map_lines(name: str, rows: tuple[Row, ...]) -> list[str]:
    shown = [f"  [mem {a:#018x}-{a + s - 1:#018x}] type {t}" for a, s, t in rows]
    return [f"{name}: {len(rows)} entries", *shown]


def _kaslr_line(view: KernelView) -> str:
    slots = view.kaslr
    if slots is None or not slots.enabled:
        return f"KASLR: off ({slots.reason if slots else 'not known'})"
    return (
        f"KASLR: {slots.nr_slots} possible load addresses in {len(slots.areas)} areas"
    )
