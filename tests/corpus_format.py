"""Read and write the conformance corpus; specs/corpus.md describes its files."""

import json
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "specs" / "corpus"

# Shorter runs are easier to read as they are.
_WORTHWHILE = 6
_PERIODS = range(1, 5)

# Where everything but the setup_data nodes lies, unless a case says otherwise.
PLACES = {
    "boot_params": 2 << 20,
    "cmdline": (2 << 20) + 0x1000,
    "stub": 3 << 20,
    "kernel": 16 << 20,
    "initrd": 96 << 20,
}
INITRD_BYTES = 4 << 20
# RAM of the machine, whatever the table says; SeaBIOS keeps its tables above.
RAM_BYTES = 448 << 20


def expanded(items):
    """Return rows where ``{"times", "step", "rows"}`` stands for repeated ones."""
    rows = []
    for item in items:
        if isinstance(item, dict):
            for n in range(item["times"]):
                shift = n * item["step"]
                rows += [(row[0] + shift, *row[1:]) for row in item["rows"]]
        else:
            rows.append(tuple(item))
    return rows


def folded(rows):
    """Return the same rows with long periodic runs as repetitions."""
    rows = [tuple(row) for row in rows]
    items, at = [], 0
    while at < len(rows):
        period, times = _longest_run(rows, at)
        if times * period < _WORTHWHILE or times < 3:
            items.append(list(rows[at]))
            at += 1
            continue
        step = rows[at + period][0] - rows[at][0]
        part = [list(row) for row in rows[at : at + period]]
        items.append({"times": times, "step": step, "rows": part})
        at += times * period
    return items


def _longest_run(rows, at):
    found = [(_times(rows, at, period), period) for period in _PERIODS]
    times, period = max(found, key=lambda item: (item[0] * item[1], -item[1]))
    return period, times


def _times(rows, at, period):
    if at + 2 * period > len(rows):
        return 1
    step = rows[at + period][0] - rows[at][0]
    end = at + period
    while end < len(rows):
        row, before = rows[end], rows[end - period]
        if row[0] - before[0] != step or row[1:] != before[1:]:
            break
        end += 1
    return (end - at) // period


def read_lines(name):
    """Yield the records of the corpus files whose names match, in their order."""
    for path in sorted(FOLDER.glob(name)):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


def write_lines(name, records):
    lines = [json.dumps(r, separators=(",", ":"), ensure_ascii=True) for r in records]
    FOLDER.mkdir(parents=True, exist_ok=True)
    text = "\n".join(lines) + "\n"
    (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")


def read_cases():
    """Return the cases by their ids, rows expanded."""
    return {case["id"]: with_rows(case) for case in read_lines("cases-*.jsonl")}


def with_rows(case):
    """Return a case with every list of rows expanded."""
    case = case | {"e820": expanded(case["e820"])}
    nodes = [
        node | {"rows": expanded(node["rows"])} if "rows" in node else node
        for node in case.get("nodes", ())
    ]
    return case | {"nodes": nodes}


def read_kernels():
    """Return what is known of each kernel that was booted, by its release."""
    return {kernel["release"]: kernel for kernel in read_lines("kernels.jsonl")}


_MAPS = (
    *("bios_map", "extended_map", "setup_data_map", "user_map", "memory"),
    *("firmware_map", "iomem", "ignored"),
)


def read_outcomes():
    """Yield ``(case id, release, outcome)`` with every map expanded."""
    for record in read_lines("outcomes-*.jsonl"):
        maps = [expanded(items) for items in record["maps"]]
        for release, outcome in record["kernels"].items():
            shown = {k: maps[outcome[k]] for k in _MAPS if k in outcome}
            yield record["case"], release, outcome | shown


def outcome_record(ident, outcomes):
    """Return one line for a case: each distinct map once, outcomes by release."""
    maps, numbers, kernels = [], {}, {}
    for release, outcome in outcomes.items():
        kept = {k: v for k, v in outcome.items() if v not in (None, [], 0)}
        for name in _MAPS:
            # An empty map was seen, and is not the same as none.
            if outcome.get(name) is None:
                continue
            key = json.dumps(outcome[name])
            if key not in numbers:
                numbers[key] = len(maps)
                maps.append(folded(outcome[name]))
            kept[name] = numbers[key]
        kernels[release] = kept
    return {"case": ident, "maps": maps, "kernels": kernels}
