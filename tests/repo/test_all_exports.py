"""Every public module says what it exports, and every export is documented."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "e820pool"
NAMES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if not path.name.startswith("_")
)


@pytest.mark.parametrize("name", NAMES)
def test_a_public_module_lists_its_exports(name):
    module = importlib.import_module(name)
    assert isinstance(module.__all__, tuple)
    for export in module.__all__:
        thing = getattr(module, export)
        if inspect.isfunction(thing) or inspect.isclass(thing):
            assert inspect.getdoc(thing), f"{name}.{export} has no docstring"


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("e820pool."):
            for alias in node.names:
                yield node.module, alias.name


def test_what_another_module_imports_is_exported():
    for path in PACKAGE.rglob("*.py"):
        for name, export in imports_of(path):
            module = importlib.import_module(name)
            is_module = inspect.ismodule(getattr(module, export, None))
            assert is_module or export in module.__all__, f"{path}: {name}.{export}"
