"""Hand deposited memory to the next kernel as E820_TYPE_RESERVED, and prove it.

The names here are the package's interface; what is only in a module of it may move or
change with any release. A name is imported when it is first used.
"""

# Of typing nothing is needed here but this constant, which type checkers know.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from e820pool import abi, lab, live, loading, strategies
    from e820pool.compat.judge import Judgement, judge, judge_boot
    from e820pool.compat.verdict import Verdict
    from e820pool.deposits import Deposit, DepositLedger
    from e820pool.errors import (
        BadImageError,
        CapacityError,
        E820PoolError,
        InputError,
        LabError,
        MachineError,
    )
    from e820pool.extents import ByteRangeSet, ExtentSet
    from e820pool.findings import Finding
    from e820pool.handoff import encodings
    from e820pool.handoff.build import BuildOptions
    from e820pool.handoff.build import build_handoff as build
    from e820pool.handoff.model import Handoff
    from e820pool.kernel.early_boot import predict
    from e820pool.kernel.profiles import Profile, known_releases, profile_for
    from e820pool.kernel.view import KernelView
    from e820pool.lab.boot import BootOptions, BootRecord, boot
    from e820pool.loading.bind import bind
    from e820pool.loading.kernel_file import KernelFile, profile_of, read_kernel_file
    from e820pool.memory_map import MemoryMap
    from e820pool.pool.pool import Pool
    from e820pool.pool.rebuild import RebuildResult, rebuild
    from e820pool.sources.deposits_file import read_deposits
    from e820pool.sources.handoff_dir import read_handoff
    from e820pool.sources.recognise import read_map

__version__ = "0.1.0"

__all__ = (
    "BadImageError",
    "BootOptions",
    "BootRecord",
    "BuildOptions",
    "ByteRangeSet",
    "CapacityError",
    "Deposit",
    "DepositLedger",
    "E820PoolError",
    "ExtentSet",
    "Finding",
    "Handoff",
    "InputError",
    "Judgement",
    "KernelFile",
    "KernelView",
    "LabError",
    "MachineError",
    "MemoryMap",
    "Pool",
    "Profile",
    "RebuildResult",
    "Verdict",
    "abi",
    "bind",
    "boot",
    "build",
    "encodings",
    "judge",
    "judge_boot",
    "known_releases",
    "lab",
    "live",
    "loading",
    "predict",
    "profile_for",
    "profile_of",
    "read_deposits",
    "read_handoff",
    "read_kernel_file",
    "read_map",
    "rebuild",
    "strategies",
)

# Where each name is; "module:name" where it has another name there, or is a package.
_PLACES = {
    "BadImageError": "errors",
    "BootOptions": "lab.boot",
    "BootRecord": "lab.boot",
    "BuildOptions": "handoff.build",
    "ByteRangeSet": "extents",
    "CapacityError": "errors",
    "Deposit": "deposits",
    "DepositLedger": "deposits",
    "E820PoolError": "errors",
    "ExtentSet": "extents",
    "Finding": "findings",
    "Handoff": "handoff.model",
    "InputError": "errors",
    "Judgement": "compat.judge",
    "KernelFile": "loading.kernel_file",
    "KernelView": "kernel.view",
    "LabError": "errors",
    "MachineError": "errors",
    "MemoryMap": "memory_map",
    "Pool": "pool.pool",
    "Profile": "kernel.profiles",
    "RebuildResult": "pool.rebuild",
    "Verdict": "compat.verdict",
    "abi": "abi:",
    "bind": "loading.bind",
    "boot": "lab.boot",
    "build": "handoff.build:build_handoff",
    "encodings": "handoff.encodings:",
    "judge": "compat.judge",
    "judge_boot": "compat.judge",
    "known_releases": "kernel.profiles",
    "lab": "lab:",
    "live": "live:",
    "loading": "loading:",
    "predict": "kernel.early_boot",
    "profile_for": "kernel.profiles",
    "profile_of": "loading.kernel_file",
    "read_deposits": "sources.deposits_file",
    "read_handoff": "sources.handoff_dir",
    "read_kernel_file": "loading.kernel_file",
    "read_map": "sources.recognise",
    "rebuild": "pool.rebuild",
    "strategies": "strategies:",
}


# Hidden from type checkers, which would take it to mean that any name is there.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415  nothing before it is needed

        module, mark, attribute = _PLACES[name].partition(":")
        value = import_module(f"{__name__}.{module}")
        if attribute or not mark:
            value = getattr(value, attribute or name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
