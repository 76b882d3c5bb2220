"""image: a handoff and a kernel as one bootable file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from e820pool.cli import status
from e820pool.cli.lab_runs import one_lab_kernel
from e820pool.findings import one_line
from e820pool.loading.bind import handoff_image
from e820pool.report.output import write_file
from e820pool.sources.handoff_dir import read_handoff

if TYPE_CHECKING:
    import argparse

    from e820pool.cli.console import Console

__all__ = ("DESCRIPTION", "EXAMPLE", "configure", "run")

DESCRIPTION = """\
Write a self-contained Multiboot ELF: a stub that puts boot_params, setup_data, command
line, kernel and initrd where the handoff says and enters the kernel. Boot it with
GRUB's `multiboot` or `qemu-system-x86_64 -kernel FILE`.
"""
EXAMPLE = "e820pool image out --kernel 6.1 -o handoff.elf"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``image``."""
    parser.add_argument("handoff", metavar="HANDOFF", help="handoff directory")
    parser.add_argument("--kernel", metavar="KERNEL", required=True)
    parser.add_argument("--initrd", metavar="FILE", help="initrd to take along")
    parser.add_argument("-o", "--output", metavar="FILE", required=True)


def run(args: argparse.Namespace, console: Console) -> int:
    """Write the file."""
    kernel = one_lab_kernel(args.kernel, "image", "make one image a kernel")
    initrd = Path(args.initrd).read_bytes() if args.initrd else b""
    image = handoff_image(read_handoff(args.handoff), kernel.image, initrd)
    write_file(args.output, image)
    console.result(f"{one_line(args.output)}: {len(image)} bytes, {kernel.name}")
    return status.DONE
