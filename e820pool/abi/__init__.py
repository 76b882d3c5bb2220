"""Bytes to values and back: every binary layout, and the only users of construct.

Import the module of the layout that is wanted; this package imports none of them,
so that a user of one does not pay for the others.
"""

from __future__ import annotations

__all__ = ()
