"""Shapes of deposits that a kernel does not survive, drawn, booted and made small."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e820pool.compat import judge_boot
from e820pool.loading.kernel_file import KernelFile, profile_of
from e820pool.stress.confirm import loss_ids
from e820pool.stress.draws import Draws
from e820pool.stress.search import draw_shape, extents_of, handoff_of, minimise

if TYPE_CHECKING:
    from collections.abc import Callable

    from e820pool.handoff.model import Handoff
    from e820pool.lab.boot import Outcome

    Extents = tuple[tuple[int, int], ...]

__all__ = ("search_shape",)


def search_shape(
    kernel: KernelFile,
    seed: int,
    number: int,
    boot: Callable[[Handoff], Outcome],
    *,
    on_another: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Return what a kernel made of one shape, and the smallest that fails as it did.

    The draw is the one of that ``number``; ``boot`` boots this kernel with a handoff,
    and ``on_another`` is called before each boot beyond the first.
    """

    def survives(extents: Extents) -> bool:
        on_another()
        return not _failure(boot(handoff_of(extents)))

    shape = draw_shape(Draws(seed).fork(number))
    extents = extents_of(shape)
    failure = _failure(boot(handoff_of(extents)))
    smallest = minimise(extents, survives) if failure else ()
    return {
        "kernel": kernel.name,
        "number": number,
        **shape._asdict(),
        "failure": failure,
        "reproducer": [[start, end - start] for start, end in smallest],
    }


# "" where the kernel boots, keeps all RAM, and does what the model says.
def _failure(outcome: Outcome) -> str:
    record = outcome.record
    if record is None:
        return f"VM lost: {outcome.failure}"
    both = judge_boot(record, profile_of(outcome.kernel))
    unsafe = [
        finding.id for finding in both.verdict.findings if finding.level == "unsafe"
    ]
    lost = [*loss_ids(both.machine.findings), *unsafe]
    lost += ["model-differs"] if both.differences else []
    return ", ".join(dict.fromkeys(lost))
