"""Files and directories are written whole or not at all."""

import stat
from pathlib import Path

import pytest

from e820pool.errors import InputError
from e820pool.report.files import write_file, write_tree


def ours(path):
    return (path / "mark").exists()


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
    write_tree(tmp_path / "tree", {"mark": b""}, is_ours=ours)

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
    write_tree(path, {"mark": b"1", "a/b/c": b"2"}, is_ours=ours)
    assert (path / "a/b/c").read_bytes() == b"2"
    write_tree(path, {"mark": b"3"}, is_ours=ours)
    assert names(path) == ["mark"]
    assert names(tmp_path) == ["out"]


def test_an_empty_directory_may_be_filled(tmp_path):
    (tmp_path / "out").mkdir()
    write_tree(tmp_path / "out", {"x": b""}, is_ours=ours)
    assert names(tmp_path / "out") == ["x"]


def test_a_directory_of_something_else_is_not_touched(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").write_text("dear")
    with pytest.raises(InputError, match="home' is a directory of something else"):
        write_tree(tmp_path / "home", {"mark": b""}, is_ours=ours)
    assert (tmp_path / "home" / "letter").read_text() == "dear"
    assert names(tmp_path) == ["home"]


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_directory_is_not_touched(tmp_path, kind):
    path = tmp_path / "out"
    (tmp_path / "real").mkdir()
    path.write_text("x") if kind == "file" else path.symlink_to(tmp_path / "real")
    with pytest.raises(InputError, match="is there and no directory"):
        write_tree(path, {"mark": b""}, is_ours=ours)
    assert names(tmp_path / "real") == []


def test_a_failure_on_the_way_leaves_the_old_tree(tmp_path, monkeypatch):
    path = tmp_path / "out"
    write_tree(path, {"mark": b"old"}, is_ours=ours)
    rename = Path.rename

    def refuse_last(self, target):
        if Path(target) == path and "old" not in self.name:
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_last)
    with pytest.raises(InputError, match="input/output error"):
        write_tree(path, {"mark": b"new"}, is_ours=ours)
    assert (path / "mark").read_bytes() == b"old"
    assert names(tmp_path) == ["out"]


def test_a_tree_without_a_parent_is_one_line(tmp_path):
    with pytest.raises(
        InputError, match=r"cannot write '.*no/out': there is no folder"
    ):
        write_tree(tmp_path / "no/out", {"x": b""}, is_ours=ours)


def test_a_relative_name_in_this_directory_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_file("map", "x")
    write_tree("out", {"x": b""}, is_ours=ours)
    assert names(tmp_path) == ["map", "out"]
