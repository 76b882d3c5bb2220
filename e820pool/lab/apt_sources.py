"""Where this machine gets its packages from, read from its own apt configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = (
    "AptSource",
    "parse_list",
    "parse_sources",
    "pick_archive",
    "wide_sources",
)

# Suites of the distribution whose kernels are wanted, oldest first.
_SUITES = ("bullseye", "bookworm", "trixie", "forky", "sid")

# What else stands for one of them in a configuration.
_ALIASES = frozenset({"oldoldstable", "oldstable", "stable", "testing", "unstable"})

# A suite that only corrects another one is not where a release's own kernel is.
_SIDE_SUITES = re.compile(r"[-/](?:security|updates|proposed-updates|debug)$")

_ONE_LINE = re.compile(
    r"deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<rest>.+)"
)
_FIELD = re.compile(r"(?P<name>[A-Za-z0-9-]+):[ \t]*(?P<value>.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class AptSource:
    """One archive of packages.

    Attributes:
        uri: of the mirror.
        suites: names below its dists/.
        components: of those suites.
        signed_by: keyring path or key text, "" for apt's own trusted keys.
    """

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""


def parse_list(text: str) -> Iterator[AptSource]:
    """Yield the binary archives of a one-line-style file (sources.list(5))."""
    for raw in text.splitlines():
        match = _ONE_LINE.fullmatch(raw.partition("#")[0].strip())
        if not match:
            continue
        suite, *components = match["rest"].split()
        options = dict(
            pair.split("=", 1)
            for pair in (match["options"] or "").split()
            if "=" in pair
        )
        yield AptSource(
            uri=match["uri"],
            suites=(suite,),
            components=tuple(components),
            signed_by=options.get("signed-by", ""),
        )


def parse_sources(text: str) -> Iterator[AptSource]:
    """Yield the enabled binary archives of a deb822-style file (sources.list(5))."""
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields = _fields(stanza)
        enabled = fields.get("enabled", "yes").lower() not in {"no", "false", "0"}
        if not enabled or "deb" not in fields.get("types", "").split():
            continue
        for uri in fields.get("uris", "").split():
            yield AptSource(
                uri=uri,
                suites=tuple(fields.get("suites", "").split()),
                components=tuple(fields.get("components", "").split()),
                signed_by=fields.get("signed-by", ""),
            )


def pick_archive(sources: Iterable[AptSource]) -> AptSource | None:
    """Return the first source that is the distribution's main archive."""
    wanted = _ALIASES | set(_SUITES)
    for source in sources:
        has_suite = any(
            suite.removesuffix("-backports") in wanted
            for suite in source.suites
            if not _SIDE_SUITES.search(suite)
        )
        if has_suite and "main" in source.components:
            return source
    return None


def wide_sources(archive: AptSource) -> str:
    """Return a deb822-style file that names every suite of the same archive."""
    suites = (*_SUITES, *(f"{suite}-backports" for suite in _SUITES[:-1]))
    fields = {
        "Types": "deb",
        "URIs": archive.uri,
        "Suites": " ".join(suites),
        "Components": "main",
        "Architectures": "amd64",
        "Signed-By": archive.signed_by,
    }
    return "".join(f"{name}: {value}\n" for name, value in fields.items() if value)


# Continuation lines are kept as they are: a key may be written into the field.
def _fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1] in " \t" and name:
            fields[name] += "\n" + line.rstrip()
        elif match := _FIELD.fullmatch(line):
            name = match["name"].lower()
            fields[name] = match["value"].strip()
    return fields
