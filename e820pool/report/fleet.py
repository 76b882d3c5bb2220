"""How many hosts of a fleet are safe under each kernel, and why the others are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tabulate import tabulate

from e820pool.report.jsons import document, json_text

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("fleet_json", "fleet_text")

_WORDS = ("safe", "degraded", "unsafe", "unknown")
_SHOWN = 3


def fleet_text(
    counts: Mapping[tuple[str, str], int],
    findings: Mapping[tuple[str, str], int],
    failed: int,
) -> str:
    """Return a row a kernel, with the findings that most hosts have.

    Args:
        counts: hosts by kernel and verdict.
        findings: hosts by kernel and finding.
        failed: hosts without a verdict.
    """
    rows = [
        (
            kernel,
            *(counts.get((kernel, word), 0) for word in _WORDS),
            _commonest(kernel, findings),
        )
        for kernel in _kernels(counts)
    ]
    headers = ("kernel", *_WORDS, "most hosts have")
    text = tabulate(rows, headers=headers, tablefmt="plain")
    return f"{text}\nhosts without a verdict: {failed}" if failed else text


def fleet_json(
    counts: Mapping[tuple[str, str], int],
    findings: Mapping[tuple[str, str], int],
    failed: int,
) -> str:
    """Return the JSON twin, kind ``fleet``."""
    kernels = [
        {
            "kernel": kernel,
            **{word: counts.get((kernel, word), 0) for word in _WORDS},
            "findings": dict(_of_kernel(kernel, findings)),
        }
        for kernel in _kernels(counts)
    ]
    return json_text(document("fleet", kernels=kernels, failed=failed))


# In the order of the first host's verdicts, which is that of the releases.
def _kernels(counts: Mapping[tuple[str, str], int]) -> list[str]:
    return list(dict.fromkeys(kernel for kernel, _ in counts))


def _commonest(kernel: str, findings: Mapping[tuple[str, str], int]) -> str:
    shown = _of_kernel(kernel, findings)[:_SHOWN]
    return ", ".join(f"{ident} {count}" for ident, count in shown) or "-"


# The commonest first, and by name where they are as common.
def _of_kernel(
    kernel: str, findings: Mapping[tuple[str, str], int]
) -> list[tuple[str, int]]:
    own = [(one, count) for (name, one), count in findings.items() if name == kernel]
    return sorted(own, key=lambda pair: (-pair[1], pair[0]))
