"""Patches out of a diff, an mbox, or a mail thread that was saved as text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email import message_from_bytes, policy
from typing import TYPE_CHECKING

from e820pool.errors import BadImageError, InputError
from e820pool.lab.run_tool import run_tool
from e820pool.sources.files import read_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from email.message import EmailMessage
    from pathlib import Path

__all__ = ("Patch", "apply_patch", "read_patches", "select_patches", "split_patches")

_PATCH_SECONDS = 120

# Where mbox(5) begins a message; "git format-patch" writes a commit for the address.
_MBOX = re.compile(rb"^From \S+ .*\d{4}(?: [-+]\d{4})?\r?$\n", re.MULTILINE)
_HEADER = re.compile(
    rb"(?:From|Subject|Date|To|Message-I[Dd]|Return-Path|Received|Delivered-To): ",
)
# How public-inbox shows a thread as text: "* SUBJECT", then where it stands in it.
_THREAD = re.compile(
    r"^\* (?P<subject>\S.*)\n(?=@ \d{4}-|[ ]+(?:\d{4}-\d\d-\d\d|\[not found\]))",
    re.MULTILINE,
)
# A change begins with git's own line, or with the old file's name before the new one's.
_DIFF = re.compile(r"^(?:diff --git |Index: |--- [^\n]+\n\+\+\+ )", re.MULTILINE)
# As a mail or a page shows a diff within its text: all of it behind the same blanks.
_INDENTED = re.compile(r"^(?P<by>[ \t]+)--- [^\n]+\n(?P=by)\+\+\+ ", re.MULTILINE)
_NUMBER = re.compile(r"\[[^\]]*PATCH[^\]]*?\b(\d+)/\d+\]", re.IGNORECASE)
_PICK = re.compile(r"\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*")
_HUNK = re.compile(r"^@@ .*$", re.MULTILINE)
_REFUSED_FILE = re.compile(r"^(?:patching file|--- ) ?(\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """One change of a series.

    Attributes:
        number: its place in the series, from 1.
        subject: what it says of itself; the file's name where it says nothing.
        text: the diff, without the message around it.
    """

    number: int
    subject: str
    text: str


def read_patches(path: Path) -> tuple[Patch, ...]:
    """Return the patches of a file in the order in which they apply.

    Raises:
        InputError: it cannot be read.
        BadImageError: it holds no diff, or one of a series twice.
    """
    return split_patches(read_file(path), str(path))


def split_patches(data: bytes, name: str) -> tuple[Patch, ...]:
    """Return the patches of an mbox, a message, a saved thread or a plain diff.

    Replies are left out, and so is a message without a diff, as a cover letter is.
    Where every subject has a number (``[PATCH v2 3/7]``) they are in its order.

    Raises:
        BadImageError: there is no diff, or a number is there twice.
    """
    mails = [
        (subject, diff)
        for subject, text in _messages(data)
        if not subject.lower().startswith("re:") and (diff := _diff_of(text))
    ]
    if not mails:
        raise BadImageError(
            f"{name!r} holds no patch: a diff, an mbox, or a mail thread with diffs"
        )
    numbers = [_NUMBER.search(subject) for subject, _ in mails]
    if all(numbers):
        places = [int(match[1]) for match in numbers if match]
    else:
        places = list(range(1, len(mails) + 1))
    twice = next((n for n in places if places.count(n) > 1), None)
    if twice is not None:
        raise BadImageError(
            f"{name!r} has patch {twice} of its series {places.count(twice)} times: "
            "keep one version of the series in the file"
        )
    placed = zip(places, mails, strict=True)
    return tuple(
        Patch(number=number, subject=subject or name, text=diff)
        for number, (subject, diff) in sorted(placed)
    )


def select_patches(patches: Sequence[Patch], text: str) -> tuple[Patch, ...]:
    """Return those that ``1-6`` or ``1,3`` names; all for "".

    Raises:
        InputError: it names one that is not there, or is no such list.
    """
    if not text:
        return tuple(patches)
    if not _PICK.fullmatch(text):
        raise InputError(f"patches {text!r}: a list such as 1-6 or 1,3 is wanted")
    held = {patch.number: patch for patch in patches}
    picked = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        for number in range(int(first), int(last or first) + 1):
            if number not in held:
                there = ", ".join(map(str, held))
                raise InputError(f"patch {number} is not there: there are {there}")
            picked.append(held[number])
    return tuple(picked)


def apply_patch(patch: Patch, tree: Path) -> None:
    """Change a source tree by patch(1).

    Raises:
        BadImageError: a hunk does not fit; names it.
        LabError: patch(1) cannot be run.
    """
    refused = tree / ".e820pool-refused"
    argv = ["patch", "-p1", "--batch", "--forward", "--no-backup-if-mismatch"]
    argv += ["--reject-format=unified", f"--reject-file={refused}"]
    done = run_tool(argv, _PATCH_SECONDS, cwd=tree, text=patch.text)
    if done.returncode == 0:
        return
    what = f"patch {patch.number} ({patch.subject}) does not apply"
    raise BadImageError(f"{what}: {_refusal(refused, done.stdout + done.stderr)}")


# Binary parts are no business of a kernel's early boot.
def _refusal(refused: Path, said: str) -> str:
    try:
        rejects = refused.read_text(encoding="utf-8", errors="replace")
    except OSError:
        words = [line for line in said.splitlines() if line.strip()]
        return words[-1] if words else "patch(1) says nothing"
    refused.unlink()
    file = _REFUSED_FILE.search(rejects)
    hunk = _HUNK.search(rejects)
    if hunk is None:
        return "\n".join(said.splitlines()[-1:])
    body = rejects[hunk.end() :].lstrip("\n")
    body = body.split("\n@@ ")[0].split("\n--- ")[0].rstrip("\n")
    lines = " | ".join(line for line in body.split("\n") if line.strip())
    return f"{file[1] if file else 'a file'}: {hunk[0]} | {lines}"


def _messages(data: bytes) -> Iterator[tuple[str, str]]:
    starts = list(_MBOX.finditer(data))
    if starts and not data[: starts[0].start()].strip():
        ends = [match.start() for match in starts[1:]] + [len(data)]
        for start, end in zip(starts, ends, strict=True):
            yield from _mail(data[start.end() : end])
        return
    if _HEADER.match(data.lstrip()):
        yield from _mail(data.lstrip())
        return
    text = data.decode("utf-8", "replace").replace("\r\n", "\n")
    heads = list(_THREAD.finditer(text))
    if not heads:
        yield "", text
        return
    ends = [match.start() for match in heads[1:]] + [len(text)]
    for head, end in zip(heads, ends, strict=True):
        yield head["subject"], text[head.end() : end]


# A patch may be the text of the message or what is attached to it.
def _mail(data: bytes) -> Iterator[tuple[str, str]]:
    message: EmailMessage = message_from_bytes(data, policy=policy.default)
    subject = " ".join(str(message["subject"] or "").split())
    parts = [part for part in message.walk() if part.get_content_maintype() == "text"]
    for part in parts:
        raw = part.get_payload(decode=True)
        if isinstance(raw, bytes):
            text = raw.decode("utf-8", "replace").replace("\r\n", "\n")
            if _DIFF.search(text):
                yield subject, text
                return


def _diff_of(text: str) -> str:
    start = _DIFF.search(text)
    if start is None and (inside := _INDENTED.search(text)):
        lines = text[inside.start() :].split("\n")
        text = "\n".join(line.removeprefix(inside["by"]) for line in lines)
        start = _DIFF.search(text)
    if start is None:
        return ""
    # patch(1) knows by itself where a diff ends.
    return text[start.start() :].rstrip("\n") + "\n\n"
