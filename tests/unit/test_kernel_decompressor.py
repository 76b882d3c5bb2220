"""Slots of physical KASLR, by release and command line."""

import pytest

from e820pool.abi.e820 import table_of
from e820pool.extents import ByteRangeSet, Span
from e820pool.kernel.boot_input import BootInput, EfiMemmap, SetupDataSpan
from e820pool.kernel.decompressor import MAXMEM, has_word, kaslr_slots, read_mem_options
from e820pool.kernel.early_boot import predict_input
from e820pool.kernel.profiles import profile_for

M = 1 << 20
WINDOW = Span(16 * M, 64 * M)
IMAGE = 48 * M


def slots(rows, release="6.1", config=None, **given):
    given.setdefault("load_window", WINDOW)
    inp = BootInput(table=table_of(rows), **given)
    return kaslr_slots(inp, profile_for(release, config))


def addresses(found):
    return [a + n * found.step for a, count in found.areas for n in range(count)]


def test_a_region_holds_as_many_slots_as_images_fit():
    found = slots([(M, 63 * M, 1), (256 * M, IMAGE + 4 * M, 1)])
    assert found.enabled
    assert found.areas == ((256 * M, 3),)
    assert found.image_size == IMAGE


@pytest.mark.parametrize(
    ("size", "count"), [(IMAGE - 1, 0), (IMAGE, 1), (IMAGE + 2 * M - 1, 1)]
)
def test_an_image_must_fit_whole(size, count):
    assert slots([(256 * M, size, 1)]).nr_slots == count


def test_a_smaller_image_than_the_window_is_rounded_to_2_mib():
    found = slots([(256 * M, 40 * M, 1)], image_size=39 * M + 1)
    assert found.image_size == 40 * M
    assert addresses(found) == [256 * M]


def test_an_unaligned_region_begins_at_the_next_step():
    assert addresses(slots([(256 * M + 0x1000, IMAGE + 2 * M, 1)])) == [258 * M]
    assert not slots([(256 * M + 0x1000, IMAGE + 2 * M - 0x1001, 1)]).enabled


def test_an_overlay_does_not_protect_but_a_carved_table_does():
    deposit = (256 * M, 1024 * M, 2)
    over = slots([(M, 2047 * M, 1), deposit])
    carved = slots([(M, 255 * M, 1), deposit, (1280 * M, 768 * M, 1)])
    bytes_ = ByteRangeSet([(256 * M, 1280 * M)])
    assert over.slots_over(bytes_)[0] > 0
    assert carved.slots_over(bytes_)[0] == 0


def test_ext_is_never_looked_at():
    more = table_of([(512 * M, 512 * M, 1)])
    assert slots([(256 * M, IMAGE, 1)], ext=(more,)).nr_slots == 1


def test_the_window_and_all_parts_are_avoided():
    given = {
        "initrd": Span(300 * M, 310 * M),
        "cmdline_range": Span(400 * M, 400 * M + 10),
        "boot_params_range": Span(500 * M, 500 * M + 4096),
        "setup_data": (
            SetupDataSpan(
                addr=600 * M, size=64, type=1 << 31, indirect=(700 * M, 1, 7)
            ),
        ),
    }
    found = slots([(M, 1023 * M, 1)], **given)
    parts = (*WINDOW,), *given.values()
    for start, end in [p for p in parts if isinstance(p[0], int)]:
        assert found.slots_over(ByteRangeSet([(start, end)]))[0] == 0
    for addr in (600 * M, 700 * M):
        assert found.slots_over(ByteRangeSet([(addr, addr + 1)]))[0] == 0
    # 5.4 does not follow an indirect node, 4.4 does not avoid boot_params.
    old = slots([(M, 1023 * M, 1)], "5.4", **given)
    assert old.slots_over(ByteRangeSet([(700 * M, 700 * M + 1)]))[0] > 0
    older = slots([(M, 1023 * M, 1)], "4.4", {"HIBERNATION": "n"}, **given)
    assert older.slots_over(ByteRangeSet([(500 * M, 500 * M + 1)]))[0] > 0


