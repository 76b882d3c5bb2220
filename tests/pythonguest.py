"""A guest that can run e820pool itself: this Python, its libraries, this package.

Nothing is fetched: the interpreter that runs the tests, the standard library without
what no program of ours needs, NumPy, construct, tabulate and the package go into an
initramfs as they lie here. Sources are compiled ahead, or emulated guests would spend
minutes on it.
"""

import importlib.util
import py_compile
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np

import e820pool
from e820pool.lab.initramfs import directory, loaded_libraries, regular

PACKAGE = Path(e820pool.__file__).parent
STDLIB = Path(sysconfig.get_path("stdlib"))
INTERPRETER = Path(sys.executable).resolve()
SITE = Path("/site")

# Large, and of no use to a program without a screen, a compiler or a test.
LEFT_OUT = {
    *("test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip"),
    *("distutils", "site-packages", "__pycache__", "pydoc_data", "unittest", "f2py"),
    *("asyncio", "testing", "include", "sqlite3"),
}
# Extension modules that draw in the libraries of a desktop.
DESKTOP = ("_tkinter", "_sqlite3", "_curses", "_test", "_codecs_", "_dbm", "_gdbm")
PACKAGES = ("numpy", "numpy.libs", "construct", "msgspec", "tabulate")


def python_entries(folder):
    """Return the initramfs entries of a Python with e820pool; ``folder`` is scratch.

    In the guest ``e820pool`` is in /bin, as after an installation.
    """
    files = {}
    files |= _tree(STDLIB, STDLIB, folder)
    for name in PACKAGES:
        files |= _tree(_location(name), SITE / name, folder)
    files |= _tree(PACKAGE, SITE / "e820pool", folder)
    files |= _tree(PACKAGE.parent / "specs" / "kernels", SITE / "specs/kernels", folder)
    files[INTERPRETER] = INTERPRETER.read_bytes()
    shared = [Path(path) for path in map(str, files) if ".so" in path]
    for path in _libraries([INTERPRETER, *filter(Path.exists, shared), *_numpy()]):
        files.setdefault(Path(path), Path(path).read_bytes())
    files[Path("/bin/e820pool")] = _launcher().encode()
    return list(_entries(files))


def _launcher():
    home = Path(sys.base_prefix)
    return (
        "#!/bin/busybox sh\n"
        f"export PYTHONHOME={home} PYTHONPATH={SITE} PYTHONDONTWRITEBYTECODE=1\n"
        "export OPENBLAS_NUM_THREADS=1\n"
        f'exec {INTERPRETER} -m e820pool "$@"\n'
    )


def _location(name):
    found = importlib.util.find_spec(name)
    if found is not None and found.submodule_search_locations:
        return Path(found.submodule_search_locations[0])
    # NumPy's libraries are beside it, wherever that is.
    return Path(np.__file__).parents[1] / name


def _numpy():
    return [p for name in PACKAGES[:2] for p in _location(name).rglob("*.so*")]


def _tree(source, target, folder):
    found = {}
    for path in sorted(source.rglob("*")):
        inside = path.relative_to(source)
        if not path.is_file() or LEFT_OUT & set(inside.parts[:-1]):
            continue
        if path.name.startswith(DESKTOP) or "config-" in str(inside):
            continue
        if path.suffix == ".py":
            compiled = _compiled(path, folder)
            if compiled is not None:
                found[target / inside.with_suffix(".pyc")] = compiled
        elif path.suffix not in {".pyc", ".pyi", ".a", ".h", ".md", ".c"}:
            found[target / inside] = path.read_bytes()
    return found


# A .pyc in the place of its source is imported without one.
def _compiled(path, folder):
    made = folder / "one.pyc"
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    try:
        py_compile.compile(str(path), str(made), doraise=True, invalidation_mode=mode)
    except py_compile.PyCompileError:
        return None
    return made.read_bytes()


def _libraries(programs):
    found = set()
    for program in programs:
        said = subprocess.run(
            ["ldd", program], capture_output=True, text=True, check=False
        )
        found |= set(loaded_libraries(said.stdout))
    # NumPy's own are in the guest under /site, where it looks for them.
    return sorted(path for path in found if "site-packages" not in path)


def _entries(files):
    made = {".", "bin"}
    for path, data in sorted(files.items()):
        name = str(path).lstrip("/")
        for parent in reversed(Path(name).parents):
            if str(parent) not in made:
                made.add(str(parent))
                yield directory(str(parent))
        yield regular(name, data)
