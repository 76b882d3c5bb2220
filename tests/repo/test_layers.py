"""The rooms and their order, read from the imports."""

import ast
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "e820pool"

# A module imports only from rooms above its own.
ROOMS = (
    "errors",
    "atomic",
    "range_lists",
    "findings",
    "extents",
    "documents",
    "sweep",
    "abi",
    "table",
    "type_words",
    "memory_devices",
    "memory_map",
    "range_text",
    "deposits",
    "handoff",
    "kernel",
    "strategies",
    "sources",
    "loading",
    "compat",
    "pool",
    "stress",
    "live",
    "lab",
    "report",
    "experiments",
    "data",
    "pytest_plugin",
    "cli",
)
# The one arrow against the order: a word of the front door for a function of report/.
UPWARDS = ("handoff/model.py", "e820pool.report.handoff_files")
MODULES = sorted(PACKAGE.rglob("*.py"))
IMPURE_ROOMS = {
    "__main__",
    "atomic",
    "sources",
    "loading",
    "lab",
    "live",
    "report",
    "experiments",
    "pytest_plugin",
    "cli",
}
# Modules that reach outside the process: clock, environment, files, randomness.
IMPURE = {"os", "time", "datetime", "random", "secrets", "tempfile", "shutil"}
IMPURE |= {"pathlib", "glob", "socket", "signal", "getpass", "platform", "subprocess"}


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def nodes_of(path):
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imports_of(path):
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            if node.module == "e820pool":
                yield from (f"e820pool.{alias.name}" for alias in node.names)


def calls_of(path):
    for node in nodes_of(path):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def outside(*rooms):
    return [path for path in MODULES if room_of(path) not in rooms]


def top_imports_of(path):
    return {name.split(".")[0] for name in imports_of(path)}


def named(paths):
    return [str(path.relative_to(PACKAGE)) for path in paths]


def test_every_room_is_in_the_list():
    found = {room_of(path) for path in MODULES} - {"__init__", "__main__"}
    assert found <= set(ROOMS)


def test_a_module_imports_only_from_rooms_above():
    wrong = []
    for path in outside("__init__", "__main__"):
        for name in imports_of(path):
            package, _, rest = name.partition(".")
            room = rest.partition(".")[0]
            if package != "e820pool" or room not in ROOMS:
                continue
            if (*named([path]), name) == UPWARDS:
                continue
            if ROOMS.index(room) > ROOMS.index(room_of(path)):
                wrong.append((*named([path]), name))
    assert wrong == []


# A library, and the rooms that may import it.
ONLY_IN = {
    "construct": ("abi",),
    "subprocess": ("lab", "live"),
    "hypothesis": ("strategies",),
    "pytest": ("pytest_plugin",),
}


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_used_only_in_its_room(library):
    others = outside(*ONLY_IN[library])
    assert named(path for path in others if library in top_imports_of(path)) == []


def test_no_other_room_needs_the_strategies():
    def needs_them(path):
        return any(name.startswith("e820pool.strategies") for name in imports_of(path))

    assert named(filter(needs_them, outside("strategies", "__init__"))) == []


def test_only_the_command_line_prints_and_exits():
    words = {"print", "exit", "quit", "sys.exit", "os._exit"}
    others = outside("cli")
    assert named(path for path in others if words & set(calls_of(path))) == []


def test_rooms_of_values_are_pure():
    def reaches_out(path):
        return top_imports_of(path) & IMPURE or "open" in set(calls_of(path))

    # kernel/profiles.py reads the package's own data files, which never change.
    pure = [path for path in outside(*IMPURE_ROOMS) if path.name != "profiles.py"]
    assert named(filter(reaches_out, pure)) == []
