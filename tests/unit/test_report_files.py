"""Files and directories are written whole or not at all."""

import os
import re
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e820pool.errors import InputError
from e820pool.report.output import write_file, write_tree

OURS = re.compile("mark|x|a/b/c")


def names(path):
    return sorted(p.name for p in path.iterdir())


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "map"
    write_file(path, "old")
    write_file(str(path), b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["map"]


def test_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    (tmp_path / "dir").mkdir()
    write_file(tmp_path / "map", "x")
    write_tree(tmp_path / "tree", {"mark": b""}, ours=OURS)

    def mode(name):
        return stat.S_IMODE((tmp_path / name).stat().st_mode)

    assert mode("map") == mode("plain")
    assert mode("tree") == mode("dir")


@pytest.mark.parametrize("name", ["no/such/dir/map", "a\0b", "x" * 5000])
def test_a_file_that_cannot_be_written_is_one_line(tmp_path, name):
    with pytest.raises(InputError, match="cannot write"):
        write_file(f"{tmp_path}/{name}", "x")
    assert names(tmp_path) == []


def test_a_failure_on_the_way_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "map"
    write_file(path, "old")

    def refuse(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(InputError, match="no space left on device"):
        write_file(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["map"]


def test_a_tree_is_made_and_replaced_whole(tmp_path):
    path = tmp_path / "out"
    write_tree(path, {"mark": b"1", "a/b/c": b"2"}, ours=OURS)
    assert (path / "a/b/c").read_bytes() == b"2"
    write_tree(path, {"mark": b"3"}, ours=OURS)
    assert names(path) == ["mark"]
    assert names(tmp_path) == ["out"]


def test_an_empty_directory_may_be_filled(tmp_path):
    (tmp_path / "out").mkdir()
    write_tree(tmp_path / "out", {"x": b""}, ours=OURS)
    assert names(tmp_path / "out") == ["x"]


def test_a_directory_of_something_else_is_not_touched(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").write_text("dear")
    with pytest.raises(InputError, match="has 'letter', which is not of"):
        write_tree(tmp_path / "home", {"mark": b""}, ours=OURS)
    assert (tmp_path / "home" / "letter").read_text() == "dear"
    assert names(tmp_path) == ["home"]


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_directory_is_not_touched(tmp_path, kind):
    path = tmp_path / "out"
    (tmp_path / "real").mkdir()
    path.write_text("x") if kind == "file" else path.symlink_to(tmp_path / "real")
    with pytest.raises(InputError, match="is there and no directory"):
        write_tree(path, {"mark": b""}, ours=OURS)
    assert names(tmp_path / "real") == []


def test_a_failure_on_the_way_leaves_the_old_tree(tmp_path, monkeypatch):
    path = tmp_path / "out"
    write_tree(path, {"mark": b"old"}, ours=OURS)
    rename = Path.rename

    def refuse_last(self, target):
        if Path(target) == path and "old" not in self.name:
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_last)
    with pytest.raises(InputError, match="input/output error"):
        write_tree(path, {"mark": b"new"}, ours=OURS)
    assert (path / "mark").read_bytes() == b"old"
    assert names(tmp_path) == ["out"]


def test_a_tree_without_a_parent_is_one_line(tmp_path):
    with pytest.raises(
        InputError, match=r"cannot write '.*no/out': there is no folder"
    ):
        write_tree(tmp_path / "no/out", {"x": b""}, ours=OURS)


def test_a_relative_name_in_this_directory_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_file("map", "x")
    write_tree("out", {"x": b""}, ours=OURS)
    assert names(tmp_path) == ["map", "out"]


def test_a_link_stays_and_what_it_names_is_written_with_its_mode(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to("real")
    write_file(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_a_link_to_nothing_makes_what_it_names(tmp_path):
    (tmp_path / "link").symlink_to("made")
    write_file(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "made").read_text() == "new"


def test_links_in_a_circle_stay_links(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.symlink_to(other)
    other.symlink_to(one)
    with pytest.raises(InputError, match="too many levels of symbolic links"):
        write_file(one, "new")
    assert one.is_symlink()
    assert names(tmp_path) == ["one", "other"]


def test_a_link_into_a_folder_that_is_not_there_names_that_folder(tmp_path):
    (tmp_path / "link").symlink_to("no/made")
    with pytest.raises(InputError, match=r"there is no folder '.*/no', make it first"):
        write_file(tmp_path / "link", "new")


def test_a_replaced_folder_keeps_its_mode_and_owner(tmp_path):
    path = tmp_path / "out"
    path.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(path, 12345, 12345)
    before = path.stat()
    for data in (b"1", b"2"):
        write_tree(path, {"mark": data}, ours=OURS)
        after = path.stat()
        assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)


def test_a_folder_without_a_mark_of_ours_is_never_replaced(tmp_path):
    write_tree(tmp_path / "out", {"data": b"1"})
    with pytest.raises(InputError, match="is not empty, and nothing in it says"):
        write_tree(tmp_path / "out", {"data": b"2"})
    assert (tmp_path / "out" / "data").read_bytes() == b"1"


def test_a_pipe_is_written_to(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = subprocess.Popen(["cat", path], stdout=subprocess.PIPE)
    write_file(path, "through")
    assert reader.communicate(timeout=30)[0] == b"through"
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_descriptor_is_written_to_where_the_shell_left_it(tmp_path):
    """`-o /dev/stdout >>log` as root replaced /dev/stdout, and later the log."""
    code = (
        "from e820pool.report.output import write_file;"
        " write_file('/dev/stdout', 'b\\n'); write_file('/proc/self/fd/1', 'c\\n');"
        " write_file('/proc/thread-self/fd/1', 'd\\n')"
    )
    log = tmp_path / "log"
    log.write_text("a\n")
    with log.open("a") as out:
        subprocess.run([sys.executable, "-c", code], check=True, stdout=out)
    assert log.read_text() == "a\nb\nc\nd\n"
    assert Path("/dev/stdout").is_symlink()


def test_a_descriptor_that_is_closed_is_one_line():
    with pytest.raises(InputError, match="cannot write '/dev/fd/777': bad file desc"):
        write_file("/dev/fd/777", "x")


@pytest.mark.parametrize("shape", ["file", "folder", "deep", "link", "empty"])
def test_a_directory_of_ours_with_a_file_of_the_user_is_not_touched(tmp_path, shape):
    path = tmp_path / "out"
    write_tree(path, {"mark": b"", "a/b/c": b""}, ours=OURS)
    if shape == "file":
        (path / "notes").write_text("mine")
    elif shape == "folder":
        (path / ".git").mkdir()
        (path / ".git" / "HEAD").write_text("ref")
    elif shape == "deep":
        (path / "a/b/notes").write_text("mine")
    elif shape == "link":
        (path / "x").symlink_to("mark")
    else:
        (path / "empty").mkdir()
    before = snapshot(path)
    with pytest.raises(InputError, match="which is not of e820pool"):
        write_tree(path, {"mark": b"new"}, ours=OURS)
    assert snapshot(path) == before


@given(
    tree=st.dictionaries(
        st.sampled_from(["mark", "x", "a/b/c", "a/b/d", "notes", ".git/HEAD", "y/x"]),
        st.binary(max_size=3),
        max_size=4,
    )
)
def test_whatever_is_there_is_replaced_whole_or_left_whole(tree):
    with tempfile.TemporaryDirectory() as parent:
        path = Path(parent) / "out"
        for name, data in tree.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
        before = snapshot(path)
        try:
            write_tree(path, {"mark": b"new"}, ours=OURS)
        except InputError:
            assert snapshot(path) == before
            assert any(not OURS.fullmatch(name) for name in tree)
        else:
            assert snapshot(path) == {"mark": b"new"}
            assert all(OURS.fullmatch(name) for name in tree)
        assert [entry.name for entry in Path(parent).iterdir()] == ["out"]


def snapshot(path):
    return {
        str(file.relative_to(path)): None if file.is_dir() else file.read_bytes()
        for file in path.rglob("*")
    }
