"""Owners that mean something to the pool itself."""

from __future__ import annotations

from e820pool.errors import InputError

__all__ = ("FREE_OWNER", "RECORD_OWNER", "validate_owner")

# Neither 0 (a deposit of which nobody said whose it is) nor 2^64 - 1
# (HV_PARTITION_ID_SELF, include/asm-generic/hyperv-tlfs.h, 6.1) can mean these: a
# page is free only where somebody wrote so.
FREE_OWNER = int.from_bytes(b"poolfree", "little")
"""Owner of pages that the pool holds and nobody uses: 0x6565_7266_6c6f_6f70."""

RECORD_OWNER = int.from_bytes(b"poolmeta", "little")
"""Owner of pages that hold the pool's own record: 0x6174_656d_6c6f_6f70."""

_OWNER_LIMIT = (1 << 64) - 1


def validate_owner(owner: int) -> None:
    """Raise InputError for an owner that is no u64, or one of the pool's own."""
    if not 0 <= owner <= _OWNER_LIMIT:
        raise InputError(f"owner {owner:#x}: the limits are 0 and {_OWNER_LIMIT:#x}")
    if owner in (FREE_OWNER, RECORD_OWNER):
        raise InputError(f"owner {owner:#x} is the pool's own: no page is given to it")
