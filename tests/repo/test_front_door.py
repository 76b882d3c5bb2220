"""`import e820pool`: light, whole, typed; and the page that shows it is true."""

import ast
import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from documented import ROOT, listings

import e820pool

PAGE = "docs/api-in-five-minutes.md"
# That one boots a kernel: tests/lab runs it.
BOOTS = "real"
WRONG = """
import e820pool

e820pool.build("map", 3)
e820pool.judge(handoff=1, profile="6.1")
e820pool.no_such_name
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with the page's programs and the log that they read."""
    folder = tmp_path_factory.mktemp("user")
    for name, text in listings(PAGE).items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "tests/data/maps/dmesg/008.txt", folder / "dmesg.txt")
    return folder


def python(folder, *words):
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_programs_of_the_page_run(project):
    assert python(project, "first.py") == "14 entries\n"
    assert python(project, "later.py").endswith("entries as that kernel shows them\n")
    assert (project / "next" / "manifest.json").is_file()
    assert "is not whole pages" in python(project, "wrong.py")


def test_the_programs_pass_mypy_strict_and_a_wrong_use_does_not(project):
    (project / "bad.py").write_text(WRONG)
    names = [f"{name}.py" for name in listings(PAGE)]
    assert f"{BOOTS}.py" in names
    cache = ROOT / ".mypy_cache" / "downstream"
    argv = ["--strict", "--config-file=", f"--cache-dir={cache}", *names, "bad.py"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *argv],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [one.split(":") for one in done.stdout.splitlines() if ": error:" in one]
    found = {(name, int(number)) for name, number, *_ in errors}
    assert found == {("bad.py", n) for n in (4, 5, 6)}, done.stdout + done.stderr


def test_importing_the_package_imports_nothing_else():
    code = (
        "import sys; before = set(sys.modules); import e820pool;"
        " print(sorted(set(sys.modules) - before))"
    )
    assert python(ROOT, "-c", code) == "['e820pool']\n"


def test_a_name_imports_what_it_needs_and_no_more():
    code = (
        "import sys; from e820pool import InputError; import e820pool;"
        " print('numpy' in sys.modules, InputError is e820pool.errors.InputError)"
    )
    assert python(ROOT, "-c", code) == "False True\n"


@pytest.mark.parametrize("name", e820pool.__all__)
def test_each_name_is_there_and_documented(name):
    thing = getattr(e820pool, name)
    assert inspect.getdoc(thing)
    assert name in dir(e820pool)


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = e820pool.no_such_name


def imported_for_types():
    """Yield each name with the place from which type checkers take it."""
    tree = ast.parse(Path(e820pool.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    for node in block.body:
        if node.module.startswith("e820pool"):
            for alias in node.names:
                yield alias.asname or alias.name, (node.module, alias.name)


def test_types_say_the_same_as_the_imports():
    typed = dict(imported_for_types())
    assert set(typed) == set(e820pool.__all__) == set(e820pool._PLACES)
    for name, (module, there) in typed.items():
        found = sys.modules.get(f"{module}.{there}")
        if found is None:
            __import__(module)
            found = getattr(sys.modules[module], there)
        assert getattr(e820pool, name) is found, name


def test_every_name_is_on_the_page():
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    for name in e820pool.__all__:
        assert re.search(rf"\b{name}\b", text), name
