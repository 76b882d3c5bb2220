"""How the decompressor reads mem=, memmap= and hugepages= of the command line.

It has its own reading of them, other than the kernel's: four regions at most.
Linux 6.1 arch/x86/boot/compressed/kaslr.c handle_mem_options().
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from e820pool.extents import Span
from e820pool.kernel.cmdline import number_rules, options, parse_number, parse_size
from e820pool.kernel.efi_memmap import EFI_MEMORY_SP

if TYPE_CHECKING:
    from e820pool.kernel.cmdline import NumberRules
    from e820pool.kernel.profiles import Profile

__all__ = ("MAX_MEMMAP_REGIONS", "MemOptions", "has_word", "read_mem_options")

MAX_MEMMAP_REGIONS = 4
"""Regions of memmap= that are avoided (4.11 to 7.3)."""

_GIB = 1 << 30
_U64_MAX = (1 << 64) - 1


@dataclass(slots=True, kw_only=True)
class MemOptions:
    """Hold what the options say.

    Attributes:
        limit: memory beyond this address is not used.
        avoided: bytes ``[start, end)``, at most four.
        too_many: a list went on after the fourth region: physical KASLR is off.
        gigantic_pages: 1 GiB pages that hugepages= asks for.
        rules: how numbers are read.
        last_counts: whether of several limits the last one counts, not the smallest.
    """

    limit: int
    rules: NumberRules
    avoided: list[Span] = field(default_factory=list)
    too_many: bool = False
    gigantic_pages: int = 0
    last_counts: bool = False

    def take_limit(self, size: int) -> None:
        """Take a further limit of memory."""
        self.limit = size if self.last_counts else min(self.limit, size)


def has_word(cmdline: str, word: str) -> bool:
    """Return whether a word of its own stands in the command line.

    Words end at any character up to the space; cmdline_find_option_bool().
    """
    plain = "".join(max(" ", char) for char in cmdline)
    return word in plain.split(" ")


def read_mem_options(cmdline: str, profile: Profile, limit: int) -> MemOptions:
    """Return what this kernel's decompressor takes from the command line.

    Args:
        cmdline: the whole line.
        profile: decides which options are read at all.
        limit: the address space's end, MAXMEM.
    """
    last = not profile.has("kaslr-limit-is-smallest")
    found = MemOptions(
        limit=_U64_MAX if last else limit,
        rules=number_rules(profile, decompressor=True),
        last_counts=last,
    )
    if profile.has("kaslr-reads-last-memmap"):
        _read_last_memmap(found, cmdline)
    elif profile.has("kaslr-reads-cmdline"):
        _read_all(found, cmdline, profile)
    return found


def _read_last_memmap(found: MemOptions, cmdline: str) -> None:
    values = [o.value for o in options(cmdline) if o.name == "memmap" and o.value]
    if values:
        _avoid(found, values[-1])


def _read_all(found: MemOptions, cmdline: str, profile: Profile) -> None:
    is_gigantic = False
    for name, value in options(cmdline):
        if name == "memmap":
            _avoid(found, value)
        elif "hugepages" in name and profile.has("kaslr-skips-gigantic-pages"):
            is_gigantic = _hugepages(found, name, value or "", is_gigantic)
        elif name == "mem":
            if value == "nopentium":
                continue
            # Without a value what lies at address 0 is read: hardly ever a number.
            size, _ = parse_size(value or "", found.rules)
            if not size:
                # mem=0 ends the reading of all options.
                return
            found.take_limit(size)
        elif name == "efi_fake_mem" and profile.has("kaslr-reads-efi-fake-mem"):
            _avoid(found, value, efi=True)


# With four regions stored, a further option is not even looked at; a list that is
# not at its end by then turns physical KASLR off.
def _avoid(found: MemOptions, value: str | None, *, efi: bool = False) -> None:
    items = value.split(",") if value is not None else []
    if len(found.avoided) >= MAX_MEMMAP_REGIONS:
        return
    for at, item in enumerate(items):
        region = _region(item, found.rules, efi=efi)
        if region is None:
            return
        addr, size = region
        if not addr:
            if size:
                found.take_limit(size)
            continue
        found.avoided.append(Span.at(addr, size))
        if len(found.avoided) >= MAX_MEMMAP_REGIONS:
            found.too_many = at + 1 < len(items)
            return


# (start, size); start 0 is a limit; None ends the list. parse_memmap().
def _region(item: str, rules: NumberRules, *, efi: bool) -> tuple[int, int] | None:
    if item.startswith("exactmap"):
        return None
    size, rest = parse_size(item, rules)
    if rest == item:
        return None
    sign = rest[:1]
    if sign and sign in "#$!":
        return parse_size(rest[1:], rules)[0], size
    if sign == "@":
        return _fake_memory(size, rest[1:], rules) if efi else (0, 0)
    return 0, size


# efi_fake_mem=nn@ss:attribute counts when it makes memory special-purpose.
def _fake_memory(size: int, rest: str, rules: NumberRules) -> tuple[int, int]:
    addr, rest = parse_size(rest, rules)
    attribute, behind = 0, ""
    if rest.startswith(":"):
        attribute, behind = parse_number(rest[1:], rules)
    if not behind and attribute & EFI_MEMORY_SP:
        return addr, size
    return 0, 0


def _hugepages(found: MemOptions, name: str, value: str, is_gigantic: bool) -> bool:
    if name == "hugepagesz":
        return parse_size(value, found.rules)[0] == _GIB
    if name == "hugepages" and is_gigantic:
        found.gigantic_pages = parse_number(value, found.rules)[0]
    return is_gigantic
