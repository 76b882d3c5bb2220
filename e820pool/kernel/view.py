"""What one kernel, modelled or real, made of a handoff."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from e820pool.extents import PAGE_SHIFT, ByteRangeSet, ExtentSet, RangeSet

if TYPE_CHECKING:
    from e820pool.extents import Span
    from e820pool.findings import Finding
    from e820pool.range_lists import Row, StartCount, StartEnd

__all__ = (
    "BootEnd",
    "KaslrSlots",
    "KernelView",
    "MapSource",
)


# The ways in which a boot ends: each has an id, words for people, and a source.


@dataclass(frozen=True, slots=True, kw_only=True)
class BootEnd:
    """A way for a boot to end; it stands beside the step of the kernel that ends it.

    Attributes:
        id: the stable name by which code knows it.
        words: why the boot ends, for people; a panic's own words where it has some.
        source: where it was read: release, file, function.
    """

    id: str
    words: str
    source: str


MapSource = Literal["BIOS-e820", "BIOS-e801", "BIOS-88"]
"""What the kernel calls its first map; the latter two are fallback maps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KaslrSlots:
    """Where the decompressor may put the kernel.

    Attributes:
        enabled: False when the kernel stays where it was loaded.
        areas: ``(first_addr, nr_slots)``: load addresses ``first_addr + i * step``.
        step: bytes between slots (CONFIG_PHYSICAL_ALIGN).
        image_size: bytes that a chosen slot covers from its address on.
        reason: why physical KASLR is off, or "".
        known: False when the map that decides is not part of the handoff.
    """

    enabled: bool
    areas: tuple[StartCount, ...] = ()
    step: int = 1 << 21
    image_size: int = 0
    reason: str = ""
    known: bool = True

    @property
    def nr_slots(self) -> int:
        """Return the number of possible load addresses."""
        return sum(count for _, count in self.areas)

    def slots_over(self, deposits: ByteRangeSet) -> tuple[int, ByteRangeSet]:
        """Return how many slots cover deposited bytes, and the bytes they cover.

        A slot at address a covers ``[a, a + image_size)``; the arithmetic is
        done on runs of slots, not slot by slot.
        """
        hits, landed = 0, []
        for first, count in self.areas:
            bad = _slots_hit(first, count, self.step, self.image_size, deposits)
            for low, high in bad:
                hits += high - low
                start = first + low * self.step
                landed.append((start, first + (high - 1) * self.step + self.image_size))
        return hits, ByteRangeSet(landed)


def _slots_hit(
    first: int, count: int, step: int, size: int, deposits: ByteRangeSet
) -> list[StartEnd]:
    # Slot i covers [first + i*step, + size): i of a deposit [s, e) runs from the
    # first with end above s to the last that starts below e.
    runs = []
    span = (first, first + (count - 1) * step + size)
    for start, end in deposits & ByteRangeSet([span]):
        low = max(0, (start - first - size) // step + 1)
        high = min(count, -(-(end - first) // step))
        if low < high:
            runs.append((low, high))
    return list(RangeSet(runs))


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelView:
    """One kernel's reading of a handoff; the model and the lab return it.

    The maps hold types as the kernel's table does; :mod:`e820pool.report` shows
    them as that kernel prints them.

    Attributes:
        kernel: release, for example ``6.1`` or ``6.1.0-52-cloud-amd64``.
        engine: ``model`` or ``machine``.
        map_source: the name under which the kernel prints its first map.
        bios_map: the table after the zero page was read (and sanitised).
        extended_map: after SETUP_E820_EXT, None when there is no such node.
        setup_data_map: after the setup_data nodes were marked in the table
            (type 128), None where that kernel does not mark them.
        user_map: after mem= and memmap=, None when there are none.
        table: the kernel's final e820 table of early boot.
        memory: memblock.memory in bytes, page-rounded.
        firmware_map: what /sys/firmware/memmap shows, None when not known.
        kexec_map: the table that kexec_file_load() passes on, None when not known.
        dropped: rows that were ignored or cut because a table was full, or
            because the kernel refused them.
        warnings: what the kernel printed about the table (stable words).
        fatal: why the boot cannot go on, for people; None when it does.
        end: which of the ends that are known it is; None also where a real kernel
            said something else.
        kernel_range: bytes ``[start, end)`` that the running kernel image fills,
            and that it forces to RAM; None when not known.
        load_window: bytes in which the decompressor works before it has read any
            map, None when not known.
        kaslr: where the decompressor may put the kernel (model only).
        touched: pages ever read or written (machine only).
        touched_deposits: of those, deposited ones (machine only).
        findings: what the engine itself has to say (machine: written or read).
    """

    kernel: str
    engine: Literal["model", "machine"] = "model"
    map_source: MapSource = "BIOS-e820"
    bios_map: tuple[Row, ...] = ()
    extended_map: tuple[Row, ...] | None = None
    setup_data_map: tuple[Row, ...] | None = None
    user_map: tuple[Row, ...] | None = None
    table: tuple[Row, ...] = ()
    memory: tuple[Span, ...] = ()
    firmware_map: tuple[Row, ...] | None = None
    kexec_map: tuple[Row, ...] | None = None
    dropped: tuple[Row, ...] = ()
    warnings: tuple[str, ...] = ()
    fatal: str | None = None
    end: BootEnd | None = None
    kernel_range: Span | None = None
    load_window: Span | None = None
    kaslr: KaslrSlots | None = None
    touched: ExtentSet | None = None
    touched_deposits: ExtentSet | None = None
    findings: tuple[Finding, ...] = field(default=())

    def of_kernel(self, kernel: str) -> KernelView:
        """Return the same view of another kernel."""
        # A third of what dataclasses.replace() costs, which asks each field how it is
        # made: many kernels have the same view.
        other = object.__new__(KernelView)
        for name in KernelView.__slots__:
            object.__setattr__(other, name, getattr(self, name))
        object.__setattr__(other, "kernel", kernel)
        return other

    def usable_pages(self) -> ExtentSet:
        """Return the pages the kernel would give to its allocators."""
        pages = [(start >> PAGE_SHIFT, end >> PAGE_SHIFT) for start, end in self.memory]
        return ExtentSet.of_valid(pages) if self.engine == "model" else ExtentSet(pages)
