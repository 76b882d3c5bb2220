"""What must never be committed."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Built from pieces, so that this file does not find itself.
UNFINISHED = re.compile(
    "|".join(("TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error"))
)
HOSTS = re.compile(
    "|".join((r"deb\." + "debian", r"py" + r"pi\.org", "registry" + r"\.npm"))
)


def tracked():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.is_file():
            yield path


def lines_with(pattern, paths):
    for path in paths:
        text = path.read_text(encoding="utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            if pattern.search(line):
                yield f"{path.relative_to(ROOT)}:{number}"


def test_the_package_holds_nothing_unfinished():
    code = [p for p in tracked() if p.suffix == ".py" and "e820pool" in p.parts]
    assert list(lines_with(UNFINISHED, code)) == []


def test_no_file_names_a_package_registry():
    assert list(lines_with(HOSTS, tracked())) == []


def test_no_file_holds_a_kernel_image():
    large = [p for p in tracked() if p.stat().st_size > 2 << 20]
    assert large == []
