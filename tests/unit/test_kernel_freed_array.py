"""memblock's array that is read after it was freed: each hang with a pass and a fail.

What hangs and what boots was booted, with Debian's kernels.
"""

import pytest
from compat_cases import found, levels

from e820pool.abi.e820 import table_of
from e820pool.kernel.boot_input import BootInput
from e820pool.kernel.early_boot import predict_input
from e820pool.kernel.memblock import FREED_ARRAY, clears_freed_pages
from e820pool.kernel.profiles import profile_for

K, M, G = 1 << 10, 1 << 20, 1 << 30
LOW = [(0, 0x9F000, 1), (M, 511 * M, 1)]
# Room for memblock's array up to 1024 regions, and for the trampoline.
SCANT = [
    (0x1_0000, 0x7000, 1),
    (0x2_0000, 0x6000, 1),
    (0x3_0000, 0x6000, 1),
    (M, 511 * M, 1),
]
CLEARS = "init_on_free=1"


def runs(count, low, size=60 * K, last=60 * K):
    """Return so many runs of RAM in all, a page between one and the next."""
    number, step = count - len(low), size + 4 * K
    more = [(4 * G + at * step, size, 1) for at in range(number - 1)]
    return [*low, *more, (4 * G + number * step, last, 1)]


def ending(rows, release="7.3", cmdline="", **config):
    inp = BootInput(
        table=table_of(rows[:100]), ext=(table_of(rows[100:]),), cmdline=cmdline
    )
    return predict_input(inp, profile_for(release, config)).end


@pytest.mark.parametrize("release", ["6.17", "6.18", "6.19", "7.0", "7.1", "7.2"])
def test_a_grown_array_that_is_cleared_hangs_from_6_17_on(release):
    rows = runs(200, LOW)
    assert ending(rows, release, CLEARS) == FREED_ARRAY
    assert ending(rows, release) is None


@pytest.mark.parametrize("release", ["5.10", "6.1", "6.12", "6.16"])
def test_before_6_17_the_array_is_not_read_any_more(release):
    assert ending(runs(200, LOW), release, CLEARS) is None


@pytest.mark.parametrize(("count", "ends"), [(126, None), (127, FREED_ARRAY)])
@pytest.mark.parametrize("release", ["6.17", "7.3"])
def test_126_regions_are_in_an_array_that_is_not_freed(release, count, ends):
    assert ending(runs(count, LOW), release, CLEARS) == ends


@pytest.mark.parametrize(
    ("config", "ends"),
    [
        ({"NUMA": False}, None),
        ({"MEMORY_HOTPLUG": False}, None),
        ({"ARCH_KEEP_MEMBLOCK": True}, None),
        ({"MEMORY_HOTPLUG": True}, FREED_ARRAY),
    ],
)
def test_a_kernel_without_the_walk_or_with_the_array_kept_boots(config, ends):
    assert ending(runs(200, LOW), "7.3", CLEARS, **config) == ends


def test_a_kernel_may_clear_without_being_told():
    rows, on = runs(200, LOW), {"INIT_ON_FREE_DEFAULT_ON": True}
    assert ending(rows, "7.3", "", **on) == FREED_ARRAY
    assert ending(rows, "7.3", "init_on_free=0", **on) is None


@pytest.mark.parametrize(
    ("line", "clears"),
    [
        ("", False),
        ("init_on_free", False),
        ("init_on_free=", False),
        ("init_on_free=1", True),
        ("init_on_free=yes", True),
        ("init_on_free=on", True),
        ("init_on_free=off init_on_free=T", True),
        ("init_on_free=1 init_on_free=off", False),
        ("init_on_free=1 init_on_free=0", False),
        ("init_on_free=1 init_on_free=maybe", True),
        ("init_on_free=o init_on_free=?", False),
        ("init_on_alloc=1", False),
        ("quiet -- init_on_free=1", False),
    ],
)
def test_the_last_word_that_is_one_counts(line, clears):
    assert clears_freed_pages(line, default=False) is clears


@pytest.mark.parametrize("size", [60 * K, 252 * K])
@pytest.mark.parametrize("release", ["7.1", "7.2", "7.3"])
def test_an_array_that_grew_late_in_a_short_run_hangs_from_7_1_on(release, size):
    """1023 regions and no low RAM for more: nothing is lost, and it grows in NUMA."""
    for last in (60 * K, 1084 * K):
        rows = runs(1024, SCANT, size, last)
        assert ending(rows, release) == FREED_ARRAY
        assert ending(rows, "7.0") is None
    assert ending(runs(1022, SCANT, size), release) is None


@pytest.mark.parametrize("last", [4 * M, 16 * M, 64 * M, 448 * M])
def test_in_a_long_run_it_is_still_there_when_it_is_read(last):
    rows = runs(1024, SCANT, last=last)
    assert ending(rows) is None
    # Cleared it is gone wherever it lies, from 6.17 on.
    for release in ("6.17", "7.3"):
        assert ending(rows, release, CLEARS) == FREED_ARRAY


def test_the_run_that_is_lost_is_none_for_the_array():
    rows = runs(1025, SCANT, last=448 * M)
    assert ending(rows, "7.3") == FREED_ARRAY
    assert ending(rows, "7.0") is None


def test_check_says_why_the_boot_does_not_end():
    rows = runs(200, LOW)
    given = {"rows": rows[:100], "ext": (rows[100:],), "cmdline": CLEARS}
    for release in ("6.17", "7.3"):
        (one,) = found("memblock-freed-array", release=release, **given)
        assert one.level == "degraded"
        assert one.message.startswith("200 regions of RAM")
        assert levels("boot-fails", release=release, **given) == ["degraded"]
    assert levels("memblock-freed-array", release="6.16", **given) == []
    assert levels("boot-fails", release="6.16", **given) == []
