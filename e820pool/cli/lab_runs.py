"""What the commands that boot kernels share: kernels, options, what is kept."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.cli.inputs import add_device_option, known_devices
from e820pool.cli.progress import BootProgress
from e820pool.cli.status import UsageError
from e820pool.errors import InputError, LabError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from e820pool.cli.console import Console
    from e820pool.compat import Verdict
    from e820pool.handoff.model import Handoff
    from e820pool.lab.boot import BootOptions, BootOutcome
    from e820pool.loading.kernel_file import KernelFile

__all__ = (
    "add_lab_options",
    "boot_options",
    "keep_unsafe",
    "lab_kernels",
    "one_lab_kernel",
    "run_boots",
    "run_pairs",
)


def add_lab_options(parser: argparse.ArgumentParser, *, is_chain: bool = False) -> None:
    """Add the options that say how kernels are booted, one alone or in a chain."""
    group = parser.add_argument_group("lab")
    if not is_chain:
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
    if is_chain:
        processor = "QEMU's processor; qemu64,+la57 has page tables of five levels"
        group.add_argument("--cpu", metavar="MODEL", default="", help=processor)
        group.add_argument(
            "--cmdline", metavar="TEXT", default="", help="for every kernel, as no5lvl"
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
    add_device_option(group)
    kept = "consoles" if is_chain else "console and report"
    group.add_argument("--keep", metavar="DIR", help=f"keep {kept} there")


def boot_options(args: argparse.Namespace) -> BootOptions:
    """Return the lab's options; InputError for a deadline that is not positive."""
    from e820pool.lab.boot import BootOptions  # noqa: PLC0415  numpy
    from e820pool.lab.machine import PHASES, Deadlines  # noqa: PLC0415

    deadlines, devices = Deadlines(), known_devices(args, None)
    if args.deadline is not None:
        if not 0 < args.deadline < 86_400:
            raise InputError(f"deadline {args.deadline:g} s: the limit is 0 to 86400")
        deadlines = Deadlines(**dict.fromkeys(PHASES, args.deadline))
    return BootOptions(
        pressure=not args.no_pressure,
        pattern=getattr(args, "pattern", False),
        accelerator=args.accel,
        deadlines=deadlines,
        ram_folder=args.ram_folder,
        memory_devices=() if devices is None else devices.devices,
    )


def lab_kernels(text: str) -> list[KernelFile]:
    """Return the images that ``text`` names: paths, fetched releases, or all.

    Raises:
        UsageError: it names none at all.
        LabError: a release has not been fetched.
    """
    from e820pool.lab.images import cached_images  # noqa: PLC0415  numpy
    from e820pool.loading.kernel_file import KernelFile  # noqa: PLC0415

    if text != "all":
        # The name of a file may have commas.
        parts = [text] if Path(text).is_file() else text.split(",")
        names = [part.strip() for part in parts if part.strip()]
        if not names:
            raise UsageError(f"--kernel {text!r} names no kernel")
        return [_kernel(name) for name in names]
    images = cached_images()
    if not images:
        raise LabError("no kernel images here yet: run 'e820pool kernels fetch'")
    return [
        KernelFile(name=image.version, image=image.read(), config=image.read_config())
        for image in images
    ]


def one_lab_kernel(text: str, command: str, instead: str) -> KernelFile:
    """Return the one image that ``text`` names.

    Raises:
        InputError: it names several; ``instead`` is what to do then.
        UsageError, LabError: as ``lab_kernels``.
    """
    kernels = lab_kernels(text)
    if len(kernels) != 1:
        raise InputError(f"{command} takes one kernel, not {len(kernels)}: {instead}")
    return kernels[0]


def _kernel(text: str) -> KernelFile:
    from e820pool.lab.images import find_image  # noqa: PLC0415  numpy
    from e820pool.loading.kernel_file import KernelFile, read_kernel_file  # noqa: PLC0415
    from e820pool.sources.installed_kernels import find_installed  # noqa: PLC0415

    path = Path(text)
    if "/" in text or path.is_file():
        return read_kernel_file(path)
    if text == "running" or Path(f"/boot/vmlinuz-{text}").is_file():
        return read_kernel_file(find_installed(text).image)
    image = find_image(text)
    return KernelFile(
        name=image.name or image.version,
        image=image.read(),
        config=image.read_config(),
    )


