"""The arguments of ``kexec`` that name a kernel and the deposits, as a request."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.cli.inputs import deposits_of, say_how_taken
from e820pool.errors import E820PoolError, InputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from e820pool.cli.console import Console
    from e820pool.live.plan import KexecRequest
    from e820pool.sources.deposits_file import DepositChanges
    from e820pool.sources.installed_kernels import InstalledKernel
    from e820pool.sources.live_machine import LiveMachine

__all__ = ("both_names", "changes_of", "request_of")

# Python and its libraries alone make an initrd of more than other inputs may have.
_INITRD_LIMIT = 2 << 30


def changes_of(args: argparse.Namespace, console: Console) -> DepositChanges:
    """Return what the options name as deposited and withdrawn since the boot.

    Raises:
        InputError, BadImageError: a range or the file of --deposits is none.
    """
    from e820pool.deposits import Deposit, parse_range  # noqa: PLC0415
    from e820pool.extents import ExtentSet  # noqa: PLC0415
    from e820pool.sources.deposits_file import (  # noqa: PLC0415
        DepositChanges,
        parse_changes,
    )
    from e820pool.sources.files import read_file  # noqa: PLC0415

    if args.deposits is not None:
        changes = parse_changes(read_file(Path(args.deposits)), args.deposits)
        say_how_taken(changes.readings, console)
        return changes
    withdrawn = [Deposit.from_bytes(*parse_range(text)) for text in args.withdraw]
    return DepositChanges(
        deposits=tuple(deposits_of(args, console)),
        withdrawn=ExtentSet(
            (deposit.start_pfn, deposit.end_pfn) for deposit in withdrawn
        ),
    )


def request_of(
    machine: LiveMachine, args: argparse.Namespace, changes: DepositChanges
) -> KexecRequest:
    """Return which kernel is asked for, with its files read.

    A kernel that is named by its version brings its own initrd, configuration and
    command line; what the options say comes first.

    Raises:
        InputError, BadImageError: a file cannot be read, or the image is none.
    """
    from e820pool.cli.targets import image_path  # noqa: PLC0415
    from e820pool.live.plan import KexecRequest  # noqa: PLC0415
    from e820pool.loading.kernel_file import read_kernel_file  # noqa: PLC0415
    from e820pool.sources.files import read_large_file  # noqa: PLC0415
    from e820pool.sources.installed_kernels import own_cmdline  # noqa: PLC0415
    from e820pool.sources.live_machine import reusable_cmdline  # noqa: PLC0415

    named = _installed(args)
    image = image_path(args.kernel) if named is None else named.image
    initrd = _initrd_name(args, named)
    with both_names(args.kernel, image):
        line = args.append or ""
        if args.reuse_cmdline:
            cmdline = reusable_cmdline(machine.cmdline)
        else:
            if named is not None and args.append is None:
                line = own_cmdline(named, args.root or Path("/"))
            cmdline = line.encode("utf-8", "surrogateescape")
        return KexecRequest(
            kernel=read_kernel_file(image),
            initrd_name=initrd,
            initrd=read_large_file(Path(initrd), _INITRD_LIMIT) if initrd else b"",
            cmdline=cmdline,
            changes=changes,
            loader=args.loader,
            carries_record=args.carrier != "file",
        )


@contextmanager
def both_names(name: str, image: Path) -> Iterator[None]:
    """Let an error say what was asked for and which file that is."""
    try:
        yield
    except E820PoolError as exc:
        real = str(image.resolve())
        if name != real:
            exc.add_note(f"--kernel {name} is {real}")
        raise


def _installed(args: argparse.Namespace) -> InstalledKernel | None:
    from e820pool.cli.targets import image_path  # noqa: PLC0415
    from e820pool.sources.installed_kernels import find_installed  # noqa: PLC0415

    if "/" in args.kernel or image_path(args.kernel).is_file():
        return None
    return find_installed(args.kernel, args.root or Path("/"))


def _initrd_name(
    args: argparse.Namespace, kernel: InstalledKernel | None
) -> str | None:
    initrd: str | None = args.initrd
    if initrd is not None or kernel is None:
        return initrd
    if kernel.initrd is None:
        raise InputError(
            f"kernel {args.kernel!r}: no initrd lies beside {str(kernel.image)!r}: say "
            "--initrd FILE, or --kernel with its path if it needs none"
        )
    return str(kernel.initrd)
