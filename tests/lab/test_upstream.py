"""The commands of the drafts in specs/upstream, run as they stand there.

Nothing of ours takes part: a shell in a folder that has the kernel as ./vmlinuz, and
QEMU.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from e820pool.errors import LabError
from e820pool.lab.images import find_image

FOLDER = Path(__file__).parents[2] / "specs/upstream"
SECTION = re.compile(
    r"^How to see it\n-+\n(.*?)^\S[^\n]*\n-+$", re.MULTILINE | re.DOTALL
)
# "    7.3.4, without 'x'   what it does": a kernel, what differs, what was seen.
RESULT = re.compile(r"^    (\d+\.\d+\.\d+)(?:, (\S.*?))? {2,}(\S.*)$")
# What a line of results says, and how a console says it.
SIGNS = (
    (r"BUG at (?P<place>\S+)", r"kernel BUG at \S*{place}!"),
    (r"looks for a root file system", r"Unable to mount root fs|No working init found"),
    (r"panics as above", r"not syncing: alloc_low_pages: can not alloc memory"),
    (r"capture kernel is up", r"capture kernel is up"),
    (r"(?P<line>reserved: \d+)", r"{line}"),
    (r"(?P<line>loaded: [01])", r"{line}"),
    (r"(?P<what>System RAM|ACPI Tables)", r": {what}"),
    (r"MemTotal (?P<mega>\d+)\d{4} kB", r"MemTotal: +{mega}\d{{4}} kB"),
)
# One that hangs has said this, and says no more.
HANGS = "x86/mm: Memory block size"
SECONDS, HANG_SECONDS = 400, 80
# A kernel with the diffs of all drafts, as specs/rivals.md builds it.
MENDED = "mended"


def results_of(text):
    """Return [(version, what differs, what was seen)] of a draft."""
    (section,) = SECTION.findall(text)
    matches = map(RESULT.match, section.split("\n"))
    return [match.groups(default="") for match in matches if match]


def commands_of(text, differs=""):
    """Return the commands of a draft, as a line of its results changes them.

    ``with 'A' for 'B'`` puts A where they have B; ``without 'A'`` takes A away.
    """
    (section,) = SECTION.findall(text)
    lines = section.split("\n")
    end = next(n for n, line in enumerate(lines) if RESULT.match(line))
    script = "\n".join(line[4:] for line in lines[:end] if line[:4] in ("    ", ""))
    changes = [
        *((old, new) for new, old in re.findall(r"with '(.*?)' for '(.*?)'", differs)),
        *((old, "") for old in re.findall(r"without '(.*?)'", differs)),
    ]
    for old, new in changes:
        assert script.count(old) == 1, old
        script = script.replace(old, new)
    return script


def signs_of(seen):
    """Return regular expressions of what a console must have said."""
    found = [
        says.format(**match.groupdict())
        for words, says in SIGNS
        if (match := re.search(words, seen))
    ]
    assert found or "hangs" in seen, seen
    return found


def console_of(script, kernel, folder, signs):
    """Run the commands in a folder that has nothing but the kernel.

    They are ended when all signs are there, or nothing more comes where there are none:
    a kernel that dies early does not know yet that it is to reboot.
    """
    (folder / "vmlinuz").write_bytes(kernel)
    log = folder / "console.log"
    with (
        log.open("wb") as out,
        subprocess.Popen(
            ["sh", "-e", "-c", script],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        said, last, limit = "", time.monotonic(), time.monotonic() + SECONDS
        while process.poll() is None and time.monotonic() < limit:
            time.sleep(0.5)
            before, said = said, log.read_text("utf-8", "replace")
            last = last if said == before else time.monotonic()
            if signs and all(re.search(sign, said) for sign in signs):
                break
            if not signs and HANGS in said and time.monotonic() > last + HANG_SECONDS:
                break
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return log.read_text("utf-8", "replace")


def image_for(version, differs, image_of):
    if "mended" not in differs:
        return image_of(".".join(version.split(".")[:2]))
    try:
        return find_image(MENDED)
    except LabError as error:
        pytest.skip(f"{error}; specs/rivals.md says how it is built")


CASES = [
    pytest.param(path, result, id=f"{path.stem}-{result[0]}-{result[1]}".strip("-"))
    for path in sorted(FOLDER.glob("*.md"))
    for result in results_of(path.read_text())
]


def test_every_draft_has_results():
    assert {case.values[0] for case in CASES} == set(FOLDER.glob("*.md"))


@pytest.mark.parametrize(("path", "result"), CASES)
def test_a_draft_s_commands_do_what_it_says(path, result, image_of, tmp_path):
    version, differs, seen = result
    script = commands_of(path.read_text(), differs)
    if "/sbin/kexec" in script and shutil.which("kexec") is None:
        pytest.skip("kexec-tools are not installed")
    image = image_for(version, differs, image_of)
    if version not in image.package:
        # The archive has gone on: lines of source may be others.
        seen = re.sub(r"BUG at (\w+\.c):\d+", r"BUG at \1:\\d+", seen)
    signs = signs_of(seen)
    said = console_of(script, image.read(), tmp_path, signs)
    for sign in signs:
        assert re.search(sign, said), f"{sign}: {said[-2000:]}"
    if "nothing added" in seen:
        assert "System RAM" not in said
    if not signs:
        assert HANGS in said.strip().split("\n")[-1], said[-2000:]
