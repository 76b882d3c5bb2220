"""completion: what makes a shell complete this command line."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from e820pool.cli import status
from e820pool.cli.status import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from e820pool.cli.console import Console

__all__ = ("DESCRIPTION", "EXAMPLE", "NAMES", "SHELLS", "configure", "run")

DESCRIPTION = """\
Print the script for a shell: it completes commands, options, their choices, files, and
the names of kernels, encodings and policies as they are known and fetched here.

bash  e820pool completion bash >~/.local/share/bash-completion/completions/e820pool
zsh   e820pool completion zsh >_e820pool, in a folder of $fpath
fish  e820pool completion fish >~/.config/fish/completions/e820pool.fish
tcsh  e820pool completion tcsh >~/.e820pool.tcsh, and source that in ~/.tcshrc
"""
EXAMPLE = "e820pool completion bash"

SHELLS = ("bash", "zsh", "tcsh", "fish")
"""Shells that a script can be made for."""

# Where they are, but kernels.
_PLACES = {
    "encodings": ("handoff.encodings", "ENCODINGS"),
    "findings": ("report.explanations", "explanations"),
    "limits": ("stress.confirm", "OBSERVABLE"),
    "loaders": ("lab.chain_model", "LOADERS"),
    "policies": ("stress.policies", "DEFAULT_POLICIES"),
    "releases": ("kernel.profiles", "known_releases"),
}

NAMES = tuple(sorted(("kernels", *_PLACES)))
"""Kinds of names that change with what is installed and fetched here."""

_FILES = ("FILE", "FLEET", "HANDOFF", "IMAGE", "INPUT", "LOG", "PATH", "SOURCE")
_SOURCES = ("HANDOFF", "SOURCE")

_BASH = """\
# The names that e820pool knows; of a comma list the last part is completed.
_e820pool_names() {
  local before=""
  case "$2" in *,*) before="${2%,*},";; esac
  compgen -P "$before" -W "$(e820pool completion --list "$1" 2>/dev/null)" -- "${2##*,}"
}
_e820pool_kernels() { _e820pool_names kernels "$1"; compgen -f -- "$1"; }
_e820pool_source() { compgen -W live -- "$1"; compgen -f -- "$1"; }
# RANGE is numbers, which nobody can guess, or @FILE.
_e820pool_range() { case "$1" in @*) compgen -P @ -f -- "${1#@}";; esac; }
"""

_ZSH = """\
_e820pool_names() {
  compset -P '*,'
  compadd -- ${(f)"$(e820pool completion --list $1 2>/dev/null)"}
}
_e820pool_kernels() { _e820pool_names kernels; _files }
_e820pool_source() { compadd live; _files }
_e820pool_range() { compset -P @ && _files }
"""


_HEADS = {"bash": _BASH, "zsh": _ZSH}
_FISH_FILES = "(__fish_complete_path (commandline -ct))"
_FISH_FOLDERS = "(__fish_complete_directories)"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``completion``."""
    parser.add_argument("shell", choices=SHELLS, nargs="?", help="which shell")
    parser.add_argument(
        "--list",
        choices=NAMES,
        metavar="WHAT",
        help="instead, for the scripts: names that an argument may have, one a line, "
        f"of {', '.join(NAMES)}",
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Print the script, or names."""
    if (args.shell is None) == (args.list is None):
        raise UsageError("completion takes either a shell or --list WHAT, and not both")
    if args.list is not None:
        console.result("\n".join(_names_of(args.list)))
    else:
        console.result(_completion_script(args.whole(), args.shell))
    return status.DONE


def _completion_script(parser: argparse.ArgumentParser, shell: str) -> str:
    import shtab  # noqa: PLC0415  not for its help

    for action in _actions(parser):
        if action.choices is None and action.nargs != 0:
            offer = _offer(action)
            if offer:
                # The attribute that shtab looks for.
                action.complete = offer
    return shtab.complete(parser, shell=shell, preamble=_functions(shell))


# Scripts call functions by a bare name: one for each kind of names.
def _functions(shell: str) -> str:
    if shell not in _HEADS:
        return ""
    head = _HEADS[shell]
    kinds = [kind for kind in NAMES if kind != "kernels"]
    return head + "".join(
        f'_e820pool_{kind}() {{ _e820pool_names {kind} "$1"; }}\n' for kind in kinds
    )


# Somebody waits for them: only what is asked for is imported.
def _names_of(kind: str) -> Iterable[str]:
    if kind != "kernels":
        module, name = _PLACES[kind]
        names = getattr(import_module(f"e820pool.{module}"), name)
        known = names() if callable(names) else names
        return ("all", *known) if kind == "limits" else cast("Iterable[str]", known)
    from e820pool.kernel.profiles import (  # noqa: PLC0415
        known_distributions,
        known_releases,
    )
    from e820pool.lab.images import built_images, cached_images  # noqa: PLC0415
    from e820pool.sources.installed_kernels import installed_kernels  # noqa: PLC0415

    installed = (kernel.version for kernel in installed_kernels())
    images = (*cached_images(), *built_images())
    named = (*known_releases(), *known_distributions())
    here = (*installed, *(image.name or image.version for image in images))
    return dict.fromkeys(("all", "running", "newest", *named, *here))


def _actions(parser: argparse.ArgumentParser) -> Iterator[Any]:
    for action in parser._actions:  # noqa: SLF001  argparse has no public list
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for sub in action.choices.values():
                yield from _actions(sub)


# By what the help calls the value; where it says only NAME or LIST, by the option.
def _offer(action: argparse.Action) -> dict[str, str] | None:
    metavar = str(action.metavar or "").split("-")[0]
    if metavar in _SOURCES:
        source = "_e820pool_source"
        return _offers(source, source, "f", f"live {_FISH_FILES}")
    if metavar in _FILES:
        return _offers("_shtab_compgen_files", "_files", "f", _FISH_FILES)
    if metavar == "DIR":
        return _offers("_shtab_compgen_dirs", "_files -/", "d", _FISH_FOLDERS)
    if metavar == "RANGE":
        return _offers("_e820pool_range", "_e820pool_range", "", "")
    if action.dest in ("kernel", "running"):
        return _named("kernels", "_e820pool_kernels")
    kind = _BY_OPTION.get(action.dest)
    return None if kind is None else _named(kind, f"_e820pool_{kind}")


def _named(kind: str, function: str) -> dict[str, str]:
    command = f"e820pool completion --list {kind}"
    more = f" {_FISH_FILES}" if kind == "kernels" else ""
    return _offers(function, function, f"`{command}`", f"({command}){more}")


def _offers(bash: str, zsh: str, tcsh: str, fish: str) -> dict[str, str]:
    return {"bash": bash, "zsh": zsh, "tcsh": tcsh, "fish": fish}


_BY_OPTION = {
    "confirm": "limits",
    "encoding": "encodings",
    "finding": "findings",
    "loader": "loaders",
    "policy": "policies",
    "release": "releases",
}
