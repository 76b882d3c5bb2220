"""Run commands in this process, as a user would, and look at all they leave behind."""

import json
from dataclasses import dataclass

import pytest
from rawhandoff import map_file

from e820pool.cli import main


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def run(capsys):
    """Return a function that runs a command and returns a Done."""

    def call(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Done(code, *capsys.readouterr())

    return call


@pytest.fixture
def ok(run):
    """Return a function that wants status 0 and nothing on stderr."""

    def call(*words):
        done = run(*words)
        assert (done.code, done.err) == (0, ""), done
        return done

    return call


@pytest.fixture
def refused(run):
    """Return a function that wants a status, one line on stderr and no result."""

    def call(code, *words):
        done = run(*words)
        assert (done.code, done.out) == (code, ""), done
        assert done.err.startswith("e820pool: "), done.err
        assert done.err.endswith("\n")
        assert done.err.count("\n") == 1, done.err
        as_json = run(*words, "--format", "json")
        told = json.loads(as_json.err)
        assert (as_json.code, as_json.out) == (code, "")
        assert told == {"schema": 1, "error": told["error"]}
        return told["error"]

    return call


@pytest.fixture
def machine(tmp_path):
    """Return the file of a clean machine's map."""
    return map_file(tmp_path / "machine.json")


@pytest.fixture
def out(tmp_path):
    """Return a place for a handoff directory, in a parent that is empty else."""
    parent = tmp_path / "parent"
    parent.mkdir()
    return parent / "out"
