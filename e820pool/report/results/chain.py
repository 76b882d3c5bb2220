"""Read a chain of kexecs back from JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.abi.e820 import table_of
from e820pool.errors import BadImageError, InputError
from e820pool.extents import ExtentSet
from e820pool.memory_map import MemoryMap
from e820pool.report.results.judged import differences_of, finding_of, verdict_at
from e820pool.report.results.model import ChainChapter, HopStep

if TYPE_CHECKING:
    from e820pool.report.results.model import PoolWord
    from e820pool.sources.json_fields import Fields

__all__ = ("chain_chapter",)


def chain_chapter(found: Fields, origin: str) -> ChainChapter:
    """Return the chapter of a document of kind ``chain``."""
    hops = tuple(_hop(one) for one in found.parts("hops"))
    if not hops:
        raise BadImageError(f"{found.where}: a chain of 0 hops tells nothing")
    return ChainChapter(
        origin=origin,
        carrier=found.text("carrier"),
        loaders=found.texts("loaders"),
        hops=hops,
        nr_touched=_pages(found, "touched_deposits"),
        stopped=found.text("stopped") if found.has("stopped") else "",
        is_intact=found.flag("intact"),
    )


def _hop(found: Fields) -> HopStep:
    pool = found.part("pool") if found.has("pool") else None
    deposits = _extents(found, "deposits")
    kernel = found.text("kernel")
    return HopStep(
        kernel=kernel,
        entered=found.text("entered"),
        nr_entries=found.count("nr_entries"),
        table=_table(found, f"table of {kernel}"),
        deposits=deposits,
        nr_touched=_pages(found, "touched_deposits"),
        pool=_pool_word(pool) if deposits else "none",
        carrier=pool.text("carrier") if pool else "",
        pool_findings=tuple(finding_of(one) for one in pool.parts("findings"))
        if pool
        else (),
        predicted=verdict_at(found.part("predicted"))
        if found.has("predicted")
        else None,
        differences=differences_of(found, "model", "machine"),
        nr_made=_pages(found, "made"),
        nr_withdrawn=_pages(found, "withdrawn"),
        nr_used_again=_pages(found, "used_again"),
        seconds=found.real("seconds"),
    )


def _pool_word(pool: Fields | None) -> PoolWord:
    if pool is None or not pool.has("extents"):
        return "refused"
    return "equal" if pool.flag("equal") else "other"


def _table(found: Fields, origin: str) -> MemoryMap:
    try:
        rows = ((addr, size, kind) for addr, size, kind in found.rows("table", 3))
        return MemoryMap(entries=table_of(rows), origin=origin)
    except InputError as exc:
        raise BadImageError(f"{found.where}: table: {exc}") from exc


def _pages(found: Fields, key: str) -> int:
    return _extents(found, key).nr_pages


def _extents(found: Fields, key: str) -> ExtentSet:
    try:
        return ExtentSet((start, start + count) for start, count in found.rows(key, 2))
    except InputError as exc:
        raise BadImageError(f"{found.where}: {key}: {exc}") from exc
