"""How a given kernel reads a handoff, from the zero page to its memory."""

from __future__ import annotations

__all__ = ()
