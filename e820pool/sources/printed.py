"""Find the map in a text that another program than a Linux kernel printed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import starmap
from typing import TYPE_CHECKING

from e820pool.errors import BadImageError
from e820pool.sources.efi_text import EFI_FORMS, as_e820
from e820pool.sources.firmware_memmap import MEMMAP_SCRIPT
from e820pool.sources.kexec_debug import KEXEC, kexec_maps
from e820pool.sources.loader_maps import COREBOOT, FREEBSD, GRUB, SEABIOS
from e820pool.sources.log_text import clean_lines
from e820pool.sources.oddities import note
from e820pool.sources.printed_map import choose_map, map_of_printed, printed_maps
from e820pool.sources.xen_log import SUSE_BIOS, XEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from e820pool.findings import Finding
    from e820pool.memory_map import MemoryMap
    from e820pool.sources.log_text import Piece
    from e820pool.sources.printed_map import PrintedForm, PrintedMap

__all__ = ("PrintedLists", "printed_lists")

# The best first: what shows the machine where a kernel's log does not, then the tables
# that were handed on, then firmware's and loaders'.
_FORMS = (
    *(XEN, SUSE_BIOS, KEXEC, MEMMAP_SCRIPT, SEABIOS, COREBOOT, GRUB, FREEBSD),
    *EFI_FORMS,
)
_OTHERS_SHOWN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedLists:
    """The maps that a text has in forms other than a kernel's log.

    Attributes:
        chosen: the one to read, None if there is none.
        notes: which of several of its form it is.
        others: the others, the best first.
    """

    chosen: PrintedMap | None = None
    notes: tuple[Finding, ...] = ()
    others: tuple[PrintedMap, ...] = ()

    @property
    def is_machine(self) -> bool:
        """Return whether it is the machine's, and a kernel's beside it is not."""
        return self.chosen is not None and self.chosen.form.is_machine

    def read(self, origin: str) -> MemoryMap:
        """Return the chosen map; BadImageError if it has no whole entry."""
        if self.chosen is None:
            raise BadImageError(f"{origin!r} has no printed map")
        chosen = map_of_printed(self.chosen, origin)
        return replace(chosen, notes=(*self.notes, *chosen.notes, *self.named()))

    def named(self, *, all_of_them: bool = False) -> Iterator[Finding]:
        """Yield the note that names the maps of the text that are not read."""
        first = (self.chosen,) if all_of_them and self.chosen is not None else ()
        # "efi: Remove mem25" speaks of a list, and is none.
        others = [printed for printed in (*first, *self.others) if printed.rows]
        if others:
            shown = "; ".join(map(str, others[:_OTHERS_SHOWN]))
            more = f" and {len(others) - _OTHERS_SHOWN} more" * (
                len(others) > _OTHERS_SHOWN
            )
            yield note("other-maps", f"the text also has {shown}{more}: not read")


def printed_lists(text: str, pieces: Iterable[Piece] | None = None) -> PrintedLists:
    """Return the maps that a text has in any of the forms that are known here.

    Args:
        text: all of it.
        pieces: the same with the numbers of its lines, where they do not count from 1.
    """
    forms = [form for form in _FORMS if any(sign in text for sign in form.signs)]
    if not forms:
        return PrintedLists()
    maps = printed_maps(clean_lines(text if pieces is None else pieces), forms)
    of_forms = ((form, [m for m in maps if m.form is form]) for form in forms)
    groups = [group for group in starmap(_sorted, of_forms) if group[0]]
    if not groups:
        return PrintedLists()
    # A form of which a text has only broken lines comes after one with entries.
    groups.sort(key=lambda group: not any(printed.rows for printed in group[0]))
    chosen, notes = choose_map(groups[0][0])
    others = [*groups[0][1], *(choose_map(best)[0] for best, _ in groups[1:])]
    return PrintedLists(chosen=chosen, notes=tuple(notes), others=tuple(others))


def _sorted(
    form: PrintedForm, maps: Sequence[PrintedMap]
) -> tuple[list[PrintedMap], list[PrintedMap]]:
    # The maps of which one is to be read, and those that are something else.
    if form is KEXEC:
        return kexec_maps(maps)
    if form is XEN:
        final = [m for m in maps if not m.title.startswith("Initial")]
        return final or list(maps), [m for m in maps if final and m not in final]
    if form in EFI_FORMS:
        return [as_e820(printed) for printed in maps], []
    return list(maps), []
