"""Sphinx extension: the API reference of a room, and the commands, from the code."""

from __future__ import annotations

import ast
import builtins
import contextlib
import importlib
import io
import sys
import typing
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.addnodes import pending_xref
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.nodes import nested_parse_with_titles

if typing.TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

PACKAGE = Path(__file__).parents[1] / "e820pool"
# Commands are documented by their --help, which has a page of its own.
WITHOUT_REFERENCE = "e820pool.cli"


def public_modules(room: str = "") -> list[str]:
    """Return the names of the public modules of a room (a file or a folder)."""
    modules = (
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in PACKAGE.rglob("*.py")
        if path.name == "__init__.py" or not path.name.startswith("_")
    )
    names = (name.removesuffix(".__init__") for name in modules)
    start = f"e820pool.{room}." if room else "e820pool."
    return sorted(name for name in names if f"{name}.".startswith(start))


def own_names(name: str) -> list[str]:
    """Return what a module exports and defines, not what it imports."""
    module = importlib.import_module(name)
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    taken = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    return [export for export in getattr(module, "__all__", ()) if export not in taken]


def import_with_types() -> None:
    """Import every module as a type checker does, so that annotations resolve.

    Once as usual, which brings in what others own: not all of them can be imported
    this way. Then again.
    """
    for name in public_modules():
        importlib.import_module(name)
    for name in [
        loaded for loaded in sys.modules if loaded.partition(".")[0] == "e820pool"
    ]:
        del sys.modules[name]
    typing.TYPE_CHECKING = True
    try:
        for name in public_modules():
            importlib.import_module(name)
    finally:
        typing.TYPE_CHECKING = False


class Room(Directive):
    """Document every public module of a room: ``.. room:: kernel``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the sections of the modules, each from its docstrings."""
        lines = StringList()
        modules = public_modules(self.arguments[0])
        if not modules:
            raise self.error(f"no public module in {self.arguments[0]!r}")
        for name in modules:
            own = own_names(name)
            members = [f"   :members: {', '.join(own)}"] if own else []
            title = (name, "-" * len(name), "")
            for line in (*title, f".. automodule:: {name}", *members, ""):
                lines.append(line, "reference.py")
        section = nodes.section()
        section.document = self.state.document
        nested_parse_with_titles(self.state, lines, section)
        return section.children


class Commands(Directive):
    """Show the help of every command, as ``--help`` prints it."""

    def run(self) -> list[nodes.Node]:
        """Return a section a command."""
        commands = importlib.import_module("e820pool.cli.commands").COMMANDS
        return [_help_section(name) for name in ("", *commands)]


def _help_section(command: str) -> nodes.section:
    title = f"e820pool {command}".strip()
    section = nodes.section(ids=[title.replace(" ", "-")])
    section += nodes.title(text=title)
    text = help_of(command)
    section += nodes.literal_block(text, text, language="none")
    return section


def help_of(command: str) -> str:
    """Return what ``e820pool COMMAND --help`` prints; of no command, of all."""
    printed = io.StringIO()
    main = importlib.import_module("e820pool.cli").main
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([*filter(None, [command]), "--help"])
    return printed.getvalue()


class PlainForeignNames(SphinxPostTransform):
    """Leave names of Python itself as text, before a search for them begins.

    No page here has them, and ``type`` or ``bytes`` would find an attribute.
    """

    default_priority = 5

    def run(self) -> None:
        """Replace each such reference by its text."""
        for node in list(self.document.findall(pending_xref)):
            target = node.get("reftarget", "")
            if node.get("refdomain") == "py" and hasattr(builtins, target):
                node.replace_self(node.children)


def warn_of_missing_names(_app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of each public name that no page documents: it has no docstring."""
    documented = env.domains.python_domain.objects
    for module in public_modules():
        if f"{module}.".startswith(f"{WITHOUT_REFERENCE}."):
            continue
        for name in own_names(module):
            if f"{module}.{name}" not in documented:
                logging.getLogger(__name__).warning(
                    "%s.%s is not in the reference: its room has no page in docs/api, "
                    "or it has no docstring (of a constant: a comment '#: ...')",
                    module,
                    name,
                )


def plain_texts(
    _app: Sphinx, what: str, _name: str, _of: object, _options: object, lines: list[str]
) -> None:
    """Keep the pictures of modules, and sentences that have a colon."""
    if what == "module":
        lines[:] = _with_literal_pictures(lines)
    elif what in {"data", "attribute", "property"}:
        # Napoleon takes what stands before a first line's colon for a type: an escaped
        # line end, which is nothing, makes it another line.
        lines.insert(0, "\\")


# What is indented under a paragraph of a module's text is a picture.
def _with_literal_pictures(lines: list[str]) -> list[str]:
    made: list[str] = []
    before = "::"
    for line in lines:
        starts = line.startswith("    ") and made and not made[-1]
        if starts and not before.startswith(" ") and not before.endswith("::"):
            made += ["::", ""]
        made.append(line)
        before = line or before
    return made


def setup(app: Sphinx) -> dict[str, object]:
    """Register the directives and the check of completeness."""
    app.add_directive("room", Room)
    app.add_directive("commands", Commands)
    app.add_post_transform(PlainForeignNames)
    app.connect("env-check-consistency", warn_of_missing_names)
    # Before Napoleon, which is at 500.
    app.connect("autodoc-process-docstring", plain_texts, priority=400)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
