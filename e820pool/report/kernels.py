"""What is known of kernels: behaviours by release, and images at hand."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

from e820pool.documents import Count, Document, Part, document_text
from e820pool.findings import one_line
from e820pool.kernel.kernel_data import Behaviour
from e820pool.kernel.profiles import all_behaviours, known_releases, profile_for
from e820pool.report.columns import columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e820pool.kernel.profiles import Profile
    from e820pool.lab.images import KernelImage

__all__ = (
    "ImagesDocument",
    "KernelsDocument",
    "ReleasePart",
    "behaviours_json",
    "behaviours_text",
    "images_json",
    "images_text",
)


class ReleasePart(Part, frozen=True, kw_only=True):
    """A release: what it does, how it is configured, what its own table holds."""

    release: str
    behaviours: tuple[str, ...]
    config: dict[str, Any]
    capacity: Count
    checked: str


class KernelsDocument(Document, frozen=True, kw_only=True, tag="kernels"):
    """Every behaviour with its source, and the releases that were asked about."""

    behaviours: tuple[Behaviour, ...]
    releases: tuple[ReleasePart, ...]


class ImagesDocument(Document, frozen=True, kw_only=True, tag="kernel-images"):
    """The kernel images at hand; ``path`` is where each lies."""

    images: tuple[dict[str, str], ...]


def behaviours_text(releases: Sequence[str], width: int | None = None) -> str:
    """Return the matrix: a row a behaviour, a column a release.

    Where that is wider than ``width`` characters, each behaviour has a line that names
    the releases instead.

    Raises:
        InputError: a release is not known.
    """
    profiles = [profile_for(name) for name in releases or known_releases()]
    matrix = _matrix(profiles)
    if width is None or len(matrix.partition("\n")[0]) <= width:
        return matrix
    ids = (behaviour.id for behaviour in all_behaviours())
    lines = [f"{ident}: {_spans(ident, profiles)}" for ident in ids]
    return "\n".join([*lines, f"(table capacity): {_capacities(profiles)}"])


# "4.4 to 5.15, from 6.6 on": runs of the releases that are asked about.
def _spans(ident: str, profiles: Sequence[Profile]) -> str:
    runs = [
        [profile.release for profile in run]
        for having, run in groupby(profiles, key=lambda profile: profile.has(ident))
        if having
    ]
    words = [run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    return ", ".join(words) or "none of these"


def _capacities(profiles: Sequence[Profile]) -> str:
    runs = groupby(profiles, key=lambda profile: profile.capacity)
    return ", ".join(
        f"{capacity} from {next(iter(run)).release} on" for capacity, run in runs
    )


def _matrix(profiles: Sequence[Profile]) -> str:
    ids = (behaviour.id for behaviour in all_behaviours())
    rows = [[name, *("x" if p.has(name) else "" for p in profiles)] for name in ids]
    rows.append(["(table capacity)", *(str(profile.capacity) for profile in profiles)])
    return columns(rows, ("behaviour", *(profile.release for profile in profiles)))


def behaviours_json(releases: Sequence[str]) -> str:
    """Return the JSON twin, kind ``kernels``, with each behaviour's source."""
    profiles = [profile_for(name) for name in releases or known_releases()]
    return document_text(
        KernelsDocument(
            behaviours=all_behaviours(),
            releases=tuple(
                ReleasePart.of_attributes(
                    profile,
                    behaviours=tuple(sorted(profile.behaviours)),
                    config=dict(profile.config),
                )
                for profile in profiles
            ),
        )
    )


def images_text(images: Sequence[KernelImage], width: int | None = None) -> str:
    """Return the images as a table, or in two lines each, or how to get some."""
    if not images:
        return "no kernel images here yet: run 'e820pool kernels fetch'"
    rows = [
        (image.name or image.release, image.version, one_line(str(image.path)))
        for image in images
    ]
    table = columns(rows, ("kernel", "version", "image"))
    if width is None or max(map(len, table.split("\n"))) <= width:
        return table
    return "\n".join(
        f"{kernel}: {version}\n    {path}" for kernel, version, path in rows
    )


def images_json(images: Sequence[KernelImage]) -> str:
    """Return the JSON twin, kind ``kernel-images``."""
    rows = [asdict(image) | {"path": str(image.path)} for image in images]
    return document_text(ImagesDocument(images=tuple(rows)))
