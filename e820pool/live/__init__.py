"""This machine's own next kernel: plan its handoff, check it, load it, start it."""

from __future__ import annotations

__all__: tuple[str, ...] = ()
