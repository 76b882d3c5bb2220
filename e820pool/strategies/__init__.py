"""Hypothesis strategies for maps, tables, deposits, handoffs and damaged blobs.

What they make shrinks to small maps at low addresses, so that a failure is read at a
glance. Needs Hypothesis: the extra ``strategies`` brings it.
"""

try:
    from e820pool.strategies.blobs import (
        Chain,
        boot_params_blobs,
        mutated,
        noise,
        setup_data_chains,
    )
    from e820pool.strategies.maps import (
        any_rows,
        deposit_ledgers,
        deposited_machines,
        e820_tables,
        e820_types,
        extents,
        handoffs,
        machines,
        memory_maps,
        sorted_rows,
    )
except ModuleNotFoundError as exc:
    if exc.name != "hypothesis":
        raise
    raise ImportError(
        "e820pool.strategies needs Hypothesis, which is not installed: install the "
        "extra that brings it, in a clone: python -m pip install '.[strategies]'"
    ) from exc

__all__ = (
    "Chain",
    "any_rows",
    "boot_params_blobs",
    "deposit_ledgers",
    "deposited_machines",
    "e820_tables",
    "e820_types",
    "extents",
    "handoffs",
    "machines",
    "memory_maps",
    "mutated",
    "noise",
    "setup_data_chains",
    "sorted_rows",
)
