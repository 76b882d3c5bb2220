"""What no recorded boot can tell: each such behaviour, without it and with it.

`test_corpus_mutations.py` says why no boot tells them; the sources are in
`specs/kernels`.
"""

from dataclasses import replace
from pathlib import Path

import pytest
from compat_cases import AT, CARVED, LOW, SIZE, WHOLE, G, M
from test_corpus_mutations import UNTOLD, flipped
from test_kernel_freed_array import CLEARS, SCANT, runs
from test_loading_capture import IOMEM

from e820pool.abi.e820 import table_of
from e820pool.abi.setup_data import SETUP_EFI
from e820pool.compat import check_input
from e820pool.compat.paging import NextKernelPaging, RunningKernel, findings_of_paging
from e820pool.extents import ExtentSet, Span
from e820pool.kernel.boot_input import BootInput, SetupDataSpan
from e820pool.kernel.decompressor import MAXMEM, kaslr_slots, read_mem_options
from e820pool.kernel.early_boot import predict_input, run_early_boot
from e820pool.kernel.profiles import profile_for
from e820pool.kernel.setup_data_nodes import reads_kho
from e820pool.kernel.state import EarlyBoot
from e820pool.kernel.zero_page import after_sentinel
from e820pool.loading.capture import capture_by_file
from e820pool.sources.iomem import named_ranges

HERE = Path(__file__)
PACKAGE = HERE.parents[2] / "e820pool"
WINDOW = Span(16 * M, 64 * M)
IMAGE = WINDOW.size
PLAIN = [*LOW, (M, 511 * M, 1)]
NODE = SetupDataSpan(addr=2 * M, size=0x1000, type=77)
EXACT = "memmap=exactmap memmap=640K@0 memmap=500M@1M"


def view(profile, rows=PLAIN, **given):
    return predict_input(BootInput(table=table_of(rows), **given), profile)


def first_slots(profile, rows, **given):
    given = {"load_window": WINDOW} | given
    found = kaslr_slots(BootInput(table=table_of(rows), **given), profile)
    return found.areas[0] if found.areas else None


def messages(profile, rows, **given):
    pages = ExtentSet([Span.at(AT, SIZE).pages_inside()])
    told = check_input(pages, BootInput(table=table_of(rows), **given), profile)
    return " ".join(one.message for one in told.findings)


def kinds(rows):
    return {kind for _, _, kind in rows}


def table_passed_on(profile):
    said = messages(profile, WHOLE, cmdline="memmap=16M$512M")
    return [word for word in ("e820_saved", "e820_table_kexec") if word in said]


def marked_for_kexec(profile):
    node = replace(NODE, type=SETUP_EFI)
    return 128 in kinds(view(profile, setup_data=(node,)).kexec_map)


def marked_in_the_tree(profile):
    return 128 in kinds(view(profile, setup_data=(NODE,)).firmware_map)


def marked_after_exactmap(profile):
    return 128 in kinds(view(profile, setup_data=(NODE,), cmdline=EXACT).table)


def reserved_in_capture_table(profile):
    return 2 in kinds(capture_by_file(named_ranges(IOMEM), profile).table)


def low_ram_of_capture_table(profile):
    text = IOMEM.replace("0009efff", "000a7fff").replace("0009f000", "000a8000")
    return capture_by_file(named_ranges(text), profile).table[0]


def hangs_on_five_levels(profile):
    running = RunningKernel(profile=profile_for("6.6"), has_five_levels=True)
    following = NextKernelPaging(profile=profile)
    return bool(list(findings_of_paging(running, following)))


def wants_five_levels(profile):
    off = profile.config | {"X86_5LEVEL": False}
    return NextKernelPaging(profile=replace(profile, config=off)).wants_five_levels


def resets_on_five_levels(profile):
    running = RunningKernel(profile=profile_for("7.3"), has_five_levels=True)
    off = profile.config | {"X86_5LEVEL": False}
    following = NextKernelPaging(profile=replace(profile, config=off))
    return bool(list(findings_of_paging(running, following)))


def line_after_sentinel(profile):
    where = Span(5 * G, 5 * G + 2)
    given = BootInput(sentinel=1, cmdline="x", cmdline_range=where)
    return after_sentinel(given, profile).cmdline


def driver_takes(profile):
    rows = [*CARVED[:3], (AT, 512 * M, 0xEFFF_FFFF)]
    return "type 0xefffffff" in messages(profile, rows)


def before_boot_params(profile):
    page = Span.at(256 * M + 4096, 4096)
    return first_slots(profile, [(256 * M, IMAGE, 1)], boot_params_range=page)


def beside_gigantic_pages(profile):
    line = "hugepagesz=1G hugepages=2"
    return first_slots(profile, [(G, 4 * G, 1)], cmdline=line)[0]


def limit_of_memory(profile):
    return read_mem_options("mem=1G mem=2G", profile, MAXMEM).limit


def below_the_minimum(profile):
    rows = [((1 << 64) - M, 300 * M, 1)]
    high = {"load_window": Span.at(200 * M, IMAGE), "image_size": IMAGE}
    return first_slots(profile, rows, **high)[0]


def before_an_initrd(room):
    def probe(profile):
        rows = [(256 * M, IMAGE + 2 * M, 1)]
        initrd = Span(256 * M + room, 256 * M + IMAGE + 2 * M)
        return first_slots(profile, rows, initrd=initrd)

    return probe


def an_image_of_47_mib(profile):
    return first_slots(profile, [(256 * M, IMAGE - 1, 1)], image_size=IMAGE - M)


