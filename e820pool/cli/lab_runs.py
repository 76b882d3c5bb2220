"""What the commands that boot kernels share: kernels, options, what is kept."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.errors import InputError, LabError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from e820pool.cli.console import Console
    from e820pool.handoff.model import Handoff
    from e820pool.kernel.profiles import Profile
    from e820pool.lab.boot import BootOptions
    from e820pool.lab.several import KernelFile, Outcome

__all__ = (
    "add_lab_options",
    "boot_options",
    "kernel_file",
    "lab_kernels",
    "profile_of",
    "run_boots",
)


def add_lab_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how kernels are booted."""
    group = parser.add_argument_group("lab")
    group.add_argument(
        "--pattern",
        action="store_true",
        help="fill deposits first, to tell written pages from read ones",
    )
    group.add_argument(
        "--no-pressure", action="store_true", help="do not fill the guest's memory"
    )
    group.add_argument(
        "--accel", choices=("auto", "kvm", "tcg"), default="auto", help="default: auto"
    )
    group.add_argument(
        "--deadline",
        metavar="SECONDS",
        type=float,
        help="limit of each phase of a boot",
    )
    group.add_argument(
        "--ram-folder", metavar="DIR", type=Path, help="a tmpfs for guest RAM"
    )
    group.add_argument("--keep", metavar="DIR", help="keep console and report there")


def boot_options(args: argparse.Namespace) -> BootOptions:
    """Return the lab's options; InputError for a deadline that is not positive."""
    from e820pool.lab.boot import BootOptions  # noqa: PLC0415  numpy
    from e820pool.lab.machine import PHASES, Deadlines  # noqa: PLC0415

    deadlines = Deadlines()
    if args.deadline is not None:
        if not 0 < args.deadline < 86_400:
            raise InputError(f"deadline {args.deadline:g} s: the limit is 0 to 86400")
        deadlines = Deadlines(**dict.fromkeys(PHASES, args.deadline))
    return BootOptions(
        pressure=not args.no_pressure,
        pattern=args.pattern,
        accelerator=args.accel,
        deadlines=deadlines,
        ram_folder=args.ram_folder,
    )


def lab_kernels(text: str) -> list[KernelFile]:
    """Return the images that ``text`` names: paths, fetched releases, or all.

    Raises:
        LabError: a release has not been fetched.
    """
    from e820pool.lab.images import cached_images  # noqa: PLC0415  numpy
    from e820pool.lab.several import KernelFile  # noqa: PLC0415

    if text != "all":
        return [_kernel(part.strip()) for part in text.split(",") if part.strip()]
    images = cached_images()
    if not images:
        raise LabError("no kernel images here yet: run 'e820pool kernels fetch'")
    return [
        KernelFile(name=one.version, image=one.read(), config=one.read_config())
        for one in images
    ]


def _kernel(text: str) -> KernelFile:
    from e820pool.lab.images import find_image  # noqa: PLC0415  numpy
    from e820pool.lab.several import KernelFile  # noqa: PLC0415

    path = Path(text)
    if "/" in text or path.is_file():
        return kernel_file(path)
    found = find_image(text)
    return KernelFile(
        name=found.version, image=found.read(), config=found.read_config()
    )


def kernel_file(path: Path) -> KernelFile:
    """Return an image with the configuration that lies beside it, if any.

    Raises:
        InputError, BadImageError: it cannot be read, is empty or absurdly long.
    """
    from e820pool.lab.several import KernelFile  # noqa: PLC0415  numpy
    from e820pool.sources.files import read_file  # noqa: PLC0415

    beside = path.with_name(path.name.replace("vmlinuz", "config"))
    config = ""
    if beside != path and beside.is_file():
        config = read_file(beside, empty=True).decode("utf-8", "replace")
    return KernelFile(name=str(path), image=read_file(path), config=config)


def profile_of(kernel: KernelFile) -> Profile:
    """Return the model of an image, by its release and configuration.

    Raises:
        InputError: no such kernel is known.
        BadImageError: it is no bzImage.
    """
    from e820pool.abi.bzimage import parse_bzimage  # noqa: PLC0415  construct
    from e820pool.kernel.profiles import profile_for  # noqa: PLC0415
    from e820pool.sources.kernel_config import parse_config_text  # noqa: PLC0415

    release = parse_bzimage(kernel.image).release
    config = parse_config_text(kernel.config) if kernel.config else None
    return profile_for(release, config)


def run_boots(
    handoff: Handoff,
    kernels: Sequence[KernelFile],
    args: argparse.Namespace,
    console: Console,
) -> Iterator[Outcome]:
    """Yield the boots' outcomes in order; keep what --keep asks for."""
    from e820pool.lab.several import boot_several  # noqa: PLC0415  numpy

    def started(kernel: KernelFile) -> None:
        if sys.stderr.isatty():
            console.note(f"booting {kernel.name} ...")

    jobs = getattr(args, "jobs", 1)
    options = boot_options(args)
    for outcome in boot_several(handoff, kernels, options, jobs=jobs, on_start=started):
        folder = None if args.keep is None else Path(args.keep)
        if folder is not None and len(kernels) > 1:
            folder /= Path(outcome.kernel.name).name
        _keep(outcome, folder, console)
        yield outcome


def _keep(outcome: Outcome, folder: Path | None, console: Console) -> None:
    # The console of a lost machine is all there is of it: kept in any case.
    console_log, report = _logs(outcome)
    if folder is None and outcome.failure is not None and console_log:
        import tempfile  # noqa: PLC0415  slow to import, for --help

        folder = Path(tempfile.mkdtemp(prefix="e820pool-lost-"))
    if folder is None:
        return
    from e820pool.report.files import write_file  # noqa: PLC0415  numpy
    from e820pool.report.view import view_json  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / "console.log", console_log)
    write_file(folder / "report.txt", report)
    if outcome.record is not None:
        write_file(folder / "view.json", view_json(outcome.record.view) + "\n")
    console.note(f"console of {outcome.kernel.name}: {folder / 'console.log'}")


def _logs(outcome: Outcome) -> tuple[bytes, bytes]:
    if outcome.record is not None:
        return outcome.record.console, outcome.record.run.report
    failure = outcome.failure
    return getattr(failure, "console", b""), getattr(failure, "report", b"")