def test_a_load_above_512_mib_lets_slots_begin_there():
    window = Span(1024 * M, 1024 * M + IMAGE)
    found = slots([(M, 2047 * M, 1)], load_window=window)
    assert min(addresses(found)) == 512 * M


def test_at_most_100_regions_are_kept():
    rows = [((n + 2) * 256 * M, IMAGE, 1) for n in range(120)]
    assert len(slots(rows).areas) == 100


def test_4_4_keeps_slots_of_any_number_of_regions():
    rows = [((n + 64) * 4 * M, 4 * M, 1) for n in range(120)]
    found = slots(rows, "4.4", {"HIBERNATION": "n"}, image_size=4 * M)
    assert [first for first, _ in found.areas] == [addr for addr, _, _ in rows]


def test_4_4_takes_room_to_the_byte_before_what_is_avoided():
    node = SetupDataSpan(addr=260 * M, size=4096, type=5)
    found = slots(
        [(256 * M, 64 * M, 1)],
        "4.4",
        {"HIBERNATION": "n"},
        image_size=4 * M,
        setup_data=(node,),
    )
    assert 256 * M in addresses(found)


@pytest.mark.parametrize(
    ("release", "config", "line", "reason"),
    [
        ("3.10", {}, "", "no KASLR"),
        ("6.1", {"RANDOMIZE_BASE": "n"}, "", "no KASLR"),
        ("6.1", {}, "quiet nokaslr", "nokaslr"),
        ("4.4", {}, "", "hibernation"),
        ("6.1", {}, "mem=32M", "memory limit"),
        (
            "6.1",
            {},
            "memmap=" + ",".join(f"1M${n}M" for n in range(70, 75)),
            "more than 4",
        ),
        ("6.1", {}, "mem=100M", "no suitable"),
    ],
)
def test_why_it_is_off(release, config, line, reason):
    found = slots([(M, 2047 * M, 1)], release, config, cmdline=line)
    assert not found.enabled
    assert reason in found.reason


def test_words_of_the_command_line_end_at_spaces_only():
    assert has_word("a\tnokaslr\x01b", "nokaslr")
    assert not has_word("nokaslr=1 xnokaslr", "nokaslr")


def test_with_hibernation_4_4_wants_to_be_asked_and_stays_low():
    found = slots([(M, 2047 * M, 1)], "4.4", cmdline="kaslr")
    assert found.enabled
    assert max(addresses(found)) + IMAGE <= 1 << 30
    assert min(addresses(found)) >= WINDOW[1]
    # nokaslr is not looked at then (4.4.178 choose_kernel_location()).
    assert slots([(M, 2047 * M, 1)], "4.4", cmdline="nokaslr kaslr") == found


