"""The manual page, in man(7)'s macros, from the parser that --help is made from."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from e820pool import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from e820pool.cli.commands import Command

__all__ = ("man_page",)

# A line of a list or table in running text, which must stay a line of its own.
_COLUMNS = re.compile(r"\S {2,}\S")
# "exit status: 0 done ..." begins a section of the page.
_HEADED = re.compile(r"([a-z][a-z ]+): +(?=\S)")


def man_page(parser: argparse.ArgumentParser, commands: Mapping[str, Command]) -> str:
    """Return the page of a parser whose sub-parsers are ``commands``."""
    subs = _sub_parsers(parser)
    lines = [
        f'.TH {_escaped(parser.prog.upper())} 1 "" "{parser.prog} {__version__}"',
        # Addresses and names are searched for: no hyphenation, no padding.
        ".nh",
        ".ad l",
        *_section("NAME", f"{parser.prog} - {_first_clause(parser.description)}"),
        ".SH SYNOPSIS",
        rf"\fB{_escaped(parser.prog)}\fR \fICOMMAND\fR [\fIOPTION\fR ...]",
        *_section("DESCRIPTION", parser.description or ""),
        *_common(parser),
        ".SH COMMANDS",
    ]
    for name, command in commands.items():
        lines += _command(name, command, subs[name])
    for paragraph in _paragraphs(parser.epilog or ""):
        lines += _closing(paragraph)
    return "\n".join(lines) + "\n"


def _sub_parsers(
    parser: argparse.ArgumentParser,
) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:  # noqa: SLF001  argparse has no public list
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            return dict(action.choices)
    return {}


def _first_clause(text: str | None) -> str:
    clause = (text or "").split(",")[0]
    return clause[:1].lower() + clause[1:]


def _section(title: str, text: str) -> Iterator[str]:
    yield f".SH {title}"
    for at, paragraph in enumerate(_paragraphs(text)):
        if at:
            yield ".PP"
        yield from _paragraph(paragraph)


# What every command takes is told once.
def _common(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield ".SH OPTIONS"
    for action in parser._actions:  # noqa: SLF001
        if action.option_strings:
            yield from _argument(parser, action)


def _is_common(action: argparse.Action) -> bool:
    return bool({"--help", "--quiet"} & set(action.option_strings))


def _command(
    name: str, command: Command, parser: argparse.ArgumentParser
) -> Iterator[str]:
    yield f".SS {_escaped(name)}"
    usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
    yield rf"\fB{_escaped(parser.prog)}\fR{_escaped(usage.removeprefix(parser.prog))}"
    for paragraph in _paragraphs(command.DESCRIPTION):
        yield ".PP"
        yield from _paragraph(paragraph)
    for action in parser._actions:  # noqa: SLF001
        if not _is_common(action):
            yield from _argument(parser, action)
    yield from (".PP", "Example:", ".PP", ".RS 4", ".nf")
    yield from (_escaped(line) for line in command.EXAMPLE.splitlines())
    yield from (".fi", ".RE")


def _argument(
    parser: argparse.ArgumentParser, action: argparse.Action
) -> Iterator[str]:
    formatter = parser._get_formatter()  # noqa: SLF001  its words are those of --help
    names = ", ".join(rf"\fB{_escaped(one)}\fR" for one in action.option_strings)
    value = ""
    if action.nargs != 0:
        default = action.metavar or action.dest
        told = formatter._metavar_formatter(action, str(default))(1)[0]  # noqa: SLF001
        value = rf"\fI{_escaped(told)}\fR"
    yield ".TP"
    yield f"{names} {value}".strip()
    help_text = formatter._expand_help(action) if action.help else ""  # noqa: SLF001
    if not help_text and action.choices is not None:
        help_text = f"(default: {action.default})" if action.default else ""
    # A tag without text would swallow the next one.
    yield _escaped(help_text) or r"\&"


def _closing(paragraph: str) -> Iterator[str]:
    found = _HEADED.match(paragraph)
    if found is None:
        yield ".SH NOTES"
        yield from _paragraph(paragraph)
        return
    yield f".SH {found[1].upper()}"
    rest = paragraph[found.end() :].split("\n")
    yield _escaped(" ".join(line.strip() for line in rest))


def _paragraphs(text: str) -> list[str]:
    return [one.strip("\n") for one in re.split(r"\n\s*\n", text) if one.strip()]


def _paragraph(text: str) -> Iterator[str]:
    lines = text.splitlines()
    if any(_COLUMNS.search(line) for line in lines):
        yield ".nf"
        yield from (_escaped(line) for line in lines)
        yield ".fi"
    else:
        yield _escaped(" ".join(lines))


# A backslash begins an escape, a hyphen is a dash of print, and a line that begins
# with a dot or a quote is a request.
def _escaped(text: str) -> str:
    told = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{told}" if told.startswith((".", "'")) else told
