"""How many hosts of a fleet are safe under each kernel, and why the others are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e820pool.compat import JudgedOn, Verdict
from e820pool.documents import Count, Document, Part, document_text
from e820pool.findings import one_line
from e820pool.report.columns import columns
from e820pool.report.verdicts import judged_on_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = (
    "FleetDocument",
    "KernelCounts",
    "Reading",
    "UnreadablePart",
    "fleet_json",
    "fleet_text",
)

_WORDS = ("safe", "degraded", "unsafe", "unknown")
_SHOWN = 3

# Notes of a source that say that its map is not the machine's whole one; the others
# are of no weight where many hosts are counted.
_TELLING = frozenset(
    {
        *("ram-missing", "line-cut", "type-cut", "lines-missing", "entries-missing"),
        *("start-cut", "end-unseen", "entries-dropped", "no-ram", "unknown-words"),
        *("fallback-map", "no-bios-map", "capture-kernel", "pseudo-physical"),
        *(
            "several-boots",
            "setup-data-unread",
            "reserved-later",
            "type-without-number",
        ),
    }
)


class Reading:
    """What was odd in the sources of a fleet's hosts, and which had no map.

    Attributes:
        unreadable: ``(id, why)`` of the hosts without a map.
        notes: the ids of the hosts whose source has a note, by the note's id.
        judged_on: by kernel what its verdicts were judged on, of all hosts together:
            options that decide add up, memory devices are known only of all.
    """

    def __init__(self) -> None:
        self.unreadable: list[tuple[str, str]] = []
        self.notes: dict[str, list[str]] = {}
        self.judged_on: dict[str, dict[str, Any]] = {}

    def take(self, answer: Mapping[str, Any]) -> None:
        """Count the answer of one host."""
        if answer.get("unreadable"):
            self.unreadable.append((answer["id"], answer["error"]))
        for ident in dict.fromkeys(note["id"] for note in answer.get("notes", ())):
            if ident in _TELLING:
                self.notes.setdefault(ident, []).append(answer["id"])
        for kernel, verdict in answer.get("verdicts", {}).items():
            value = verdict["judged_on"]
            before = self.judged_on.setdefault(kernel, {**value, "assumed": []})
            before["assumed"] = sorted({*before["assumed"], *value["assumed"]})
            # Known of all hosts, or not known.
            if value["memory_devices"] != before["memory_devices"]:
                before["memory_devices"] = "unknown"


def fleet_text(
    counts: Mapping[tuple[str, str], int],
    findings: Mapping[tuple[str, str], int],
    failed: int,
    reading: Reading,
    width: int | None = None,
) -> str:
    """Return a row a kernel, with the findings that most hosts have.

    Args:
        counts: hosts by kernel and verdict.
        findings: hosts by kernel and finding.
        failed: hosts without a verdict.
        reading: what was odd in their sources, and what was known of the kernels.
        width: what a line has room for, None for any.
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
    numbers = range(1, 1 + len(_WORDS))
    text = columns(rows, headers, right=numbers, width=width)
    verdicts = [
        Verdict(kernel=kernel, verdict="unknown", judged_on=_judged_on(value))
        for kernel, value in reading.judged_on.items()
    ]
    lines = [text, *judged_on_lines(verdicts), *_remarks(reading)]
    if failed:
        lines.append(f"hosts without a verdict: {failed}")
    return "\n".join(lines)


def _judged_on(value: Mapping[str, Any]) -> JudgedOn:
    return JudgedOn(**{**value, "assumed": tuple(value["assumed"])})


class KernelCounts(Part, frozen=True, kw_only=True):
    """Hosts by verdict on one kernel, and by finding, the commonest first."""

    kernel: str
    safe: Count
    degraded: Count
    unsafe: Count
    unknown: Count
    findings: dict[str, Count]
    judged_on: JudgedOn | None


class UnreadablePart(Part, frozen=True, kw_only=True):
    """A host without a map, and why."""

    id: str
    error: str


class FleetDocument(Document, frozen=True, kw_only=True, tag="fleet"):
    """A fleet; ``failed`` hosts have no verdict, ``notes`` name hosts by note."""

    kernels: tuple[KernelCounts, ...]
    failed: Count
    unreadable: tuple[UnreadablePart, ...]
    notes: dict[str, tuple[str, ...]]


def fleet_json(
    counts: Mapping[tuple[str, str], int],
    findings: Mapping[tuple[str, str], int],
    failed: int,
    reading: Reading,
) -> str:
    """Return the JSON twin, kind ``fleet``."""
    judged_on = reading.judged_on
    kernels = (
        KernelCounts(
            kernel=kernel,
            **{word: counts.get((kernel, word), 0) for word in _WORDS},
            findings=dict(_of_kernel(kernel, findings)),
            judged_on=_judged_on(judged_on[kernel]) if kernel in judged_on else None,
        )
        for kernel in _kernels(counts)
    )
    return document_text(
        FleetDocument(
            kernels=tuple(kernels),
            failed=failed,
            unreadable=tuple(
                UnreadablePart(id=name, error=why) for name, why in reading.unreadable
            ),
            notes={ident: tuple(hosts) for ident, hosts in reading.notes.items()},
        )
    )


# The hosts whose maps may not be whole, by why.
def _remarks(reading: Reading) -> Iterator[str]:
    for ident, hosts in reading.notes.items():
        more = f" and {len(hosts) - _SHOWN} more" * (len(hosts) > _SHOWN)
        yield f"{ident}: {', '.join(map(one_line, hosts[:_SHOWN]))}{more}"


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
    own = [
        (ident, count) for (name, ident), count in findings.items() if name == kernel
    ]
    return sorted(own, key=lambda pair: (-pair[1], pair[0]))