@pytest.mark.parametrize(
    ("line", "limit", "avoided", "too_many"),
    [
        ("memmap=1M$256M", MAXMEM, [(256 * M, 257 * M)], False),
        (
            "memmap=1M#256M memmap=2M!1G",
            MAXMEM,
            [(256 * M, 257 * M), (1 << 30, 1026 * M)],
            False,
        ),
        ("memmap=1M@256M", MAXMEM, [], False),
        ("memmap=64M", 64 * M, [], False),
        ("memmap=64M$0", 64 * M, [], False),
        ("memmap=64M%256M-1+2", 64 * M, [], False),
        ("memmap=exactmap,1M$256M", MAXMEM, [], False),
        ("memmap=x,1M$256M memmap=1M$1M", MAXMEM, [(M, 2 * M)], False),
        ("mem=1G mem=2G", 1 << 30, [], False),
        ("mem=0 memmap=1M$256M", MAXMEM, [], False),
        ("mem memmap=1M$256M", MAXMEM, [], False),
        ("mem mem=1G", MAXMEM, [], False),
        ("mem=nopentium mem=1G", 1 << 30, [], False),
        ("-- mem=1G", MAXMEM, [], False),
        ("efi_fake_mem=1M@256M:0x40000", MAXMEM, [(256 * M, 257 * M)], False),
        ("efi_fake_mem=1M@256M:1", MAXMEM, [], False),
        ("efi_fake_mem=1M@256M", MAXMEM, [], False),
        (
            "memmap=1M$1M,1M$3M,1M$5M,1M$7M",
            MAXMEM,
            [(n * M, (n + 1) * M) for n in (1, 3, 5, 7)],
            False,
        ),
        (
            "memmap=1M$1M,1M$3M,1M$5M,1M$7M,1M$9M",
            MAXMEM,
            [(n * M, (n + 1) * M) for n in (1, 3, 5, 7)],
            True,
        ),
        (
            " ".join(f"memmap=1M${n}M" for n in (1, 3, 5, 7, 9)),
            MAXMEM,
            [(n * M, (n + 1) * M) for n in (1, 3, 5, 7)],
            False,
        ),
    ],
)
def test_the_decompressor_reads_options_its_own_way(line, limit, avoided, too_many):
    said = read_mem_options(line, profile_for("6.1"), MAXMEM)
    assert (said.limit, said.avoided, said.too_many) == (limit, avoided, too_many)


@pytest.mark.parametrize(
    ("release", "avoided"),
    [
        ("4.4", []),
        ("4.9", []),
        ("4.11", [(3 * M, 4 * M)]),
        ("4.12", [(3 * M, 4 * M)]),
        ("4.14", [(M, 2 * M), (3 * M, 4 * M)]),
    ],
)
def test_releases_read_the_options_differently(release, avoided):
    line = "memmap=1M$1M memmap=1M$3M mem=1G"
    said = read_mem_options(line, profile_for(release), MAXMEM)
    assert said.avoided == avoided
    assert said.limit == (1 << 30 if release == "4.14" else (1 << 64) - 1)


# 4.12.4: a size alone ends the list.
@pytest.mark.parametrize("line", ["memmap=16M", "memmap=16M%300M-1+2"])
def test_4_12_knows_no_limit(line):
    said = read_mem_options(line, profile_for("4.12"), MAXMEM)
    assert (said.avoided, said.limit) == ([], (1 << 64) - 1)


def test_gigantic_pages_are_left_alone():
    line = "hugepagesz=1G hugepages=2"
    rows = [(1 << 30, 4 << 30, 1)]
    found = slots(rows, cmdline=line)
    assert found.areas[0][0] == 3 << 30
    assert slots(rows, "4.14", cmdline=line).areas[0][0] == 1 << 30
    assert (
        read_mem_options("hugepages=2", profile_for("6.1"), MAXMEM).gigantic_pages == 0
    )
    head = slots([((1 << 30) - 64 * M, 4 << 30, 1)], cmdline=line)
    assert [a for a, _ in head.areas] == [(1 << 30) - 64 * M, 3 << 30]


EFI_RAM, EFI_UNACCEPTED = 7, 15


def test_an_efi_map_hides_the_table():
    rows = ((1 << 30, IMAGE >> 12, EFI_RAM, 0), (2 << 30, IMAGE >> 12, 2, 0))
    given = {"efi": EfiMemmap(rows=rows)}
    table = [(256 * M, IMAGE, 1)]
    assert addresses(slots(table, **given)) == [1 << 30]
    assert addresses(slots(table, "4.11", **given)) == [256 * M]
    assert addresses(slots(table, config={"EFI": "n"}, **given)) == [256 * M]
    assert not slots(table, efi=EfiMemmap(rows=())).enabled


def test_an_efi_map_that_is_not_there_decides_unseen():
    found = slots([(256 * M, IMAGE, 1)], efi=EfiMemmap())
    assert not found.known
    inp = BootInput(
        table=table_of([(0, M, 1), (M, M, 1)]), load_window=WINDOW, efi=EfiMemmap()
    )
    assert predict_input(inp, profile_for("6.1")).kernel_range is None


