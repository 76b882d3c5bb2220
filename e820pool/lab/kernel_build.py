"""Build a kernel for the lab from source, once: what was built is kept by its hash."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.errors import InputError, LabError
from e820pool.lab.build_config import BuildConfig, configure, make_environment
from e820pool.lab.cache import cache_folder, write_atomically
from e820pool.lab.images import (
    BUILT,
    KernelImage,
    built_images,
    read_built,
    write_built,
)
from e820pool.lab.kernel_source import KernelSource, find_source
from e820pool.lab.patch_file import Patch, apply_patch
from e820pool.lab.run_tool import run_tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ("BuildRequest", "Built", "build_kernel", "missing_packages", "prune")

# Of our kernels: a letter first, so that none can be taken for a release.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._+-]{0,63}")
_TAKEN = ("all", "newest", "live", "running")
_WORK = "building"
# Lines that make(1) prints for a small kernel, until one was built here.
_USUAL_STEPS = 1500
_STEP = re.compile(r"^  [A-Z][A-Z0-9_]* +(?:\[M\] )?(?P<what>\S+)$")
_ERROR = re.compile(r"(?:\berror: |\*\*\* )")

# A program or file that a build needs, and the Debian package that has it.
_NEEDS = (
    ("make", "make"),
    ("gcc", "gcc"),
    ("ld", "binutils"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
    ("patch", "patch"),
    ("tar", "tar"),
    ("xz", "xz-utils"),
    ("gzip", "gzip"),
    ("perl", "perl-base"),
    ("/usr/include/gelf.h", "libelf-dev"),
    ("/usr/include/stdio.h", "libc6-dev"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What is to be built.

    Attributes:
        source: a Debian source package, a tree, TREE@REVISION or a tarball.
        patches: in the order in which they apply.
    """

    name: str
    source: str
    config: BuildConfig
    patches: tuple[Patch, ...] = ()
    jobs: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A kernel that was built, now or before.

    Attributes:
        left_out: options that were not asked for by name and did not stick.
    """

    image: KernelImage
    is_new: bool
    left_out: tuple[str, ...] = ()


def missing_packages() -> tuple[str, ...]:
    """Return the Debian packages of what a build needs and this machine lacks."""
    return tuple(
        package
        for what, package in _NEEDS
        if not (Path(what).exists() if what.startswith("/") else shutil.which(what))
    )


def build_kernel(
    request: BuildRequest,
    *,
    progress: Callable[[str, float, float], None] = lambda *_: None,
) -> Built:
    """Build a kernel unless the same was built before.

    The same: source, patches, options and compiler. All work is done in a folder of
    the cache, which is gone afterwards, whatever happens.

    Args:
        request: what.
        progress: called with what is being done, how much is done and how much there
            is, in lines of make(1)'s.

    Raises:
        InputError: a name, source or option cannot be; an option did not stick.
        BadImageError: a patch does not apply, the source is none.
        LabError: a package is missing, the archive cannot be reached, or it does not
            compile: the log's place is in the message.
    """
    _validate_name(request.name)
    missing = missing_packages()
    if missing:
        raise LabError(
            f"to build a kernel this machine lacks {', '.join(missing)}: "
            f"apt-get install {' '.join(missing)}"
        )
    known_steps = [
        read_built(image.name).get("nr_steps", 0) for image in built_images()
    ]
    steps = max((n for n in known_steps if isinstance(n, int)), default=0)
    steps = steps or _USUAL_STEPS

    def tell(what: str, done: float = 0) -> None:
        progress(what, done, max(steps, done))

    with _only_one():
        source = find_source(request.source, tell)
        compiler = run_tool(["gcc", "--version"], 30).stdout.partition("\n")[0]
        key = build_key(source, request, compiler)
        known = _known(key, request.name)
        if known is not None:
            return Built(image=known, is_new=False)
        return _built(request, source, (key, compiler), tell)


def build_key(source: KernelSource, request: BuildRequest, compiler: str) -> str:
    """Return the hash by which a build is kept."""
    parts = [source.digest, request.config.text(), compiler]
    parts += [patch.text for patch in request.patches]
    hashes = [hashlib.sha256(part.encode()).hexdigest() for part in parts]
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def prune(names: Sequence[str] = ()) -> tuple[str, ...]:
    """Remove kernels that were built; without a name all, and kept source packages.

    What a build left that was killed is removed in any case.

    Returns:
        the names of what is gone.

    Raises:
        LabError: there is none of a name, or a build is under way.
    """
    with _only_one():
        held = [image.name for image in built_images()]
        unknown = [name for name in names if name not in held]
        if unknown:
            there = ", ".join(held) or "none"
            raise LabError(f"no kernel {unknown[0]!r} was built here (there: {there})")
        gone = list(names or held)
        for name in gone:
            shutil.rmtree(cache_folder(BUILT) / name)
        if not names:
            for file in sorted(cache_folder("sources").glob("*.deb")):
                file.unlink()
                gone.append(file.name)
    return tuple(gone)


def _validate_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name in _TAKEN:
        raise InputError(
            f"name {name!r}: a letter, then letters, digits, '.', '_', '+' and '-', 64 "
            "at most; not all, newest, running or live"
        )


# The same kernel under another name is copied: names come and go on their own.
def _known(key: str, name: str) -> KernelImage | None:
    for image in built_images():
        record = read_built(image.name)
        if record.get("key") != key:
            continue
        if image.name == name:
            return image
        config = image.read_config()
        return write_built(name, image.read(), config, record | {"name": name})
    return None


def _built(
    request: BuildRequest,
    source: KernelSource,
    key_and_compiler: tuple[str, str],
    tell: Callable[..., None],
) -> Built:
    key, compiler = key_and_compiler
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=cache_folder(_WORK)) as scratch:
        tree, out = Path(scratch) / "source", Path(scratch) / "out"
        tree.mkdir()
        out.mkdir()
        tell(f"unpacking {source.name}")
        source.unpack(tree)
        for patch in request.patches:
            tell(f"patch {patch.number}: {patch.subject}")
            apply_patch(patch, tree)
        try:
            tell("configuring")
            text, left_out = configure(tree, out, request.config)
            nr_steps = _make(tree, out, request.jobs, tell)
            image = (out / "arch/x86/boot/bzImage").read_bytes()
        finally:
            # On a busy disk that takes minutes, also of a build that was stopped.
            tell("removing the source tree")
    record = {
        "key": key,
        "source": source.name,
        "source_digest": source.digest,
        "patches": [patch.subject for patch in request.patches],
        "options": dict(request.config.wanted),
        "compiler": compiler,
        "nr_steps": nr_steps,
        "seconds": round(time.monotonic() - began),
    }
    kept = write_built(request.name, image, text, record)
    return Built(image=kept, is_new=True, left_out=tuple(left_out))


def _make(tree: Path, out: Path, jobs: int, tell: Callable[..., None]) -> int:
    argv = ["make", "-C", str(tree), f"O={out}", f"-j{jobs}", "bzImage"]
    lines: list[str] = []
    steps = 0
    try:
        # In a group of its own: all compilers end with it.
        with subprocess.Popen(  # noqa: S603  our own command line
            argv,
            env=make_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            try:
                for line in process.stdout or ():
                    lines.append(line)
                    if match := _STEP.match(line.rstrip("\n")):
                        steps += 1
                        tell(f"compiling {match['what']}", steps)
                status = process.wait()
            except BaseException:
                os.killpg(process.pid, signal.SIGTERM)
                raise
    except OSError as exc:
        raise LabError(f"make: {exc}") from exc
    if status:
        log = cache_folder(BUILT) / "make.log"
        write_atomically(log, "".join(lines).encode())
        wrong = next((line for line in lines if _ERROR.search(line)), "make failed")
        raise LabError(f"it does not compile: {wrong.strip()}; the log is {log}")
    return steps


# Whoever holds the lock is alone: what lies in the work folder was left by the dead.
@contextmanager
def _only_one() -> Iterator[None]:
    with (cache_folder(BUILT) / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise LabError("another build is under way: one at a time") from exc
        for left in cache_folder(_WORK).iterdir():
            shutil.rmtree(left, ignore_errors=True)
        yield
