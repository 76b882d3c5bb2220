"""How many hosts of a fleet are safe under each kernel, and why the others are not."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from e820pool.compat import JudgedOn, Verdict
from e820pool.documents import Count, Document, Part
from e820pool.findings import one_line
from e820pool.report.columns import columns
from e820pool.report.verdicts import judged_on_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("FleetCounts", "FleetDocument", "KernelCounts", "UnreadablePart")

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


class FleetCounts:
    """What came of the hosts of a fleet, counted while their answers go by.

    Attributes:
        verdicts: hosts by kernel and verdict.
        findings: hosts by kernel and finding.
        nr_hosts, nr_failed: all hosts, and those without a verdict.
        unreadable: ``(id, why)`` of the hosts without a map.
        notes: the ids of the hosts whose source has a note, by the note's id.
        judged_on: by kernel what its verdicts were judged on, of all hosts together:
            options that decide add up, memory devices are known only of all.
    """

    def __init__(self) -> None:
        self.verdicts: Counter[tuple[str, str]] = Counter()
        self.findings: Counter[tuple[str, str]] = Counter()
        self.nr_hosts = self.nr_failed = 0
        self.unreadable: list[tuple[str, str]] = []
        self.notes: dict[str, list[str]] = {}
        self.judged_on: dict[str, dict[str, Any]] = {}

    def take(self, answer: Mapping[str, Any]) -> None:
        """Count the answer of one host."""
        self.nr_hosts += 1
        self.nr_failed += "error" in answer
        if answer.get("unreadable"):
            self.unreadable.append((answer["id"], answer["error"]))
        for ident in dict.fromkeys(note["id"] for note in answer.get("notes", ())):
            if ident in _TELLING:
                self.notes.setdefault(ident, []).append(answer["id"])
        for kernel, verdict in answer.get("verdicts", {}).items():
            self.verdicts[kernel, verdict["verdict"]] += 1
            self.findings.update((kernel, ident) for ident in verdict["findings"])
            value = verdict["judged_on"]
            before = self.judged_on.setdefault(kernel, {**value, "assumed": []})
            before["assumed"] = sorted({*before["assumed"], *value["assumed"]})
            # Known of all hosts, or not known.
            if value["memory_devices"] != before["memory_devices"]:
                before["memory_devices"] = "unknown"

    # In the order of the first host's verdicts, which is that of the releases.
    def _kernels(self) -> list[str]:
        return list(dict.fromkeys(kernel for kernel, _ in self.verdicts))

    # The commonest first, and by name where they are as common.
    def _findings_of(self, kernel: str) -> list[tuple[str, int]]:
        own = [
            (ident, count)
            for (name, ident), count in self.findings.items()
            if name == kernel
        ]
        return sorted(own, key=lambda pair: (-pair[1], pair[0]))

    def text(self, width: int | None = None) -> str:
        """Return a row a kernel, with the findings that most hosts have.

        ``width`` is what a line has room for, None for any.
        """
        rows = []
        for kernel in self._kernels():
            commonest = self._findings_of(kernel)[:_SHOWN]
            shown = ", ".join(f"{ident} {count}" for ident, count in commonest) or "-"
            rows.append((kernel, *(self.verdicts[kernel, w] for w in _WORDS), shown))
        headers = ("kernel", *_WORDS, "most hosts have")
        table = columns(rows, headers, right=range(1, 1 + len(_WORDS)), width=width)
        verdicts = [
            Verdict(kernel=kernel, verdict="unknown", judged_on=_judged_on(value))
            for kernel, value in self.judged_on.items()
        ]
        lines = [table, *judged_on_lines(verdicts)]
        # The hosts whose maps may not be whole, by why.
        for ident, hosts in self.notes.items():
            more = f" and {len(hosts) - _SHOWN} more" * (len(hosts) > _SHOWN)
            lines.append(f"{ident}: {', '.join(map(one_line, hosts[:_SHOWN]))}{more}")
        if self.nr_failed:
            lines.append(f"hosts without a verdict: {self.nr_failed}")
        return "\n".join(lines)

    def document(self) -> FleetDocument:
        """Return the JSON twin, kind ``fleet``."""
        known = self.judged_on
        kernels = (
            KernelCounts(
                kernel=kernel,
                **{word: self.verdicts[kernel, word] for word in _WORDS},
                findings=dict(self._findings_of(kernel)),
                judged_on=_judged_on(known[kernel]) if kernel in known else None,
            )
            for kernel in self._kernels()
        )
        return FleetDocument(
            kernels=tuple(kernels),
            failed=self.nr_failed,
            unreadable=tuple(
                UnreadablePart(id=name, error=why) for name, why in self.unreadable
            ),
            notes={ident: tuple(hosts) for ident, hosts in self.notes.items()},
        )


def _judged_on(value: Mapping[str, Any]) -> JudgedOn:
    return JudgedOn(**{**value, "assumed": tuple(value["assumed"])})
