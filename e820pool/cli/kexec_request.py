"""The arguments of ``kexec`` that name a kernel and the deposits, as a request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.cli.inputs import deposits_of, say_how_taken

if TYPE_CHECKING:
    import argparse

    from e820pool.cli.console import Console
    from e820pool.live.plan import KexecRequest
    from e820pool.sources.deposits_file import DepositChanges
    from e820pool.sources.live_machine import LiveMachine

__all__ = ("changes_of", "request_of")

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
        say_how_taken(changes.said, console)
        return changes
    gone = [Deposit.from_bytes(*parse_range(text)) for text in args.withdraw]
    return DepositChanges(
        deposits=tuple(deposits_of(args, console)),
        withdrawn=ExtentSet((one.start_pfn, one.end_pfn) for one in gone),
    )


def request_of(
    machine: LiveMachine, args: argparse.Namespace, changes: DepositChanges
) -> KexecRequest:
    """Return which kernel is asked for, with its files read.

    Raises:
        InputError, BadImageError: a file cannot be read, or the image is none.
    """
    from e820pool.live.plan import KexecRequest  # noqa: PLC0415
    from e820pool.loading.kernel_file import read_kernel_file  # noqa: PLC0415
    from e820pool.sources.files import read_large_file  # noqa: PLC0415
    from e820pool.sources.live_machine import reusable_cmdline  # noqa: PLC0415

    line = args.append.encode("utf-8", "surrogateescape")
    if args.reuse_cmdline:
        line = reusable_cmdline(machine.cmdline)
    initrd = b""
    if args.initrd is not None:
        initrd = read_large_file(Path(args.initrd), _INITRD_LIMIT)
    return KexecRequest(
        kernel=read_kernel_file(Path(args.kernel)),
        initrd_name=args.initrd,
        initrd=initrd,
        cmdline=line,
        changes=changes,
        loader=args.loader,
        carries_record=args.carrier != "file",
    )
