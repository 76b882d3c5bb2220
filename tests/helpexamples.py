"""The examples of --help, and a folder with what they name."""

import contextlib
import io
import json
import re

from rawhandoff import map_file, with_reserved

from e820pool.cli import main

# Boot kernels, or want an image of one: tests/lab runs their examples.
LAB = {"boot", "chain", "image", "kernels"}


def example_of(command):
    """Return the words of the example that the command's --help shows."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        assert main([command, "--help"]) == 0
    (line,) = re.findall(r"^example:\n  e820pool (.*)$", text.getvalue(), re.MULTILINE)
    return line.split()


def fill(folder, rows, deposits):
    """Write what examples name: maps, a fleet, deposits, a handoff.

    Args:
        folder: where the example runs.
        rows: the machine's map.
        deposits: `(base_pfn, nr_pages)`, all of it RAM there.
    """
    (folder / "machine.txt").write_text(_log(rows), encoding="ascii")
    (folder / "before.txt").write_text(_log(rows), encoding="ascii")
    after = _log(with_reserved(rows, deposits))
    (folder / "after.txt").write_text(after, encoding="ascii")
    told = {"schema": 1, "kind": "deposits", "deposits": [list(d) for d in deposits]}
    (folder / "deposits.json").write_text(json.dumps(told), encoding="ascii")
    (folder / "maps").mkdir()
    for host in "ab":
        map_file(folder / "maps" / f"{host}.json", rows)
    with contextlib.redirect_stdout(io.StringIO()):
        words = ["build", folder / "machine.txt", "--deposit", "@deposits.json"]
        words[-1] = f"@{folder / 'deposits.json'}"
        assert main([*map(str, words), "-o", str(folder / "out"), "-q"]) == 0


# As Linux 6.1 prints it.
def _log(rows):
    words = {1: "usable", 2: "reserved", 3: "ACPI data"}
    return "[    0.000000] BIOS-provided physical RAM map:\n" + "".join(
        f"[    0.000000] BIOS-e820: [mem {addr:#018x}-{addr + size - 1:#018x}] "
        f"{words[kind]}\n"
        for addr, size, kind in rows
    )
