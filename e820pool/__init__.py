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

# Where the names are; packages are names themselves.
_MODULES = {
    "compat.judge": ("Judgement", "judge", "judge_boot"),
    "compat.verdict": ("Verdict",),
    "deposits": ("Deposit", "DepositLedger"),
    "errors": (
        *("BadImageError", "CapacityError", "E820PoolError", "InputError"),
        *("LabError", "MachineError"),
    ),
    "extents": ("ByteRangeSet", "ExtentSet"),
    "findings": ("Finding",),
    "handoff.build": ("BuildOptions", "build"),
    "handoff.model": ("Handoff",),
    "kernel.early_boot": ("predict",),
    "kernel.profiles": ("Profile", "known_releases", "profile_for"),
    "kernel.view": ("KernelView",),
    "lab.boot": ("BootOptions", "BootRecord", "boot"),
    "loading.bind": ("bind",),
    "loading.kernel_file": ("KernelFile", "profile_of", "read_kernel_file"),
    "memory_map": ("MemoryMap",),
    "pool.pool": ("Pool",),
    "pool.rebuild": ("RebuildResult", "rebuild"),
    "sources.deposits_file": ("read_deposits",),
    "sources.handoff_dir": ("read_handoff",),
    "sources.recognise": ("read_map",),
}
_PACKAGES = ("abi", "handoff.encodings", "lab", "live", "loading", "strategies")
_PLACES = {name: module for module, names in _MODULES.items() for name in names} | {
    package.rpartition(".")[2]: package for package in _PACKAGES
}


# Hidden from type checkers, which would take it to mean that any name is there.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415  nothing before it is needed

        value = import_module(f"{__name__}.{_PLACES[name]}")
        if _PLACES[name] not in _PACKAGES:
            value = getattr(value, "build_handoff" if name == "build" else name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
