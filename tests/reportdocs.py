"""JSON results of other commands, written by hand, for tests of the report."""

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
LEVELS = {"unsafe": "unsafe", "degraded": "degraded", "safe": "note"}


def finding(word="degraded", **parts):
    """Return a finding that suits a verdict."""
    return {
        "id": "not-monotone",
        "level": LEVELS[word],
        "message": "a RAM entry covers 2 deposited page(s) from PFN 0x8000",
        "source": "4.8 to 7.3 arch/x86/boot/compressed/kaslr.c process_e820_entries()",
        "extents": [[0x8000, 2]],
    } | parts


def verdict(kernel, word):
    """Return a verdict with the finding that decides it."""
    findings = [] if word == "safe" else [finding(word)]
    return {"kernel": kernel, "verdict": word, "findings": findings}


def verdicts():
    """Return what check writes, with a kernel that was booted too."""
    booted = verdict("5.10", "unsafe") | {
        "model": "safe",
        "machine": "unsafe",
        "differences": [{"field": "memory[0]", "model": "0x1000", "machine": "0x2000"}],
    }
    told = [verdict("6.1", "safe"), verdict("7.3", "degraded"), booted]
    return {"schema": 1, "kind": "verdicts", "verdicts": told}


def cell(encoding, kernel, word, **parts):
    """Return a cell of a comparison."""
    return {
        "encoding": encoding,
        "kernel": kernel,
        "verdict": word and verdict(kernel, word),
        "reason": None if word else "one byte too many",
        "nr_entries": 23,
        "nr_words_bytes": 47,
        "wasted_bytes": 4096,
        "rebuildable": word == "safe",
        "survives": {"kexec-load": True, "kexec-file": None} if word else {},
        "booted": None,
    } | parts


def comparison():
    """Return what compare writes for three encodings on two kernels."""
    seen = {
        "kernel": "7.3.4",
        "verdict": verdict("7.3.4", "unsafe"),
        "nr_touched": 12,
        "agrees": False,
        "reasons": ["the model said safe"],
    }
    lost = {"kernel": "", "verdict": None, "nr_touched": 0, "agrees": False}
    cells = [
        cell("split", "6.1", "safe"),
        cell("split", "7.3", "safe", booted=seen),
        cell("overlaid", "6.1", "unsafe", booted=lost | {"reasons": ["no console"]}),
        cell("overlaid", "7.3", "degraded"),
        cell("kho", "6.1", None),
        cell("kho", "7.3", "degraded"),
    ]
    return {
        "schema": 1,
        "kind": "comparison",
        "kernels": ["6.1", "7.3"],
        "encodings": [
            {"name": "split", "meaning": "RAM carved around each deposit"},
            {"name": "overlaid", "meaning": "RESERVED laid over RAM"},
            {"name": "kho", "meaning": "a kexec handover node"},
        ],
        "nr_deposits": 2,
        "nr_deposited_pages": 4608,
        "cells": cells,
        "model_foresaw_all": False,
    }


def run_of(policy, points, falls=None, **parts):
    """Return a result of stress with its samples, of which most fields are 1."""
    end = dict.fromkeys(FIELDS, 1) | {"call": points[-1][0], "created": 3}
    return {
        "host": "8G",
        "policy": policy,
        "seed": 0,
        "encoding": "split",
        "reason": "",
        "limits": {"zero-page": None, "table-320": None, **(falls or {})},
        "peak": end | {"split": max(entries for _, entries in points)},
        "end": end,
        "failed_calls": 0,
        "samples": [
            [*(call if name == "call" else 1 for name in FIELDS[:-1]), entries]
            for call, entries in points
        ],
        "budgets": {"given_up": {"128": 4096}},
    } | parts


FIELDS = ["call", "day", "created", "split"]


def exhaustion():
    """Return what stress writes: a policy that runs out, one that does not, no host."""
    fall = {"call": 28, "created": 2, "deposited_pages": 1521}
    limits = [
        ("zero-page", "entries", 128, "the rest goes to SETUP_E820_EXT"),
        ("table-320", "table", 320, "a kernel drops entries"),
    ]
    return {
        "schema": 1,
        "kind": "exhaustion",
        "workload": {"guests": 3, "days": 1.5, "max_calls": 1000000},
        "limits": [
            {"name": n, "measure": m, "most": k, "meaning": t, "source": "all setup.h"}
            for n, m, k, t in limits
        ],
        "sample_fields": FIELDS,
        "results": [
            run_of("scattered", [(1, 12), (28, 130), (69, 322)], {"zero-page": fall}),
            run_of("arenas:2M", [(1, 12), (61, 34)]),
            run_of("arenas:1G", [(7, 10)], failed_calls=7),
            {
                "host": "8G",
                "policy": "cma:19x256M",
                "seed": 0,
                "encoding": "split",
                "reason": "the host has no room for area 5",
                "samples": [],
            },
        ],
    }


def hop(kernel, entered, deposits, **parts):
    """Return a hop that keeps its deposits."""
    reserved = [[start << 12, count << 12, 2] for start, count in deposits]
    return {
        "kernel": kernel,
        "entered": entered,
        "nr_entries": 3 + 2 * len(deposits),
        "deposits": deposits,
        "touched_deposits": [],
        "table": [[0, 0x9F000, 1], [0x100000, 0x1FF00000, 1], *reserved],
        "pool": {
            "carrier": "setup_data",
            "generation": 1,
            "equal": True,
            "extents": deposits,
            "findings": [],
        }
        if deposits
        else None,
        "predicted": verdict(kernel, "safe"),
        "differences": [],
        "made": [[0x8000, 512]],
        "withdrawn": [],
        "used_again": [],
        "late": [],
        "touched_late": [],
        "seconds": 17.2,
    } | parts


def chain():
    """Return what chain writes: a kernel that keeps its deposits, one that does not."""
    refused = {
        "carrier": "setup_data",
        "generation": 2,
        "equal": False,
        "extents": None,
        "findings": [finding("degraded", id="pool-record-lost", source="")],
    }
    broken = hop(
        "6.1",
        "kexec-file",
        [[0x4000, 1], [0x8000, 512]],
        touched_deposits=[[0x8000, 2]],
        pool=refused,
        differences=[{"field": "memory[1]", "model": "a", "machine": "b"}],
        withdrawn=[[0x9000, 4]],
        used_again=[[0x9000, 1]],
        late=[[0xA000, 3]],
        touched_late=[[0xA000, 2]],
    )
    return {
        "schema": 1,
        "kind": "chain",
        "loaders": ["ours", "kexec-file"],
        "carrier": "setup_data",
        "hops": [
            hop("6.1", "boot", []),
            hop("5.10", "ours", [[0x4000, 1], [0x8000, 512]]),
            broken,
        ],
        "touched_deposits": [[0x8000, 2]],
        "stopped": None,
        "intact": False,
    }


ALL = {
    "verdicts": verdicts,
    "comparison": comparison,
    "exhaustion": exhaustion,
    "chain": chain,
}