def run_boots(
    handoff: Handoff,
    kernels: Sequence[KernelFile],
    args: argparse.Namespace,
    console: Console,
    progress: BootProgress | None = None,
) -> Iterator[BootOutcome]:
    """Yield the boots of one handoff in order; see :func:`run_pairs`."""
    folders = [Path(kernel.name).name if len(kernels) > 1 else "" for kernel in kernels]
    return run_pairs(
        [(handoff, kernel) for kernel in kernels], folders, args, console, progress
    )


def run_pairs(
    pairs: Sequence[tuple[Handoff, KernelFile]],
    folders: Sequence[str],
    args: argparse.Namespace,
    console: Console,
    progress: BootProgress | None = None,
) -> Iterator[BootOutcome]:
    """Yield the boots in order, --jobs at a time; keep what --keep asks for.

    Args:
        pairs: what to boot with what.
        folders: for each boot the name of a folder in that of --keep, "" for itself.
        args: with what :func:`add_lab_options` adds.
        console: where progress goes.
        progress: the progress that these boots are part of; None shows their own.

    Raises:
        InputError: a file of that name is there, and no boot was kept beside it.
    """
    from e820pool.lab.boot import boot_pairs  # noqa: PLC0415  numpy

    if args.keep is not None:
        for name in folders:
            _validate_keepable(Path(args.keep) / name)
    own = BootProgress(len(pairs), console)
    jobs = getattr(args, "jobs", None) or 1
    options = boot_options(args)
    with own if progress is None else nullcontext(progress) as counter:
        boots = boot_pairs(
            pairs,
            options,
            jobs=jobs,
            on_start=counter.started,
            on_phase=counter.is_over,
        )
        for outcome, name in zip(boots, folders, strict=True):
            counter.ended(outcome.kernel.name)
            kept = None if args.keep is None else Path(args.keep) / name
            _keep(outcome, kept, console)
            yield outcome


def _keep(outcome: BootOutcome, folder: Path | None, console: Console) -> None:
    # The console of a lost machine is all there is of it: kept in any case.
    if folder is not None or (outcome.failure is not None and _logs(outcome)[0]):
        _write(outcome, folder, console)


_ALWAYS_KEPT = ("console.log", "report.txt")


# What is written over is a boot that was kept before, and nothing else.
def _validate_keepable(folder: Path) -> None:
    there = [name for name in (*_ALWAYS_KEPT, "view.json") if (folder / name).exists()]
    if there and not set(_ALWAYS_KEPT) <= set(there):
        raise InputError(
            f"--keep: {str(folder / there[0])!r} is there and not of a boot that was "
            "kept: name another folder"
        )


def keep_unsafe(
    outcome: BootOutcome, verdict: Verdict, args: argparse.Namespace, console: Console
) -> None:
    """Leave what a boot printed and what was found where its verdict is not safe.

    Such a boot may not come again. With ``--keep`` it is kept already.
    """
    is_new = outcome.record is not None and args.keep is None
    if is_new and verdict.verdict != "safe":
        _write(outcome, None, console, verdict)


def _write(
    outcome: BootOutcome,
    folder: Path | None,
    console: Console,
    verdict: Verdict | None = None,
) -> None:
    from e820pool.report.output import write_file  # noqa: PLC0415  numpy
    from e820pool.report.view_document import view_json  # noqa: PLC0415  numpy

    console_log, report = _logs(outcome)
    files: dict[str, bytes | str] = {"console.log": console_log, "report.txt": report}
    if outcome.record is not None:
        files["view.json"] = view_json(outcome.record.view, verdict) + "\n"
    if folder is None:
        import tempfile  # noqa: PLC0415  slow to import, for --help

        folder = Path(tempfile.mkdtemp(prefix="e820pool-boot-"))
    folder.mkdir(parents=True, exist_ok=True)
    for file, data in files.items():
        write_file(folder / file, data)
    console.note(f"console of {outcome.kernel.name}: {folder / 'console.log'}")


def _logs(outcome: BootOutcome) -> tuple[bytes, bytes]:
    if outcome.record is not None:
        return outcome.record.console, outcome.record.run.report
    failure = outcome.failure
    return getattr(failure, "console", b""), getattr(failure, "report", b"")
