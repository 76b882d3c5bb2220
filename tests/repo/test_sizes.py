"""A function fits a screen and a file is one subject; no gate on how small they are."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "e820pool"
MODULES = sorted(PACKAGE.rglob("*.py"))


def functions():
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body = [n for n in node.body if not _is_docstring(n)]
                lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                yield f"{path.name}:{node.name}", lines


def _is_docstring(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def test_no_function_is_longer_than_sixty_lines():
    assert [(name, size) for name, size in functions() if size > 60] == []


def test_no_file_is_longer_than_eight_hundred_lines():
    sizes = {p.name: len(p.read_text(encoding="utf-8").splitlines()) for p in MODULES}
    assert {name: size for name, size in sizes.items() if size > 800} == {}
