"""Boot several kernels side by side."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from e820pool.abi.bzimage import parse_bzimage
from e820pool.errors import LabError
from e820pool.lab.boot import BootOptions, boot
from e820pool.lab.guest import LAB_CMDLINE, build_initramfs
from e820pool.loading.bind import bind_kernel, kernel_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from e820pool.handoff.model import Handoff
    from e820pool.lab.boot import BootRecord
    from e820pool.lab.machine import Phase
    from e820pool.loading.kernel_file import KernelFile

__all__ = (
    "Outcome",
    "binder_of",
    "boot_pairs",
    "boot_several",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A boot, or the failure of the lab in its place; never both."""

    kernel: KernelFile
    record: BootRecord | None = None
    failure: LabError | None = None


def binder_of(kernel: KernelFile, *, pressure: bool) -> Callable[[Handoff], Handoff]:
    """Return what completes a handoff as :func:`boot_pairs` does before it boots it.

    Raises:
        BadImageError: it is no bzImage.
        LabError: busybox is missing.
    """
    image = parse_bzimage(kernel.image)
    code = kernel_bytes(image, kernel.image)
    initrd = build_initramfs(pressure=pressure)

    def bound(handoff: Handoff) -> Handoff:
        return bind_kernel(
            handoff, image, code, initrd=initrd, extra_cmdline=LAB_CMDLINE
        ).handoff

    return bound


def boot_several(
    handoff: Handoff,
    kernels: Sequence[KernelFile],
    options: BootOptions | None = None,
    *,
    jobs: int = 1,
    on_start: Callable[[KernelFile], None] = lambda _: None,
    on_phase: Callable[[KernelFile, Phase], None] = lambda *_: None,
) -> Iterator[Outcome]:
    """Yield an outcome for each kernel with one handoff; see :func:`boot_pairs`."""
    pairs = [(handoff, kernel) for kernel in kernels]
    return boot_pairs(pairs, options, jobs=jobs, on_start=on_start, on_phase=on_phase)


def boot_pairs(
    pairs: Sequence[tuple[Handoff, KernelFile]],
    options: BootOptions | None = None,
    *,
    jobs: int = 1,
    on_start: Callable[[KernelFile], None] = lambda _: None,
    on_phase: Callable[[KernelFile, Phase], None] = lambda *_: None,
) -> Iterator[Outcome]:
    """Yield an outcome for each pair, in their order, ``jobs`` at a time.

    When the caller stops iterating or is interrupted, machines that run are ended
    and those that wait never start.

    Args:
        pairs: what to boot with what.
        options: how.
        jobs: machines at one time.
        on_start: called when a machine starts, in any thread.
        on_phase: called with each phase of a machine that is over, in any thread.

    Raises:
        BadImageError, CapacityError: as :func:`e820pool.lab.boot.boot`.
    """
    cancel = threading.Event()

    def one(pair: tuple[Handoff, KernelFile]) -> Outcome:
        handoff, kernel = pair
        if cancel.is_set():
            return Outcome(kernel=kernel, failure=LabError("cancelled before it began"))
        on_start(kernel)
        try:
            record = boot(
                handoff,
                kernel.image,
                options or BootOptions(),
                on_phase=partial(on_phase, kernel),
                cancel=cancel,
            )
        except LabError as exc:
            return Outcome(kernel=kernel, failure=exc)
        return Outcome(kernel=kernel, record=record)

    with ThreadPoolExecutor(max_workers=max(jobs, 1)) as pool:
        futures = [pool.submit(one, pair) for pair in pairs]
        try:
            for future in futures:
                yield future.result()
        finally:
            cancel.set()
