"""Whole commands against a model of forty lines, and what they leave of a file system.

The model is a list of bytes' types and nothing of the package: at every quarter page
the highest type of the entries that cover it wins.
"""

import contextlib
import io
import json
import os
import stat
import tempfile
from pathlib import Path

import pytest
import rawbytes
from helpexamples import LAB, example_of, fill
from hypothesis import given, settings
from hypothesis import strategies as st
from rawhandoff import EXT_TYPE, GIB, MIB, NODE_ADDR, RECORD_TYPE, ROWS, RawHandoff
from rawlive import RawLive

from e820pool.cli import main
from e820pool.cli.commands import COMMANDS

QUARTER = 1024
NR_PAGES = 16
FIRST = GIB >> 12
# RAM on both sides of the pages that are drawn, and enough of it to boot.
AROUND = (
    (0, 0x9F000, 1),
    (0x9F000, 0x61000, 2),
    (MIB, GIB - MIB, 1),
    (GIB + NR_PAGES * 4096, 2 * GIB, 1),
)
PLACES = st.integers(0, 4 * NR_PAGES - 1)
DRAWN = st.lists(
    st.tuples(PLACES, st.integers(1, 40), st.sampled_from([1, 1, 2, 2, 2, 3, 4, 5, 7])),
    min_size=1,
    max_size=10,
)
PAGES = st.sets(st.integers(0, NR_PAGES - 1), min_size=1, max_size=6)


def types_of(rows):
    """Return the type of each quarter page, 0 where no entry covers it."""
    types = [0] * (4 * NR_PAGES)
    for start, count, kind in rows:
        for at in range(start, min(start + count, len(types))):
            types[at] = max(types[at], kind)
    return types


def quarters(types, pages):
    return [types[4 * page : 4 * page + 4] for page in sorted(pages)]


def in_bytes(rows):
    limit = 4 * NR_PAGES
    return [
        (GIB + start * QUARTER, min(count, limit - start) * QUARTER, kind)
        for start, count, kind in rows
    ]


def handoff(folder, rows, pages, *, spilled):
    """Write what is drawn, some of its entries in a SETUP_E820_EXT node."""
    extents = [(FIRST + page, 1) for page in sorted(pages)]
    record = rawbytes.pool_record([(base, count, 0, 1) for base, count in extents])
    table, nodes = [*AROUND, *in_bytes(rows)], [(NODE_ADDR, RECORD_TYPE, record)]
    if spilled:
        more = rawbytes.e820_table(in_bytes(rows)[-spilled:])
        table = table[:-spilled]
        nodes += [(NODE_ADDR + 4096, EXT_TYPE, more)]
    made = RawHandoff(rows=tuple(table), deposits=tuple(extents), nodes=tuple(nodes))
    return made.write(folder / "out")


