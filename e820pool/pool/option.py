"""The command-line option that names a pool's region: ``pmpool=<base>,<size>``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from e820pool.errors import InputError
from e820pool.extents import PAGE_SHIFT, PAGE_SIZE
from e820pool.kernel.cmdline import options

__all__ = (
    "CMA_MIN_ALIGNMENT_BYTES",
    "PmpoolOption",
    "find_pmpool_option",
    "parse_pmpool_option",
)

CMA_MIN_ALIGNMENT_BYTES = 2 << 20
"""One page block of x86-64 with huge pages, to which cma_init_reserved_mem() wants
base and size aligned (include/linux/cma.h, mm/cma.c, 6.1)."""

_PREFIX = "pmpool="
# No x86-64 processor has more than 52 bits of physical address.
_ADDR_LIMIT = 1 << 52
_SHOWN = 80
_NUMBER = re.compile(
    r"(?P<digits>0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)(?P<suffix>[KMGTPEkmgtpe]?)"
)
_SHIFT = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40, "P": 50, "E": 60}


@dataclass(frozen=True, slots=True, kw_only=True)
class PmpoolOption:
    """The physical memory of a pool: bytes ``[base_addr, base_addr + size)``."""

    base_addr: int
    size: int

    def __post_init__(self) -> None:
        if self.base_addr < 0 or self.size <= 0 or self.end_addr > _ADDR_LIMIT:
            raise InputError(
                f"pool at {self.base_addr:#x} with size {self.size:#x} is empty or "
                f"beyond the limit {_ADDR_LIMIT:#x}"
            )
        if (self.base_addr | self.size) % PAGE_SIZE:
            raise InputError(
                f"pool at {self.base_addr:#x} with size {self.size:#x} is not whole "
                f"pages: both must be multiples of {PAGE_SIZE:#x}"
            )

    @property
    def end_addr(self) -> int:
        """Return the exclusive end, in bytes."""
        return self.base_addr + self.size

    @property
    def base_pfn(self) -> int:
        """Return the number of the first page."""
        return self.base_addr >> PAGE_SHIFT

    @property
    def nr_pages(self) -> int:
        """Return the number of 4 KiB pages."""
        return self.size >> PAGE_SHIFT

    @classmethod
    def of_pages(cls, base_pfn: int, nr_pages: int) -> Self:
        """Return the option that names these pages."""
        return cls(base_addr=base_pfn << PAGE_SHIFT, size=nr_pages << PAGE_SHIFT)

    def __str__(self) -> str:
        return f"{_PREFIX}{self.base_addr:#x},{self.size:#x}"


def parse_pmpool_option(text: str) -> PmpoolOption:
    """Return the region that ``pmpool=<base>,<size>`` names.

    Numbers are the kernel's memparse() (lib/cmdline.c, 6.1): decimal, 0x, octal
    after a leading 0, and K M G T P E. Where the original proposal reads on
    silently (any separator, anything after the size, a number above 2^64), this
    refuses.

    Raises:
        InputError: another form, a number above 2^64 - 1, an empty region, or one
            that cma_init_reserved_mem() would refuse as not aligned.
    """
    shown = text[:_SHOWN]
    if not text.startswith(_PREFIX):
        raise InputError(f"{shown!r} is not of the form {_PREFIX}<base>,<size>")
    base, comma, size = text.removeprefix(_PREFIX).partition(",")
    if not comma:
        raise InputError(f"{shown!r} has no size: want {_PREFIX}<base>,<size>")
    option = PmpoolOption(base_addr=_memparse(base), size=_memparse(size))
    if (option.base_addr | option.size) % CMA_MIN_ALIGNMENT_BYTES:
        raise InputError(
            f"{option} is not aligned: base and size must be multiples of "
            f"{CMA_MIN_ALIGNMENT_BYTES:#x}"
        )
    return option


def find_pmpool_option(cmdline: str) -> PmpoolOption | None:
    """Return the region that a command line names, None when it names none.

    Words are split as the kernel splits them; what follows ``--`` is init's.

    Raises:
        InputError: as :func:`parse_pmpool_option`; or there is more than one.
    """
    pools = [
        _PREFIX + (option.value or "")
        for option in options(cmdline)
        if option.name == _PREFIX.rstrip("=")
    ]
    if len(pools) > 1:
        raise InputError(
            f"{len(pools)} pools on the command line, {pools[0][:_SHOWN]} and "
            f"{pools[1][:_SHOWN]}: the limit is 1"
        )
    return parse_pmpool_option(pools[0]) if pools else None


def _memparse(text: str) -> int:
    match = _NUMBER.fullmatch(text) if len(text) <= _SHOWN else None
    if match is None:
        raise InputError(
            f"{text[:_SHOWN]!r} is not a number: want 4096, 0x1000, 4K, 1G"
        )
    digits = match["digits"]
    # int() wants 0o where the kernel is content with a leading 0.
    octal = digits[0] == "0" and digits.isdigit()
    value = int(digits, 8 if octal else 0) << _SHIFT[match["suffix"].upper()]
    if value >= 1 << 64:
        raise InputError(f"{text!r} is {value:#x}: the limit is {(1 << 64) - 1:#x}")
    return value
