"""Values as text that people, kernels and other tools read."""

from __future__ import annotations

__all__ = ()
