"""What this kernel would hand over to the next one: each with a pass and a fail."""

import pytest
from compat_cases import AT, CARVED, RECORD, SIZE, WHOLE, G, M, found, levels, verdict

from e820pool.compat.next_kexec import findings_of_next_kexec
from e820pool.compat.situation import situation_of
from e820pool.extents import ExtentSet
from e820pool.kernel.boot_input import BootInput
from e820pool.kernel.profiles import profile_for
from e820pool.kernel.view import KernelView

LINE = f"memmap={SIZE:#x}${AT:#x} nokaslr"


def split(count):
    """Return a table carved around `count` deposits of 1 MiB, and the deposits."""
    rows, deposits = [*CARVED[:2], (M, 31 * M, 1)], []
    for at in range(count):
        start = (32 + at * 16) * M
        rows += [(start, M, 2), (start + M, 15 * M, 1)]
        deposits.append((start, M))
    return rows, tuple(deposits)


def long(count, **rest):
    rows, deposits = split(count)
    return {"rows": rows[:128], "ext": (rows[128:],), "deposits": deposits, **rest}


class TestFileLoad:
    """kexec_file_load passes on 128 entries, and no SETUP_E820_EXT."""

    @pytest.mark.parametrize("release", ["4.4", "5.10", "6.1", "7.3"])
    def test_what_is_cut_off_is_a_note_and_the_verdict_stays(self, release):
        given = long(100, release=release)
        if release == "4.4":
            given["config"] = {"NODES_SHIFT": 10}
        (one,) = found("lost-on-next-kexec", **given)
        assert one.level == "note"
        assert "become a gap" in one.message
        assert one.extents
        assert verdict(**given).verdict == "safe"

    def test_there_is_no_such_call_in_3_10(self):
        given = long(100, release="3.10", config={"NODES_SHIFT": 9})
        assert levels("lost-on-next-kexec", **given) == []

    def test_a_table_that_fits_loses_nothing(self):
        rows, deposits = split(62)
        assert len(rows) <= 128
        assert levels("lost-on-next-kexec", rows, deposits=deposits) == []

    def test_which_table_it_is_depends_on_the_release(self):
        given = long(100, config={"NODES_SHIFT": 10})
        (old,) = found("lost-on-next-kexec", release="4.4", **given)
        (new,) = found("lost-on-next-kexec", release="4.14", **given)
        assert "e820_saved" in old.message
        assert "e820_table_kexec" in new.message


class TestAsRam:
    """What memmap= protects here is RAM to the next kernel."""

    @pytest.mark.parametrize("release", ["4.14", "6.1", "7.3"])
    def test_both_system_calls_pass_on_ram(self, release):
        told = found("lost-on-next-kexec", WHOLE, release, cmdline=LINE)
        assert [one.level for one in told] == ["degraded", "degraded"]
        assert ["kexec_file_load" in one.message for one in told] == [True, False]
        assert told[0].extents == ((AT >> 12, (AT + SIZE) >> 12),)

    def test_a_carved_table_is_passed_on_as_it_is(self):
        assert levels("lost-on-next-kexec", CARVED, cmdline="mem=768M") == []

    def test_4_4_passes_on_the_user_s_map_when_there_are_nodes(self):
        given = {"release": "4.4", "cmdline": LINE}
        assert levels("lost-on-next-kexec", WHOLE, **given)
        given["setup_data"] = (RECORD,)
        assert levels("lost-on-next-kexec", WHOLE, **given) == []

    def test_what_this_kernel_uses_anyhow_is_not_told_twice(self):
        assert levels("lost-on-next-kexec", WHOLE, cmdline="mem=768M") == []


def test_kexec_tools_take_2048_entries():
    rows = [(2 * G + at * 2 * M, M, 2) for at in range(2100)]
    head = [*CARVED, *rows[:120]]
    few = {"ext": (rows[120:1900],)}
    many = {"ext": (rows[120:],)}
    told = found("lost-on-next-kexec", head, **many)
    assert sum("kexec-tools" in one.message for one in told) == 1
    told = found("lost-on-next-kexec", head, **few)
    assert not any("kexec-tools" in one.message for one in told)


class TestCreep:
    """RAM under a node stays apart in the table that is passed on."""

    def test_it_is_told_when_the_table_is_nearly_full(self):
        rows, deposits = split(60)
        given = {"deposits": deposits, "setup_data": (RECORD,)}
        for release in ("4.4", "5.10", "6.1", "6.6"):
            assert levels("entry-creep", rows, release, **given) == ["note"]
        for release in ("3.10", "6.12", "7.3"):
            assert levels("entry-creep", rows, release, **given) == []

    def test_a_table_with_room_creeps_unsaid(self):
        rows, deposits = split(20)
        given = {"deposits": deposits, "setup_data": (RECORD,)}
        assert levels("entry-creep", rows, "6.1", **given) == []

    @pytest.mark.parametrize(("left", "told"), [(8, False), (7, True), (0, True)])
    def test_it_is_told_from_fewer_than_8_hops_on(self, left, told):
        """A view whose table grows by one entry a hop, with so many slots left."""
        after = tuple((at * 2 * M, M, 1) for at in range(128 - left))
        profile = profile_for("6.1")
        seen = KernelView(kernel="6.1", bios_map=after[:-1], kexec_map=after)
        case = situation_of(ExtentSet(), seen, BootInput(), profile)
        found = [one.id for one in findings_of_next_kexec(case)]
        assert ("entry-creep" in found) is told