def is_initrd_too_large(profile):
    seen = view(profile, initrd=Span(64 * M, 320 * M))
    return "initrd too large" in (seen.fatal or "")


def slots_of_array(islands):
    def probe(profile):
        rows = [LOW[0], *((M + n * 4 * M, M, 1) for n in range(islands - 1))]
        given = BootInput(table=table_of(rows[:100]), ext=(table_of(rows[100:]),))
        return run_early_boot(EarlyBoot.of(given, profile)).array_slots

    return probe


def walks_over_freed(rows, cmdline):
    def probe(profile):
        ext = (table_of(rows[100:]),)
        seen = view(profile, rows[:100], ext=ext, cmdline=cmdline)
        return seen.end is not None

    return probe


def takes_over(abi):
    def probe(profile):
        on = replace(profile, config=profile.config | {"KEXEC_HANDOVER": True})
        return reads_kho(BootInput(kho_compatible=abi), on)

    return probe


SLOT = (256 * M, 1)
# Behaviour, release, what is asked, the answer without it and with it.
TOLD = [
    ("kexec-file-load", "6.1", table_passed_on, [], ["e820_table_kexec"]),
    (
        "kexec-file-passes-saved-map",
        "6.1",
        table_passed_on,
        ["e820_table_kexec"],
        ["e820_saved"],
    ),
    ("kexec-mark-skips-efi", "6.1", marked_for_kexec, True, False),
    ("firmware-memmap-shows-kexec-table", "6.1", marked_in_the_tree, False, True),
    ("setup-data-replaces-firmware-map", "4.4", marked_in_the_tree, False, True),
    ("setup-data-marked-before-cmdline", "3.10", marked_after_exactmap, True, False),
    ("capture-table-has-reserved", "6.1", reserved_in_capture_table, False, True),
    (
        "capture-table-whole-first-mib",
        "6.1",
        low_ram_of_capture_table,
        (0x1000, 0x9F000, 1),
        (0x1000, 0xA7000, 1),
    ),
    ("five-levels-known", "6.1", hangs_on_five_levels, True, False),
    ("five-levels-always", "5.10", wants_five_levels, False, True),
    ("fifth-level-left-by-raw-entry", "5.10", resets_on_five_levels, False, True),
    ("sentinel-clears-ranges", "3.2", line_after_sentinel, "x", ""),
    ("sentinel-keeps-list", "3.2", line_after_sentinel, "x", ""),
    ("soft-reserved-is-hotplugged", "6.1", driver_takes, False, True),
    ("kho-abi-v1", "6.18", takes_over("kho-v1"), False, True),
    ("kho-abi-v4", "7.3", takes_over("kho-v4"), False, True),
    ("kaslr-avoids-boot-params", "6.1", before_boot_params, SLOT, None),
    ("kaslr-skips-gigantic-pages", "6.1", beside_gigantic_pages, G, 3 * G),
    ("kaslr-limit-is-smallest", "6.1", limit_of_memory, 2 * G, G),
    ("kaslr-final-check", "6.1", below_the_minimum, 0, 248 * M),
    ("initrd-below-half-of-memory", "6.1", is_initrd_too_large, False, True),
    ("kaslr-fits-before-avoided", "6.1", before_an_initrd(IMAGE), None, SLOT),
    ("kaslr-fits-before-avoided", "6.1", before_an_initrd(IMAGE - 1), None, None),
    ("kaslr-fits-before-avoided", "6.1", before_an_initrd(IMAGE + 1), SLOT, SLOT),
    ("kaslr-image-in-whole-pages", "6.1", an_image_of_47_mib, SLOT, None),
    ("first-mib-marked-scratch", "6.1", slots_of_array(126), 128, 128),
    ("first-mib-marked-scratch", "6.1", slots_of_array(127), 128, 256),
    (
        "regions-read-after-free",
        "6.18",
        walks_over_freed(runs(200, [LOW[0], (M, 511 * M, 1)]), CLEARS),
        False,
        True,
    ),
    (
        "freed-pages-taken-first",
        "7.3",
        walks_over_freed(runs(1024, SCANT), ""),
        False,
        True,
    ),
]
# Said in specs/kernels, and asked for by nothing: they make no difference to a map.
NEVER_ASKED = (
    "kaslr-kho-scratch-only",
    "remove-splits-in-the-middle",
    "setup-data-reserved-early",
)


@pytest.mark.parametrize(
    ("behaviour", "release", "probe", "without", "with_it"),
    TOLD,
    ids=[f"{at}-{one[0]}" for at, one in enumerate(TOLD)],
)
def test_a_behaviour_makes_its_difference(behaviour, release, probe, without, with_it):
    profile = profile_for(release)
    other = flipped(profile, behaviour)
    lacks, has = (profile, other) if other.has(behaviour) else (other, profile)
    assert (probe(lacks), probe(has)) == (without, with_it)


@pytest.mark.parametrize("behaviour", NEVER_ASKED)
def test_what_nothing_asks_for_is_asked_for_by_nothing(behaviour):
    sources = (path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    assert not any(f'"{behaviour}"' in text for text in sources)


def test_each_behaviour_that_no_boot_tells_is_named_by_a_unit_test():
    texts = [
        path.read_text(encoding="utf-8")
        for path in HERE.parent.glob("test_*.py")
        if path.name != "test_corpus_mutations.py"
    ]
    named = {name for name in UNTOLD if any(f'"{name}"' in text for text in texts)}
    assert named == set(UNTOLD)
