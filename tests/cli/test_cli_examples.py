"""Every command's --help has an example, and the example works as it is written."""

import pytest
import rawbytes
from helpexamples import LAB, example_of, fill
from rawhandoff import GIB, MIB, ROWS
from rawlive import RawLive

from e820pool.cli.commands import COMMANDS

NAMES = list(COMMANDS)
DEPOSITS = ((GIB >> 12, 512), (128 * MIB >> 12, 16))
# What an example ends with when it is done: a difference is what diff is for.
STATUSES = {"diff": 1}
WRITES = {"report": "report.html"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path, ROWS, DEPOSITS)
    boot = RawLive().write(tmp_path / "root") / "boot"
    boot.mkdir()
    (boot / "vmlinuz-6.1.0-52-amd64").write_bytes(rawbytes.bzimage())
    (boot / "initrd.img-6.1.0-52-amd64").write_bytes(b"x")
    return tmp_path


# This machine may be a container that shows no map, and has no kernel to be loaded.
def on_this_machine(words):
    place = {"live": "machine.txt"}
    more = ["--root", "root", "--state", "state"] if words[0] == "kexec" else []
    return [place.get(word, word) for word in words] + more


@pytest.mark.parametrize("name", sorted(set(NAMES) - LAB))
def test_an_example_runs_as_it_is_written(run, folder, name):
    done = run(*on_this_machine(example_of(name)))
    assert done.code == STATUSES.get(name, 0), done.err
    assert done.out or (folder / WRITES[name]).stat().st_size


def test_what_needs_a_kernel_is_run_in_the_lab():
    assert set(NAMES) >= LAB
    for name in LAB:
        assert example_of(name)[0] == name
