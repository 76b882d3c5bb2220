"""What the page for other projects shows is typed, runs, and says what it should."""

import os
import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from documented import ROOT, consoles, listings

import e820pool.strategies

PAGE = "docs/for-your-code.md"
# That one boots a kernel: tests/lab runs it.
BOOTS = "test_on_a_real_kernel"
WRONG = """
from e820pool.handoff.build import build_handoff
from e820pool.pytest_plugin import Boot
from e820pool.strategies import e820_tables, machines

build_handoff("map", 3)
e820_tables(max_size="12")
def test_it(boot: Boot) -> None:
    boot(machines(), kernel=6.1)
    boot.record(3).view.tuched
"""


# Hypothesis has no deadline in CI: a busy machine is as slow.
WITHOUT_DEADLINE = {**os.environ, "CI": "true"}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with the page's listings, as another project would have them."""
    folder = tmp_path_factory.mktemp("downstream")
    for name, text in listings(PAGE).items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


def test_the_package_says_that_it_is_typed():
    assert files("e820pool").joinpath("py.typed").is_file()


def test_the_listings_pass_mypy_strict_and_a_wrong_use_does_not(project, tmp_path):
    """In one run: what mypy reads of the package and of numpy takes the time."""
    shutil.copytree(project, tmp_path, dirs_exist_ok=True)
    (tmp_path / "wrong.py").write_text(WRONG)
    cache = ROOT / ".mypy_cache" / "downstream"
    argv = ["--strict", "--config-file=", f"--cache-dir={cache}", "."]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *argv],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [
        line.split(":") for line in done.stdout.splitlines() if ": error:" in line
    ]
    found = {(name, int(number)) for name, number, *_ in errors}
    assert found == {("wrong.py", n) for n in (6, 7, 9, 10)}, done.stdout + done.stderr


def test_the_listings_run(project):
    names = sorted(f"{name}.py" for name in listings(PAGE) if name != BOOTS)
    assert len(names) >= 3
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *names],
        cwd=project,
        env=WITHOUT_DEADLINE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def test_a_resolver_that_is_wrong_would_be_found(project, tmp_path):
    """One that joins nothing: what makes the listing a test."""
    text = (project / "test_my_resolver.py").read_text(encoding="utf-8")
    wrong = text.replace("if joins and", "if False and")
    assert wrong != text
    (tmp_path / "test_wrong.py").write_text(wrong, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=WITHOUT_DEADLINE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout


def test_every_strategy_is_on_the_page():
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    names = {name for name in e820pool.strategies.__all__ if name.islower()}
    assert {name for name in names if f"`{name}()`" not in text} == set()


def test_every_option_of_the_plugin_is_on_the_page():
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    source = (ROOT / "e820pool" / "pytest_plugin.py").read_text(encoding="utf-8")
    named = set(re.findall(r'"(--e820pool-\w+|e820pool_\w+)"', source))
    assert len(named) == 7
    assert {name for name in named if f"`{name}" not in text} == set()


@pytest.mark.headers
@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs the Debian package gcc")
@pytest.mark.parametrize("commands", consoles(PAGE), ids=lambda c: c[0].split()[0])
def test_the_commands_run(commands, tmp_path):
    for folder in ("specs", "tests"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "cc").symlink_to(shutil.which("gcc"))
    tool = bin_folder / "e820pool"
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m e820pool "$@"\n')
    tool.chmod(0o755)
    path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["sh", "-ec", "\n".join(commands)],
        cwd=tmp_path,
        env=os.environ | {"PATH": path},
        check=True,
    )


def test_every_file_that_the_page_links_to_exists():
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    linked = [part.partition(")")[0] for part in text.split("](")[1:]]
    local = [link for link in linked if not link.startswith(("#", "http"))]
    assert local
    assert [
        link for link in local if not (Path(ROOT / PAGE).parent / link).exists()
    ] == []
