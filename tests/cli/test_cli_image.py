"""image: one handoff, one kernel, one file."""

import pytest
import rawbytes
from rawhandoff import ROWS, RawHandoff


@pytest.fixture
def image(run, tmp_path):
    """Return a function that asks for an image and returns status and stderr."""
    handoff = RawHandoff(rows=ROWS).write(tmp_path / "h")

    def call(kernels):
        done = run("image", handoff, "--kernel", kernels, "-o", tmp_path / "elf")
        assert not (tmp_path / "elf").exists()
        assert (done.out, done.err.count("\n")) == ("", 1)
        return done.code, done.err

    return call


@pytest.mark.parametrize("kernels", ["", ","])
def test_an_image_of_no_kernel_is_a_mistake_in_usage(image, kernels):
    code, told = image(kernels)
    assert code == 2
    assert f"{kernels!r} names no kernel" in told


def test_of_several_kernels_none_is_chosen_silently(image, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(rawbytes.bzimage())
    code, told = image(f"{tmp_path / 'a'},{tmp_path / 'b'}")
    assert code == 3
    assert "image takes one kernel, not 2" in told
