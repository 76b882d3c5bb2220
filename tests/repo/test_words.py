"""Names and docstrings say what a thing is."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]


def nodes_of(*folders):
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                yield path, node


# What a class does is said of its methods.
VERBS = {"Hold", "Say", "Name", "Tell", "Show", "State", "Give", "Gather", "Collect"}
VERBS |= {
    "Describe",
    "Follow",
    "Read",
    "Write",
    "Keep",
    "Run",
    "Take",
    "Draw",
    "Return",
}


def test_the_docstring_of_a_class_says_what_it_is():
    wrong = []
    for path, node in nodes_of("e820pool"):
        if isinstance(node, ast.ClassDef):
            first = (ast.get_docstring(node) or "A").split()[0]
            wrong += [f"{path.name} {node.name}"] * (first in VERBS)
    assert wrong == []


# They say that there is a thing, not what it is.
NO_NAMES = {"one", "found", "told"}


def named_by(node):
    """Return the name that a node gives to something, or ""."""
    if isinstance(node, ast.arg):
        return node.arg
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return node.id
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return node.name
    return ""


def test_a_name_says_what_a_thing_is():
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno} {named_by(node)}"
        for path, node in nodes_of("e820pool", "docs", "tools")
        if named_by(node) in NO_NAMES
    ]
    assert wrong == []


def annotations_of(node):
    if isinstance(node, ast.FunctionDef):
        yield node.returns
    elif isinstance(node, ast.arg | ast.AnnAssign):
        yield node.annotation


def test_a_pair_of_numbers_says_which_two_they_are():
    """(start, end) and (addr, size) stood side by side, both as tuple[int, int]."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, node in nodes_of("e820pool")
        for annotation in annotations_of(node)
        if annotation and "tuple[int, int]" in ast.unparse(annotation)
    ]
    assert wrong == []


# Those of a command; and a fixture, which is called as what it does.
SHARED = {"configure", "run", "DESCRIPTION", "EXAMPLE", "boot"}


def public_names_of(path):
    """Yield the names that a module gives to things of its own."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
        else:
            continue
        yield from (name for name in names if not name.startswith("_"))


def test_no_two_modules_give_one_name_to_different_things():
    places = defaultdict(list)
    for path in sorted((ROOT / "e820pool").rglob("*.py")):
        for name in public_names_of(path):
            places[name].append(str(path.relative_to(ROOT)))
    twice = {name: where for name, where in places.items() if len(where) > 1}
    assert {name: twice[name] for name in twice.keys() - SHARED} == {}
