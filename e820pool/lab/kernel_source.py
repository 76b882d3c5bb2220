"""A kernel's source: a Debian package, a tree, a revision of one, or a tarball."""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.errors import BadImageError, InputError, LabError
from e820pool.lab.apt import IsolatedApt
from e820pool.lab.cache import cache_folder
from e820pool.lab.run_tool import run_tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ("KernelSource", "find_source", "source_package_file")

_PACKAGE = re.compile(r"linux-source-\d+\.\d+")
_TOOL_SECONDS = 1800
# What every kernel tree has at its root, and what a build needs of it.
_AT_ROOT = ("Makefile", "Kconfig", "arch/x86", "scripts/kconfig/merge_config.sh")
_FORMS = (
    "a Debian source package (linux-source-6.1), a tree, TREE@REVISION of a git tree, "
    "or a tarball"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelSource:
    """A kernel's source before any patch.

    Attributes:
        name: for people.
        digest: of its content; what a build is kept by.
        unpack: puts all of it into an empty folder; what it is taken from stays as
            it is.
    """

    name: str
    digest: str
    unpack: Callable[[Path], None]


def find_source(
    text: str, progress: Callable[[str], None] = lambda _: None
) -> KernelSource:
    """Return the source that ``text`` names.

    Args:
        text: a package, a tree, TREE@REVISION or a tarball.
        progress: called with what is being done, for people.

    Raises:
        InputError: it names none; the message has the forms.
        LabError: the archive, git or tar fail.
    """
    path = Path(text).expanduser()
    if path.is_dir():
        progress(f"reading {path}")
        return _tree(path)
    if path.is_file():
        return _tarball(path)
    where, at, revision = text.rpartition("@")
    if at and Path(where).expanduser().is_dir():
        return _revision(Path(where).expanduser(), revision)
    if _PACKAGE.fullmatch(text):
        progress("reading the archive's package lists")
        return _package(text)
    raise InputError(f"source {text!r} is not there: {_FORMS} is wanted")


def source_package_file(name: str, digest: str) -> Path:
    """Return where a downloaded source package is kept."""
    return cache_folder("sources") / f"{name}_{digest[:16]}.deb"


def _package(name: str) -> KernelSource:
    apt = IsolatedApt(cache_folder("apt"))
    apt.update()
    version, digest = apt.newest(name)

    def unpack(folder: Path) -> None:
        kept = source_package_file(name, digest)
        if not kept.is_file():
            scratch = folder.with_name(folder.name + "-package")
            scratch.mkdir()
            (file,) = apt.download((name,), scratch)
            if _digest(file) != digest:
                raise LabError(
                    f"{file.name} is not what the archive's lists say: {digest}"
                )
            file.replace(kept)
            scratch.rmdir()
        inner = folder.with_name(folder.name + "-inner")
        _run(["dpkg-deb", "-x", str(kept), str(inner)])
        archives = list(inner.glob("usr/src/linux-source-*.tar.*"))
        if len(archives) != 1:
            raise LabError(
                f"{kept.name} holds {len(archives)} source archives, not one"
            )
        _untar(archives[0], folder)
        shutil.rmtree(inner)

    return KernelSource(name=f"{name} {version}", digest=digest, unpack=unpack)


def _tree(path: Path) -> KernelSource:
    _validate_tree(path, str(path))
    files = _listed(path)

    def unpack(folder: Path) -> None:
        for name in files:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path / name, target, follow_symlinks=False)
        # What a build left in a tree without git, objects and configuration.
        _run(["make", "ARCH=x86_64", "-s", "mrproper"], cwd=folder)

    return KernelSource(
        name=str(path), digest=_digest_of_tree(path, files), unpack=unpack
    )


# Of a git tree what is tracked, and new files that are not ignored; else everything.
def _listed(path: Path) -> list[str]:
    if (path / ".git").exists():
        argv = ["git", "-C", str(path), "ls-files", "-z", "--cached", "--others"]
        said = _run([*argv, "--exclude-standard"])
        names = sorted(set(said.split("\0")) - {""})
    else:
        names = sorted(str(entry.relative_to(path)) for entry in path.rglob("*"))
    files = ((name, path / name) for name in names)
    return [name for name, entry in files if entry.is_symlink() or entry.is_file()]


def _revision(path: Path, revision: str) -> KernelSource:
    git = ["git", "-C", str(path)]
    # The tree, not the commit: the same content is the same source.
    try:
        tree = _run([*git, "rev-parse", "--verify", f"{revision}^{{tree}}"]).strip()
    except LabError as exc:
        message = f"source {str(path)!r} has no revision {revision!r}: {exc}"
        raise InputError(message) from exc

    def unpack(folder: Path) -> None:
        archive = folder.with_name(folder.name + ".tar")
        _run([*git, "archive", "--format=tar", f"--output={archive}", tree])
        _untar(archive, folder, strip=0)
        archive.unlink()

    return KernelSource(name=f"{path}@{revision}", digest=tree, unpack=unpack)


def _tarball(path: Path) -> KernelSource:
    return KernelSource(
        name=str(path),
        digest=_digest(path),
        unpack=lambda folder: _untar(path, folder),
    )


def _untar(archive: Path, folder: Path, *, strip: int = 1) -> None:
    argv = ["tar", "-xf", str(archive), "-C", str(folder), "--no-same-owner"]
    _run([*argv, f"--strip-components={strip}"])
    _validate_tree(folder, str(archive))


def _validate_tree(path: Path, name: str) -> None:
    lacking = [needed for needed in _AT_ROOT if not (path / needed).exists()]
    if lacking:
        raise BadImageError(f"{name!r} is no kernel source: it has no {lacking[0]}")


def _digest_of_tree(path: Path, files: Iterable[str]) -> str:
    whole = hashlib.sha256()
    for name in files:
        file = path / name
        if file.is_symlink():
            content = str(file.readlink())
        else:
            content = _digest(file) + ("x" if file.stat().st_mode & 0o100 else "")
        whole.update(f"{name}\0{content}\0".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as exc:
        raise InputError(f"source: {exc}") from exc


def _run(argv: Sequence[str], cwd: Path | None = None) -> str:
    done = run_tool(argv, _TOOL_SECONDS, cwd=cwd)
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise LabError(f"{' '.join(argv[:4])}: {said[0]}")
    return done.stdout
