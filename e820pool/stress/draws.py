"""Draws that a seed decides, the same with every Python and numpy: SplitMix64.

The n-th draw is a function of the seed and n alone, so that single draws and whole
arrays come from one sequence.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    U64 = NDArray[np.uint64]

__all__ = ("Draws",)

_MASK = (1 << 64) - 1
# Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014).
_STEP = 0x9E37_79B9_7F4A_7C15
_MIX = ((30, 0xBF58_476D_1CE4_E5B9), (27, 0x94D0_49BB_1331_11EB))


class Draws:
    """Numbers drawn from the sequence that ``seed`` names."""

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = _mixed((seed ^ _STEP) & _MASK)

    def fork(self, name: int) -> Draws:
        """Return a sequence of its own for one purpose; this one does not move."""
        return Draws(_mixed((self._state + (name + 1) * _STEP) & _MASK))

    def bits(self) -> int:
        """Return the next 64 bits."""
        self._state = (self._state + _STEP) & _MASK
        return _mixed(self._state)

    def below(self, limit: int) -> int:
        """Return an integer of ``[0, limit)``; the bias is below ``limit / 2^64``."""
        return (self.bits() * limit) >> 64

    def unit(self) -> float:
        """Return a float of ``[0, 1)``."""
        return (self.bits() >> 11) / (1 << 53)

    def exponential(self, mean: float) -> float:
        """Return a waiting time of that mean."""
        return -mean * math.log1p(-self.unit())

    def geometric(self, mean: float) -> int:
        """Return a count of 0 or more with that mean."""
        if mean <= 0:
            return 0
        return int(math.log1p(-self.unit()) / math.log(mean / (1 + mean)))

    def many_below(self, limit: int, count: int) -> U64:
        """Return the next ``count`` draws below ``limit``."""
        steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_STEP)
        values = steps + np.uint64(self._state)
        self._state = (self._state + count * _STEP) & _MASK
        for shift, factor in _MIX:
            values ^= values >> np.uint64(shift)
            values *= np.uint64(factor)
        values ^= values >> np.uint64(31)
        return _scaled(values, limit)


def _mixed(value: int) -> int:
    for shift, factor in _MIX:
        value = ((value ^ (value >> shift)) * factor) & _MASK
    return value ^ (value >> 31)


# The high 64 bits of a product of 64 and up to 64 bits, in parts of 32.
def _scaled(values: U64, limit: int) -> U64:
    low32 = np.uint64(0xFFFF_FFFF)
    half = np.uint64(32)
    high, low = np.uint64(limit >> 32), np.uint64(limit & 0xFFFF_FFFF)
    value_high, value_low = values >> half, values & low32
    middle = value_high * low + ((value_low * low) >> half)
    carry = (middle & low32) + value_low * high
    scaled: U64 = value_high * high + (middle >> half) + (carry >> half)
    return scaled
