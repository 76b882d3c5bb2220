"""Kexec handover: scratch areas are memory, and all that KASLR looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from e820pool.extents import Span
    from e820pool.kernel.boot_input import BootInput
    from e820pool.kernel.profiles import Profile

__all__ = ("kho_scratch",)


def kho_scratch(inp: BootInput, profile: Profile) -> tuple[Span, ...]:
    """Return the scratch areas that this kernel takes over.

    Nothing without CONFIG_KEXEC_HANDOVER, or before it existed: the node is then
    skipped like an unknown one. Linux 6.18 kernel/kexec_handover.c
    kho_populate().
    """
    understood = profile.has("kho-scratch-is-memory")
    if not understood or not profile.config["KEXEC_HANDOVER"]:
        return ()
    return inp.kho_scratch
