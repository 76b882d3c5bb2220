"""apt with a configuration of its own: other suites, no change to the system."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.errors import LabError
from e820pool.lab.run_tool import run_tool

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Iterator, Sequence

__all__ = (
    "AptSource",
    "IsolatedApt",
    "parse_list",
    "parse_sources",
    "pick_archive",
    "system_archive",
    "wide_sources",
)

_UPDATE_SECONDS = 600
_DOWNLOAD_SECONDS = 600

# Lists are taken anew after so long; this file says when they were taken.
_LISTS_SECONDS = 24 * 3600
_STAMP = "updated"

# Hooks of the system are not ours to run, and translations are of no use here.
_CONFIG = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Acquire::Languages "none";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
APT::Get::AllowUnauthenticated "false";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
"""

_STANZA_LINE = re.compile(r"^(Version|SHA256): (\S+)$", re.MULTILINE)

_HELP = "pass --kernel the path of a bzImage instead"

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
        suites: names below its dists/.
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


def system_archive() -> AptSource:
    """Return the archive that this machine's apt is configured with.

    Raises:
        LabError: there is no apt, or it knows no archive with these suites.
    """
    if shutil.which("apt-get") is None:
        raise LabError(f"apt-get is not installed: {_HELP}")
    archive = pick_archive(_configured())
    if archive is None:
        raise LabError(
            "apt's configuration names no Debian archive with a component main, which "
            f"kernels are fetched from: {_HELP}"
        )
    return archive


class IsolatedApt:
    """An apt with lists, state and cache of its own in a folder."""

    def __init__(self, folder: Path) -> None:
        """Lay out the folder.

        Raises:
            LabError: it cannot be written, or there is no archive.
        """
        self._folder = folder
        sources = wide_sources(system_archive())
        try:
            for name in ("lists/partial", "state", "cache/archives/partial"):
                (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / "state" / "status").touch()
            for name, text in (("apt.conf", _CONFIG), ("wide.sources", sources)):
                self._keep(folder / name, text)
        except OSError as exc:
            raise LabError(f"apt folder: {exc}") from exc

    # apt's own cache is good for as long as these files are not touched.
    def _keep(self, path: Path, text: str) -> None:
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return
        path.write_text(text, encoding="utf-8")
        (self._folder / _STAMP).unlink(missing_ok=True)

    def update(self) -> None:
        """Get the package lists unless they are fresh; check their signatures.

        A suite that the mirror lacks is left out.

        Raises:
            LabError: not one list could be had.
        """
        stamp = self._folder / _STAMP
        if stamp.exists() and time.time() - stamp.stat().st_mtime < _LISTS_SECONDS:
            return
        done = self._run(("apt-get", "update"), _UPDATE_SECONDS)
        if not any((self._folder / "lists").glob("*_InRelease")):
            raise LabError(f"no package lists: {_last_error(done)}")
        stamp.touch()

    def names(self, pattern: str) -> tuple[str, ...]:
        """Return the names of real packages that match a POSIX regular expression."""
        argv = ("apt-cache", "search", "--names-only", pattern)
        done = self._run(argv, _UPDATE_SECONDS)
        if done.returncode:
            raise LabError(f"apt-cache search: {_last_error(done)}")
        lines = done.stdout.splitlines()
        return tuple(sorted({line.partition(" ")[0] for line in lines if line}))

    def newest(self, package: str) -> tuple[str, str]:
        """Return version and SHA-256 of the newest package of a name.

        Raises:
            LabError: the archive has none.
        """
        argv = ("apt-cache", "show", "--no-all-versions", package)
        done = self._run(argv, _UPDATE_SECONDS)
        fields = dict(_STANZA_LINE.findall(done.stdout))
        if done.returncode or not {"Version", "SHA256"} <= set(fields):
            have = ", ".join(self.names(r"^linux-source-[0-9.]+$")) or "none"
            raise LabError(f"the archive has no package {package}: it has {have}")
        return fields["Version"], fields["SHA256"]

    def download(self, packages: Sequence[str], folder: Path) -> tuple[Path, ...]:
        """Put packages, with checksums that a signed list vouches for, in a folder.

        Raises:
            LabError: apt refuses or fails; its own words are in the message.
        """
        argv = ("apt-get", "download", *packages)
        done = self._run(argv, _DOWNLOAD_SECONDS, cwd=folder)
        files = tuple(sorted(folder.glob("*.deb")))
        if done.returncode or len(files) != len(packages):
            raise LabError(f"download of {', '.join(packages)}: {_last_error(done)}")
        return files

    def _run(
        self, argv: tuple[str, ...], seconds: float, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        settings = {
            "Dir::Etc::sourcelist": self._folder / "wide.sources",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State": self._folder / "state",
            "Dir::State::status": self._folder / "state" / "status",
            "Dir::State::Lists": self._folder / "lists",
            "Dir::Cache": self._folder / "cache",
        }
        # The file is read after the system's own, the settings after the file.
        options = ["-c", str(self._folder / "apt.conf")]
        for name, value in settings.items():
            options += ["-o", f"{name}={value}"]
        command = [argv[0], *options, *argv[1:]]
        return run_tool(command, seconds, cwd=cwd)


def _configured() -> Iterator[AptSource]:
    argv = ["apt-config", "shell"]
    argv += ["LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"]
    said = run_tool(argv, 30).stdout
    paths = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    list_file = Path(paths.get("LIST", "''").strip("'"))
    parts = Path(paths.get("PARTS", "''").strip("'"))
    files = [list_file] if list_file.is_file() else []
    files += sorted(parts.iterdir()) if parts.is_dir() else []
    for path in files:
        if path.suffix == ".list":
            yield from parse_list(_text(path))
        elif path.suffix == ".sources":
            yield from parse_sources(_text(path))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _last_error(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in done.stderr.splitlines() if line.startswith("E:")]
    return lines[-1] if lines else f"exit status {done.returncode}"
