"""The promise, shown on real kernels, and the controls that show the instrument sees.

Every boot is made once and looked at by several tests.
"""

from dataclasses import replace

import numpy as np
import pytest
from labbench import (
    MIB,
    ROWS,
    boot_patiently,
    deposits,
    handoff_of,
)

from e820pool.abi.boot_params import parse_boot_params
from e820pool.abi.pool_record import SETUP_E820POOL
from e820pool.abi.setup_data import SETUP_E820_EXT
from e820pool.compat import judge_boot
from e820pool.extents import ByteRangeSet, ExtentSet, Span
from e820pool.kernel.profiles import profile_for
from e820pool.memory_map import MemoryMap
from e820pool.pool.rebuild import rebuild

COUNTS = (1, 20, 100)


@pytest.fixture(scope="module")
def canonical(image_of):
    """Return a function that boots the canonical handoff once a kernel and count."""
    made = {}

    def get(release, count):
        if (release, count) not in made:
            handoff = handoff_of(deposits(count))
            made[release, count] = boot_patiently(handoff, image_of(release).read())
        return made[release, count]

    return get


def profile_of(view):
    """Return the model of the kernel that was booted."""
    return profile_for(".".join(view.kernel.split(".")[:2]))


@pytest.fixture(params=COUNTS)
def booted(request, release, canonical):
    return canonical(release, request.param)


def test_not_one_deposited_page_is_touched_under_memory_pressure(booted):
    view, ledger = booted.view, booted.handoff.ledger
    assert booted.report.is_complete
    assert not view.touched_deposits, view.findings
    assert not view.touched & ledger.extents
    assert judge_boot(booted, profile_of(view)).verdict.verdict == "safe"


def test_the_guest_really_filled_its_memory(booted):
    ram = booted.view.usable_pages()
    # What stays free is kept back by the kernel for itself, and by its low zones.
    assert (ram & booted.view.touched).nr_pages > 0.93 * ram.nr_pages
    left = int(booted.report.text("filled").split("MemFree:")[1].split()[0])
    assert left < 12 * 1024


def test_model_and_machine_say_the_same(booted):
    assert judge_boot(booted, profile_of(booted.view)).differences == ()


def test_the_pool_is_rebuilt_from_what_the_booted_kernel_exports(booted):
    ledger = booted.handoff.ledger
    records = [
        data for kind, data in booted.report.setup_data() if kind == SETUP_E820POOL
    ]
    result = rebuild(booted.view, records[0], booted.handoff.firmware_map)
    assert result.pool is not None, result.findings
    assert result.ledger == ledger


def test_the_kernel_exports_the_table_as_it_was_written(booted):
    page = parse_boot_params(booted.report.frames["boot_params"])
    assert np.array_equal(page.e820_map, booted.handoff.boot_params.e820_map)
    kinds = [kind for kind, _ in booted.report.setup_data()]
    spilled = len(booted.handoff.ledger) * 2 + 3 > 128
    assert (SETUP_E820_EXT in kinds) == spilled
    assert booted.view.firmware_map is not None


def unprotected(ranges, kind):
    """Return a handoff that knows its deposits and gives them another type."""
    handoff = handoff_of(ranges)
    ledger = handoff.ledger.extents.to_bytes()
    rows = [row for row in ROWS if row[2] != 1]
    for addr, size, was in ROWS:
        if was == 1:
            left = ByteRangeSet([(addr, addr + size)]) - ledger
            rows += [(start, end - start, 1) for start, end in left]
    rows += [(start, end - start, kind) for start, end in ledger]
    page = handoff.boot_params.with_table(MemoryMap.of(sorted(rows)).entries)
    return replace(handoff, boot_params=page)


CONTROL = deposits(20)


def test_control_the_same_deposits_left_as_ram_are_touched(kernel):
    handoff = unprotected(CONTROL, 1)
    record = boot_patiently(handoff, kernel.read())
    touched = record.view.touched_deposits
    assert touched.nr_pages > 0.8 * handoff.ledger.extents.nr_pages
    verdict = judge_boot(record, profile_of(record.view)).machine
    assert verdict.verdict == "unsafe"
    assert {"touched", "usable-as-ram"} <= {one.id for one in verdict.findings}
    (how,) = record.view.findings
    assert how.id == "touched-how"
    assert f"{touched.nr_pages} deposited pages" in how.message


def test_control_type_128_is_memory_up_to_6_12_and_not_later(kernel):
    record = boot_patiently(unprotected(CONTROL, 128), kernel.read())
    old = tuple(int(n) for n in kernel.release.split(".")) < (6, 16)
    assert bool(record.view.touched_deposits) == old


def overlaid(ranges):
    """Return a handoff whose deposits are RESERVED on top of one large RAM entry."""
    handoff = handoff_of(ranges)
    over = [(start, end - start, 2) for start, end in ranges]
    page = handoff.boot_params.with_table(MemoryMap.of([*ROWS, *over]).entries)
    return replace(handoff, boot_params=page)


def test_control_reserved_laid_over_ram_is_hit_by_kaslr(kernel):
    """At least four of five slots lie in the deposit, so one boot in six must hit.

    The decompressor and the initrd keep KASLR from everything below 75 MiB; a slot
    is free of the deposit only if the image, of 36 MiB or more, ends by 128 MiB.
    """
    handoff = overlaid([(128 * MIB, 256 * MIB)])
    for _ in range(6):
        record = boot_patiently(handoff, kernel.read(), pressure=False)
        if record.view.touched_deposits:
            break
    else:
        pytest.fail("six boots, and the kernel was never put into the deposit")
    # The decompressor works in more than the image fills in the end.
    start, _ = record.view.kernel_range
    first, last = record.handoff.kernel_window
    slot = ExtentSet([(start >> 12, (start + last - first) >> 12)])
    assert slot & record.view.touched_deposits
    both = judge_boot(record, profile_of(record.view))
    assert both.machine.verdict == both.model.verdict == "unsafe"
    # The model is asked with the place that KASLR chose: it foresees the rest.
    assert both.differences == ()


def test_a_pattern_tells_pages_that_changed(image_of):
    image = image_of("6.1").read()
    safe = boot_patiently(handoff_of(CONTROL), image, pattern=True)
    assert not safe.view.touched_deposits
    record = boot_patiently(unprotected(CONTROL, 1), image, pattern=True)
    deposited = record.handoff.ledger.extents
    assert record.view.touched_deposits.nr_pages > 0.8 * deposited.nr_pages
    assert deposited.covers(record.view.touched_deposits)


def test_deposits_above_4_gib_are_seen_too(image_of):
    rows = (*ROWS, (4096 * MIB, 128 * MIB, 1))
    ranges = [(4096 * MIB + 40 * MIB, 4096 * MIB + 44 * MIB)]
    record = boot_patiently(handoff_of(ranges, rows), image_of("6.1").read())
    assert not record.view.touched_deposits
    high = record.view.touched & ExtentSet([(4096 * MIB >> 12, 4224 * MIB >> 12)])
    assert high.nr_pages > 0.9 * (124 * MIB >> 12)
    assert Span.at(4096 * MIB + 44 * MIB, 84 * MIB) in record.view.memory
