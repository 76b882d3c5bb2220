"""The rooms and their order, read from the imports."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "e820pool"

# A module imports only from rooms above its own.
ROOMS = (
    "errors",
    "atomic",
    "findings",
    "extents",
    "sweep",
    "abi",
    "type_words",
    "memory_map",
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
    "data",
    "pytest_plugin",
    "cli",
)
MODULES = sorted(PACKAGE.rglob("*.py"))
IMPURE_ROOMS = {
    "atomic",
    "sources",
    "loading",
    "lab",
    "live",
    "report",
    "pytest_plugin",
    "cli",
}
# Modules that reach outside the process: clock, environment, files, randomness.
IMPURE = {"os", "time", "datetime", "random", "secrets", "tempfile", "shutil"}
IMPURE |= {"pathlib", "glob", "socket", "signal", "getpass", "platform", "subprocess"}


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            if node.module == "e820pool":
                yield from (f"e820pool.{alias.name}" for alias in node.names)


def calls_of(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


@pytest.fixture(params=MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def module(request):
    return request.param


def test_every_room_is_in_the_list():
    found = {room_of(path) for path in MODULES} - {"__init__", "__main__"}
    assert found <= set(ROOMS)


def test_a_module_imports_only_from_rooms_above(module):
    room = room_of(module)
    if room in {"__init__", "__main__"}:
        return
    for name in imports_of(module):
        parts = name.split(".")
        if parts[0] == "e820pool" and len(parts) > 1 and parts[1] in ROOMS:
            assert ROOMS.index(parts[1]) <= ROOMS.index(room), name


def test_construct_is_used_only_in_abi(module):
    if room_of(module) != "abi":
        assert not any(n.split(".")[0] == "construct" for n in imports_of(module))


def test_subprocess_is_used_only_in_the_lab_and_on_this_machine(module):
    if room_of(module) not in {"lab", "live"}:
        assert "subprocess" not in set(imports_of(module))


def test_hypothesis_is_used_only_in_the_strategies(module):
    used = {name.split(".")[0] for name in imports_of(module)}
    assert "hypothesis" not in used or room_of(module) == "strategies"


def test_pytest_is_used_only_in_its_plugin(module):
    used = {name.split(".")[0] for name in imports_of(module)}
    assert "pytest" not in used or room_of(module) == "pytest_plugin"


def test_no_other_room_needs_the_strategies(module):
    if room_of(module) != "strategies":
        used = {".".join(name.split(".")[:2]) for name in imports_of(module)}
        assert "e820pool.strategies" not in used


def test_only_the_command_line_prints_and_exits(module):
    if room_of(module) == "cli":
        return
    used = set(calls_of(module)) & {"print", "exit", "quit", "sys.exit", "os._exit"}
    assert not used


def test_rooms_of_values_are_pure(module):
    # kernel/profiles.py reads the package's own data files, which never change.
    if room_of(module) in IMPURE_ROOMS or module.name == "profiles.py":
        return
    used = {n.split(".")[0] for n in imports_of(module)} & IMPURE
    assert not used
    assert "open" not in set(calls_of(module))
