"""A scratch folder is gone in the end, at whatever moment Ctrl-C comes."""

import re
import shutil
import signal
import tempfile
import threading

import pytest

from e820pool.report.output import scratch_folder, undisturbed, write_tree


def interrupted_in(monkeypatch, module, name, *, after=False):
    """Make a function be interrupted before or after it has done its work."""
    real = getattr(module, name)

    def disturbed(*args, **options):
        if not after:
            signal.raise_signal(signal.SIGINT)
        done = real(*args, **options)
        if after:
            signal.raise_signal(signal.SIGINT)
        return done

    monkeypatch.setattr(module, name, disturbed)


@pytest.mark.parametrize(
    ("module", "name", "after"),
    [(tempfile, "mkdtemp", True), (shutil, "rmtree", False)],
)
def test_ctrl_c_while_it_is_made_or_removed_waits(
    monkeypatch, tmp_path, module, name, after
):
    interrupted_in(monkeypatch, module, name, after=after)
    with pytest.raises(KeyboardInterrupt), scratch_folder("x-", tmp_path) as folder:
        (folder / "file").touch()
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_it_is_in_use_removes_it(tmp_path):
    with pytest.raises(KeyboardInterrupt), scratch_folder("x-", tmp_path):
        signal.raise_signal(signal.SIGINT)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_a_tree_takes_an_old_ones_place_waits(monkeypatch, tmp_path):
    write_tree(tmp_path / "out", {"a": b"old"}, ours=re.compile("[a-z]"))
    interrupted_in(monkeypatch, shutil, "rmtree")
    with pytest.raises(KeyboardInterrupt):
        write_tree(tmp_path / "out", {"a": b"new"}, ours=re.compile("[a-z]"))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "a").read_bytes() == b"new"


def test_handlers_are_as_before():
    before = signal.getsignal(signal.SIGINT)
    with undisturbed():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_beside_the_main_thread_it_does_nothing():
    seen = []

    def work():
        with undisturbed():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
