"""Build a handoff and place its parts."""

from __future__ import annotations

__all__ = ()
