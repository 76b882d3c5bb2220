"""Make the cases of the conformance corpus: specs/corpus/cases-*.jsonl.

Run from the root of the repository:

    python tests/data/make/corpus_cases.py

The same seed gives the same files. What real kernels make of the cases is added by
corpus_boots.py.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)]

import corpus_format  # noqa: E402  found through the line above
from corpus_cmdlines import cmdlines  # noqa: E402
from corpus_kaslr import kaslr  # noqa: E402
from corpus_nodes import nodes  # noqa: E402
from corpus_old import FAMILY, old  # noqa: E402
from corpus_tables import WORDS, tables  # noqa: E402

SEED = 820
GROUPS = {
    "tables": tables,
    "cmdline": cmdlines,
    "nodes": nodes,
    "kaslr": kaslr,
    "old": old,
}

# Kernels between the main ones boot each family's first case, and every so many more.
SUBSET_STEP = 6
# Of these the other cases are of no interest once memory is set up.
SHORT = {"overlap", "subpage", "mem", "mem-several", "memmap", "memmap-list"}
SHORT |= {"memmap-exact", "memmap-retype", "several", "nokaslr", "hugepages", "limit"}
SHORT |= {"kaslr", "avoid", "ext", "merge", "efi", "capacity"}


def make_cases(seed=SEED):
    """Yield ``(group, case)``, rows not folded."""
    numbers = {}
    for group, generator in GROUPS.items():
        for family, what, given in generator(seed):
            number = numbers[family] = numbers.get(family, 0) + 1
            yield group, _case(f"{family}-{number:02}", what, given, number)


def _case(ident, what, given, number):
    case = {"id": ident, "what": what, "e820": [list(row) for row in given["e820"]]}
    kept = {k: v for k, v in given.items() if k != "whole" and v != []}
    case |= {k: v for k, v in kept.items() if k not in case}
    case["cmdline"] = f"{WORDS} {given.get('cmdline', '')}".rstrip(" ")
    if number % SUBSET_STEP == 1 or ident.startswith(f"{FAMILY}-"):
        case["subset"] = True
    elif ident.rpartition("-")[0] in SHORT and "whole" not in given:
        case["until"] = "memory"
    return case


def folded_case(case):
    case = case | {"e820": corpus_format.folded(case["e820"])}
    if "nodes" in case:
        case["nodes"] = [
            n | {"rows": corpus_format.folded(n["rows"])} if "rows" in n else n
            for n in case["nodes"]
        ]
    return case


def main():
    groups = {}
    for group, case in make_cases():
        groups.setdefault(group, []).append(folded_case(case))
    for group, cases in groups.items():
        corpus_format.write_lines(f"cases-{group}.jsonl", cases)
        subset = sum("subset" in case for case in cases)
        size = sum(len(json.dumps(case)) for case in cases)
        print(group, len(cases), "cases", subset, "in the subset", size, "bytes")  # noqa: T201  a script


if __name__ == "__main__":
    main()
