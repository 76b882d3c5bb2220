"""The lab's cache is where it is said to be, for as long as it is said."""

import pytest

from e820pool.lab.cache import cache_below, cache_folder


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "e820pool"


def test_it_is_below_the_user_s_cache(home):
    assert cache_folder("images") == home / "images"
    assert (home / "images").is_dir()


def test_a_block_may_have_its_own(home, tmp_path):
    with cache_below(tmp_path / "own"):
        assert cache_folder("images") == tmp_path / "own" / "images"
        with cache_below(None):
            assert cache_folder() == tmp_path / "own"
    assert cache_folder() == home


def test_an_error_in_the_block_ends_it_too(home, tmp_path):
    def fail():
        with cache_below(tmp_path / "own"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert cache_folder() == home
