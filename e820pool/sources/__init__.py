"""Readers of real inputs, one file a format, told apart by content."""

from __future__ import annotations

from e820pool.sources.recognise import read_live, read_map

__all__ = ("read_live", "read_map")
