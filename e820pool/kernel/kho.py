"""Kexec handover: scratch areas are memory, and all that KASLR looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e820pool.extents import ExtentSet

if TYPE_CHECKING:
    from e820pool.extents import Span
    from e820pool.kernel.boot_input import BootInput
    from e820pool.kernel.profiles import Profile

__all__ = ("kho_preserved", "kho_scratch", "reads_kho")


# What a node may be compatible with, and who reads it.
_ABIS = {"kho-v1": "kho-abi-v1", "kho-v4": "kho-abi-v4"}


def kho_scratch(inp: BootInput, profile: Profile) -> tuple[Span, ...]:
    """Return the scratch areas that this kernel takes over."""
    return inp.kho_scratch if inp.kho_scratch and reads_kho(inp, profile) else ()


def kho_preserved(inp: BootInput, profile: Profile) -> ExtentSet:
    """Return the pages that this kernel reserves, as the node wants it.

    They are reserved before anything else is allocated than out of scratch areas.
    Linux 6.18 kernel/kexec_handover.c kho_mem_deserialize(); 7.3
    kernel/liveupdate/kexec_handover.c kho_mem_retrieve().
    """
    pages = inp.kho_preserved
    return pages if not pages or reads_kho(inp, profile) else ExtentSet()


def reads_kho(inp: BootInput, profile: Profile) -> bool:
    """Return whether this kernel takes a SETUP_KEXEC_KHO node over.

    Not without CONFIG_KEXEC_HANDOVER, nor before it existed: the node is then skipped
    like an unknown one. One of another ABI is refused ("disabling KHO revival").
    Linux 6.18 kernel/kexec_handover.c kho_populate().
    """
    if not profile.has("kho-scratch-is-memory") or not profile.config["KEXEC_HANDOVER"]:
        return False
    return not inp.kho_compatible or profile.has(_ABIS.get(inp.kho_compatible, ""))
