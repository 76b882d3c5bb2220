"""The ways a table ends the boot: each with a pass and a fail."""

import pytest
from compat_cases import AT, CARVED, LOW, RECORD, SIZE, G, M, found, levels

from e820pool.compat import check_input
from e820pool.extents import ExtentSet, Span
from e820pool.kernel.boot_input import BootInput
from e820pool.kernel.early_memory import RESERVED_ARRAY_STUCK
from e820pool.kernel.profiles import profile_for
from e820pool.kernel.view import KernelView

TOP = 1 << 64


def ids_of(view):
    """Return the ids of what is said of a real kernel's view, with nothing given."""
    return {
        one.id
        for one in check_input(
            ExtentSet(), BootInput(), profile_for(view.kernel), view
        ).findings
    }


RAM = [(M, AT - M, 1), (AT, SIZE, 2)]


@pytest.mark.parametrize("release", ["2.6.32", "4.4", "4.14", "6.1", "7.3"])
def test_an_entry_that_ends_at_2_64_ends_the_boot_or_the_table(release):
    rows = [*CARVED, (TOP - M, M, 2)]
    assert levels("entry-ends-at-2-64", rows, release) == ["degraded"]
    ends = levels("boot-fails", rows, release) + levels("fallback-map", rows, release)
    assert set(ends) == {"degraded"}


def test_an_entry_that_ends_a_page_before_does_not():
    rows = [*CARVED, (TOP - M, M - 4096, 2), (TOP - 1, 0, 2)]
    assert levels("entry-ends-at-2-64", rows) == []
    assert levels("boot-fails", rows) == []


def test_more_than_128_entries_are_read_from_behind_the_table():
    rows = [*CARVED, *((2 * G + at * 2 * M, M, 2) for at in range(130))]
    for release in ("4.4", "6.1"):
        assert levels("count-over-128", rows, release) == ["degraded"]
    assert levels("boot-fails", rows, "4.4") == ["degraded"]
    assert levels("count-over-128", rows[:128]) == []


def test_without_low_ram_there_is_no_place_for_the_trampoline():
    for release in ("5.10", "6.1", "7.3"):
        (one,) = found("no-low-ram", RAM, release)
        assert one.level == "degraded"
        assert levels("boot-fails", RAM, release) == ["degraded"]
        assert levels("no-low-ram", [*LOW, *RAM], release) == []


class TestFragments:
    """RAM above the last whole 2 MiB: a page table and a reservation each.

    The model counts them; what it says of the end is what the finding says.
    """

    def rows(self, count, size, start=2 * G, step=4 * M):
        head = [*LOW, *RAM]
        more = [(start + at * step, size, 1) for at in range(count)]
        return {"rows": [*head, *more[: 128 - len(head)]], "ext": (more[100:],)}

    def test_250_of_1_mib_were_seen_to_die_from_5_15_on(self):
        given = self.rows(250, M)
        for release in ("5.15", "6.12", "7.3"):
            told = levels("reserved-array-stuck", release=release, **given)
            assert told == ["degraded"]
        assert levels("reserved-array-stuck", release="5.10", **given) == []

    def test_what_5_15_ends_at_makes_5_14_write_wherever_it_may(self):
        given = self.rows(250, M)
        for release in ("5.13", "5.14"):
            assert levels("boot-fails", release=release, **given) == []
            told = levels("page-tables-unreserved", release=release, **given)
            assert told == ["unsafe"]
        assert levels("page-tables-unreserved", release="5.12", **given) == []
        assert levels("page-tables-unreserved", release="5.15", **given) == []

    @pytest.mark.parametrize(("count", "ends"), [(130, False), (142, True)])
    def test_it_is_said_where_the_model_says_that_the_boot_ends(self, count, ends):
        given = self.rows(count, M)
        assert levels("reserved-array-stuck", **given) == ["degraded"] * ends
        assert levels("boot-fails", **given) == ["degraded"] * ends

    def test_a_real_kernel_names_the_function_that_it_died_in(self):
        died = KernelView(
            kernel="6.1",
            engine="machine",
            fatal="kernel BUG at arch/x86/kernel/setup.c:203 in extend_brk",
            end=RESERVED_ARRAY_STUCK,
            warnings=("memblock-full",),
        )
        told = ids_of(died)
        assert "reserved-array-stuck" in told
        assert "memblock-cannot-grow" not in told

    def test_a_real_kernel_that_booted_is_not_doubted(self):
        memory = tuple(Span.at(2 * G + at * 4 * M, M) for at in range(250))
        booted = KernelView(kernel="6.1", engine="machine", memory=memory)
        told = ids_of(booted)
        assert "reserved-array-stuck" not in told

    def test_whole_pages_of_2_mib_were_seen_to_boot(self):
        assert levels("reserved-array-stuck", **self.rows(250, 2 * M)) == []

    def test_holes_in_large_ram_were_seen_to_boot(self):
        """Pages missing every 4 MiB leave 2 MiB whole."""
        given = self.rows(300, 4 * M - 4096)
        assert levels("reserved-array-stuck", **given) == []

    def test_fragments_that_share_a_page_table_count_once(self):
        given = self.rows(250, 4096, step=16 << 12)
        assert levels("reserved-array-stuck", **given) == []

    def test_fragments_below_the_top_do_not_count(self):
        given = self.rows(250, M)
        given["ext"] = ([*given["ext"][0], (8 * G, 2 * M, 1)],)
        assert levels("reserved-array-stuck", **given) == []


def test_memory_is_needed_above_1_mib():
    assert levels("no-memory", [*LOW, (AT, SIZE, 2)], "6.1") == ["degraded"]
    assert levels("no-memory", [*LOW, *RAM], "6.1") == []
    image = Span(16 * M, 48 * M)
    rows = [*LOW, (16 * M, 32 * M, 1), (AT, SIZE, 2)]
    assert levels("no-memory", rows, kernel_range=image) == ["degraded"]


class TestRecord:
    """What becomes of the pool record's node."""

    def test_a_node_in_the_load_window_is_written_over(self):
        over = {"setup_data": (RECORD,), "load_window": Span(M, 65 * M)}
        assert levels("pool-record-lost", CARVED, **over) == ["degraded"]
        beside = {"setup_data": (RECORD,), "load_window": Span(16 * M, 80 * M)}
        assert levels("pool-record-lost", CARVED, **beside) == []

    def test_an_old_protocol_loses_the_chain_in_2_6_32(self):
        given = {"setup_data": (RECORD,), "protocol": 0x208}
        assert levels("pool-record-lost", CARVED, "2.6.32", **given) == ["degraded"]
        assert levels("pool-record-lost", CARVED, "3.10", **given) == []

    def test_a_deposit_that_the_command_line_takes_out_is_not_believed(self):
        line = f"memmap={SIZE:#x}%{AT:#x}-2"
        assert levels("pool-record-lost", CARVED, cmdline=line) == ["degraded"]
        assert levels("pool-record-lost", CARVED, cmdline="quiet") == []
