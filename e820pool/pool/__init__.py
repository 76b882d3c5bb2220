"""Pages that outlive a kexec: allocate, deposit, withdraw, rebuild.

Import the module that is wanted; this package imports none of them.
"""

from __future__ import annotations

__all__ = ()
