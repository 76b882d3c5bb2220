"""The suite's own Hypothesis strategies, beside those that the package has for all."""

from dataclasses import fields, is_dataclass

from construct import Bytes
from hypothesis import strategies as st

from e820pool.strategies import (
    any_rows,
    deposited_machines,
    mutated,
    noise,
    sorted_rows,
)

__all__ = (
    "any_rows",
    "bound_values",
    "deposited_machines",
    "mutated",
    "noise",
    "sorted_rows",
)


def bound_values(cls):
    """Values of a dataclass that is bound to a construct, each field within limits."""
    return st.builds(
        cls,
        **{one.name: _place_values(one.metadata["place"]) for one in fields(cls)},
    )


def _place_values(place):
    if place.raw or isinstance(place.of, Bytes):
        return noise(place.layout().sizeof())
    if is_dataclass(place.of):
        one = bound_values(place.of)
    else:
        one = st.integers(0, (1 << 8 * place.of.sizeof()) - 1)
    if not place.count:
        return one
    return st.lists(one, min_size=place.count, max_size=place.count).map(tuple)