def test_only_plain_efi_memory_counts():
    rows = (
        (1 << 30, IMAGE >> 12, EFI_RAM, 0x40000),
        (2 << 30, IMAGE >> 12, EFI_UNACCEPTED, 0),
        (3 << 30, IMAGE >> 12, EFI_RAM, 0),
    )
    given = {"efi": EfiMemmap(rows=rows)}
    assert addresses(slots([], "5.4", **given)) == [1 << 30, 3 << 30]
    assert addresses(slots([], "6.1", **given)) == [3 << 30]
    assert addresses(slots([], "6.6", **given)) == [2 << 30, 3 << 30]
    mirrored = (*rows, (4 << 30, IMAGE >> 12, EFI_RAM, 0x10000))
    found = slots([], efi=EfiMemmap(rows=mirrored))
    assert addresses(found) == [4 << 30]


def test_a_handover_leaves_only_its_scratch():
    given = {"kho_scratch": (Span.at(1 << 30, IMAGE),), "efi": EfiMemmap()}
    on = {"KEXEC_HANDOVER": "y"}
    table = [(256 * M, IMAGE, 1)]
    assert addresses(slots(table, "6.18", on, **given)) == [1 << 30]
    assert not slots(table, "6.18", **given).known


def test_without_a_window_nothing_is_said():
    found = kaslr_slots(BootInput(), profile_for("6.1"))
    assert not found.enabled
    assert "window" in found.reason


def test_where_kaslr_is_off_the_image_is_taken_to_fill_its_window():
    rows = table_of([(0, M, 1), (M, 511 * M, 1)])
    fixed = BootInput(table=rows, load_window=WINDOW, cmdline="nokaslr")
    free = BootInput(table=rows, load_window=WINDOW)
    assert predict_input(fixed, profile_for("6.1")).kernel_range == WINDOW
    assert predict_input(free, profile_for("6.1")).kernel_range is None


def test_the_window_below_the_payload_may_be_chosen():
    window = {"load_window": Span(700 * M, 760 * M), "image_size": IMAGE}
    ram = [(512 * M, 400 * M, 1)]
    all_avoided = addresses(slots(ram, **window))
    assert max(a for a in all_avoided if a < 700 * M) == 700 * M - IMAGE
    some = addresses(slots(ram, payload_start=740 * M, **window))
    assert max(a for a in some if a < 700 * M) == 740 * M - IMAGE
    assert [a for a in some if a > 700 * M] == [a for a in all_avoided if a > 700 * M]


def test_a_region_just_below_2_64_wraps_to_the_first_slots_there_are():
    region = ((1 << 64) - M, 300 * M, 1)
    found = slots([region], image_size=IMAGE)
    assert addresses(found)[0] == WINDOW[1]
    assert addresses(found)[-1] == 299 * M - IMAGE - M
    assert not slots([((1 << 64) - 2 * M, 300 * M, 1)]).enabled


def test_a_slot_below_the_minimum_is_refused_in_the_end():
    region = ((1 << 64) - M, 300 * M, 1)
    high = {"load_window": Span(200 * M, 248 * M), "image_size": IMAGE}
    assert not slots([region], "5.4", **high).enabled
    new = addresses(slots([region], "5.10", **high))
    assert min(new) == new[-1] == 200 * M
    alone = {"load_window": Span(320 * M, 368 * M), "image_size": IMAGE}
    assert not slots([region], "5.10", **alone).enabled


def test_an_avoided_range_that_wraps_only_splits_a_region():
    region = [(200 * M, 200 * M, 1)]
    split = slots(region, "7.3", cmdline="memmap=32E$300M")
    assert split.areas == ((200 * M, 27), (300 * M, 27))
    assert slots(region, "7.3").areas == ((200 * M, 77),)