def told(*words):
    """Run a command; return its status, its JSON and its errors."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([*map(str, words)])
    out.flush(), err.flush()
    return code, out.buffer.getvalue(), err.buffer.getvalue()


@settings(max_examples=50)
@given(DRAWN, PAGES, st.integers(0, 4), st.sampled_from(["2.6.32", "6.1", "7.3"]))
def test_no_verdict_but_unsafe_where_the_model_has_ram(rows, pages, more, kernel):
    types = quarters(types_of(rows), pages)
    with tempfile.TemporaryDirectory() as place:
        path = handoff(Path(place), rows, pages, spilled=min(more, len(rows)))
        code, out, err = told("check", path, "--kernel", kernel, "--format", "json")
        assert code in {0, 1}, err
        (verdict,) = json.loads(out)["verdicts"]
        # A kernel rounds RAM to whole pages, inwards.
        if any(page == [1] * 4 for page in types):
            assert verdict["verdict"] == "unsafe", verdict
        # No single RAM entry over a deposit: no loss of others can uncover it.
        if verdict["verdict"] == "safe":
            bare = [row for row in rows if row[2] == 1]
            assert all(page != [1] * 4 for page in quarters(types_of(bare), pages))
        code, out, err = told("rebuild", path, "--format", "json")
        found = json.loads(out or b"{}").get("extents") if code == 0 else None
        assert code in {0, 1}, err
        # Whole pages that are kept from the kernel in every byte, and no others.
        assert (found is not None) == all(page == [2] * 4 for page in types), (
            code,
            out,
            types,
        )
        if found is not None:
            listed = {base + at for base, count in found for at in range(count)}
            assert listed == {FIRST + page for page in pages}


def seen(folder):
    """Return what is below a folder: kind, mode, content or target, time."""
    found = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        now = path.lstat()
        content = None
        if stat.S_ISLNK(now.st_mode):
            content = os.readlink(path)  # noqa: PTH115  as it is
        elif stat.S_ISREG(now.st_mode):
            content = path.read_bytes()
        # A file that comes and goes moves the time of its folder.
        time = None if path.is_dir() else now.st_mtime_ns
        name = path.relative_to(folder).as_posix()
        found[name] = (stat.S_IFMT(now.st_mode), now.st_mode, content, time)
    return found


# What lies at the place that -o or --results names before the command runs.
def nothing(_folder):
    return "new"


def folder_of_the_user(folder):
    (folder / "mine/.git").mkdir(parents=True)
    (folder / "mine/.git/HEAD").write_text("ref: refs/heads/main")
    (folder / "mine/manifest.json").write_text('{"manifest_version": 3}')
    return "mine"


def handoff_with_a_file_of_the_user(folder):
    (folder / "out/notes.txt").write_text("mine")
    return "out"


def link_to_a_folder(folder):
    (folder / "link").symlink_to(folder_of_the_user(folder))
    return "link"


def link_to_a_file(folder):
    (folder / "kept.txt").write_text("mine")
    (folder / "link").symlink_to("kept.txt")
    return "link"


def no_folder(_folder):
    return "nowhere/new"


def under_a_file(_folder):
    return "machine.txt/new"


TARGETS = (
    nothing,
    folder_of_the_user,
    handoff_with_a_file_of_the_user,
    link_to_a_folder,
    link_to_a_file,
    no_folder,
    under_a_file,
)
# The option that names what is written, where a command has one.
OUTPUTS = {"show": "-o", "build": "-o", "report": "-o", "image": "-o"}
OUTPUTS |= {"fleet": "--results"}
WORDS = {
    "image": "image out --kernel vmlinuz -o x",
    "fleet": "fleet maps --kernel 6.1",
    "kexec": "kexec --kernel vmlinuz --inherited --root root --state state",
}
NAMES = sorted(set(COMMANDS) - LAB - {"demo", "stress", "kernels"})
DAMAGED = ("machine.txt", "out/boot_params.bin", "out/manifest.json", "vmlinuz")


def command_line(name, target):
    words = WORDS[name].split() if name in WORDS else list(example_of(name))
    option = OUTPUTS.get(name)
    if option is None:
        return words
    if option in words:
        at = words.index(option)
        del words[at : at + 2]
    return [*words, option, target]


@settings(max_examples=25)
@given(
    st.sampled_from(NAMES),
    st.sampled_from(TARGETS),
    st.sampled_from([None, *DAMAGED]),
    st.integers(0, 300),
)
def test_a_command_leaves_the_rest_of_the_file_system_as_it_was(
    name, target, damaged, length
):
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        folder = Path(place)
        fill(folder, ROWS, ((GIB >> 12, 512), (128 * MIB >> 12, 16)))
        (folder / "vmlinuz").write_bytes(rawbytes.bzimage())
        RawLive().write(folder / "root")
        for other in ("cache", "tmp", "home"):
            (folder / other).mkdir()
        if damaged is not None:
            path = folder / damaged
            path.write_bytes(path.read_bytes()[:length])
        where = target(folder)
        before = seen(folder)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HOME", str(folder / "home"))
            patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
            patch.setattr(tempfile, "tempdir", str(folder / "tmp"))
            words = [
                word.replace("live", "machine.txt")
                for word in command_line(name, where)
            ]
            code, _, err = told(*words)
        after = seen(folder)
    assert code in {0, 1, 2, 3, 4}, (words, err)
    changed = {key for key in {*before, *after} if before.get(key) != after.get(key)}
    if code in {0, 1} and name in OUTPUTS:
        # What a link names is written, and the link stays.
        end = "kept.txt" if target is link_to_a_file else where
        # A lock of kept results lies beside them.
        changed = {
            key for key in changed if key != end and not key.startswith(f"{end}/")
        }
        if name == "fleet":
            changed -= {f"{end}.lock"}
    assert not changed, (words, code, err)


def test_the_watch_sees_a_file_that_is_gone_or_new(tmp_path):
    before = seen(tmp_path)
    (tmp_path / "x").touch()
    after = seen(tmp_path)
    assert before != after
    (tmp_path / "x").chmod(0o600)
    assert seen(tmp_path) != after
