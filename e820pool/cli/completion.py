"""What a shell may offer for each argument, said once for all shells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator

__all__ = ("NAMES", "SHELLS", "completion_script", "names_of")

SHELLS = ("bash", "zsh", "tcsh", "fish")
"""Shells that a script can be made for."""

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


def completion_script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script that completes the command line of ``parser`` in a shell.

    Raises:
        KeyError: the shell is none of :data:`SHELLS`.
    """
    import shtab  # noqa: PLC0415  only for this command

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


def names_of(kind: str) -> Iterable[str]:
    """Return the names of a kind, one of :data:`NAMES`, as they are now."""
    return NAMES[kind]()


def _actions(parser: argparse.ArgumentParser) -> Iterator[Any]:
    import argparse  # noqa: PLC0415  for its classes

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


def _kernels() -> Iterable[str]:
    from e820pool.lab.images import built_images, cached_images  # noqa: PLC0415  numpy
    from e820pool.sources.installed_kernels import installed_kernels  # noqa: PLC0415

    installed = (kernel.version for kernel in installed_kernels())
    images = (
        kernel.name or kernel.version for kernel in (*cached_images(), *built_images())
    )
    from e820pool.kernel.profiles import known_distributions  # noqa: PLC0415  numpy

    named = (*_releases(), *known_distributions())
    return dict.fromkeys(("all", "running", "newest", *named, *installed, *images))


def _releases() -> Iterable[str]:
    from e820pool.kernel.profiles import known_releases  # noqa: PLC0415  numpy

    return known_releases()


def _encodings() -> Iterable[str]:
    from e820pool.handoff.encodings import ENCODINGS  # noqa: PLC0415  numpy

    return ENCODINGS


def _findings() -> Iterable[str]:
    from e820pool.report.explanations import explanations  # noqa: PLC0415  on use

    return explanations()


def _limits() -> Iterable[str]:
    from e820pool.stress.confirm import limits_named  # noqa: PLC0415  numpy

    return ("all", *limits_named("all"))


def _policies() -> Iterable[str]:
    from e820pool.stress.policies import DEFAULT_POLICIES  # noqa: PLC0415  numpy

    return DEFAULT_POLICIES


def _loaders() -> Iterable[str]:
    from e820pool.lab.chain_model import LOADERS  # noqa: PLC0415  numpy

    return LOADERS


NAMES: dict[str, Callable[[], Iterable[str]]] = {
    "encodings": _encodings,
    "findings": _findings,
    "kernels": _kernels,
    "limits": _limits,
    "loaders": _loaders,
    "policies": _policies,
    "releases": _releases,
}
"""Kinds of names that change with what is installed and fetched here."""
