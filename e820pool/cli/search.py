"""stress --search: shapes of deposits that a kernel does not survive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e820pool.cli import status
from e820pool.cli.boot_progress import boot_progress
from e820pool.cli.lab_runs import lab_kernels, run_boots

if TYPE_CHECKING:
    import argparse

    from e820pool.cli.boot_progress import BootProgress
    from e820pool.cli.console import Console
    from e820pool.loading.kernel_file import KernelFile

    Extents = tuple[tuple[int, int], ...]

__all__ = ("search",)


def search(args: argparse.Namespace, console: Console) -> int:
    """Boot shapes drawn by the seed; make each one that fails small; 1 if any does."""
    from e820pool.report.stress_search import search_json, search_text  # noqa: PLC0415

    kernels = lab_kernels(args.kernel)
    with boot_progress(len(kernels) * args.search, console) as seen:
        found = [
            _searched(kernel, number, args, console, seen)
            for kernel in kernels
            for number in range(args.search)
        ]
    render = search_json if args.format == "json" else search_text
    console.result(render(found))
    return status.NOT_SAFE if any(one["failure"] for one in found) else status.DONE


def _searched(
    kernel: KernelFile,
    number: int,
    args: argparse.Namespace,
    console: Console,
    seen: BootProgress,
) -> dict[str, Any]:
    from e820pool.stress.draws import Draws  # noqa: PLC0415  numpy
    from e820pool.stress.search import draw_shape, extents_of, minimise  # noqa: PLC0415

    def survives(extents: Extents) -> bool:
        seen.one_more()
        return not _failure(kernel, extents, args, console, seen)

    shape = draw_shape(Draws(args.seed).fork(number))
    extents = extents_of(shape)
    failure = _failure(kernel, extents, args, console, seen)
    smallest = minimise(extents, survives) if failure else ()
    return {
        "kernel": kernel.name,
        "number": number,
        **shape._asdict(),
        "failure": failure,
        "reproducer": [[one, two - one] for one, two in smallest],
    }


# "" where the kernel boots, keeps all RAM, and does what the model says.
def _failure(
    kernel: KernelFile,
    extents: Extents,
    args: argparse.Namespace,
    console: Console,
    seen: BootProgress,
) -> str:
    from e820pool.compat import judge_boot  # noqa: PLC0415  numpy
    from e820pool.loading.kernel_file import profile_of  # noqa: PLC0415
    from e820pool.stress.confirm import loss_ids  # noqa: PLC0415
    from e820pool.stress.search import handoff_of  # noqa: PLC0415

    (outcome,) = run_boots(handoff_of(extents), [kernel], args, console, seen)
    if outcome.record is None:
        return f"VM lost: {outcome.failure}"
    record = outcome.record
    both = judge_boot(record, profile_of(kernel))
    unsafe = [one.id for one in both.verdict.findings if one.level == "unsafe"]
    lost = [*loss_ids(both.machine.findings), *unsafe]
    lost += ["model-differs"] if both.differences else []
    return ", ".join(dict.fromkeys(lost))
