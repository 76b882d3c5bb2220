"""What overrides the table in the decompressor: each finding with pass and fail."""

import pytest
from compat_cases import AT, CARVED, SIZE, WHOLE, WINDOW, M, found, levels, verdict

from e820pool.extents import Span
from e820pool.kernel.boot_input import EfiMemmap, SetupDataSpan

LINE = f"memmap={SIZE:#x}${AT:#x}"
FOUR = " ".join(f"memmap=1M${at * M:#x}" for at in (600, 620, 640, 660))
KHO_NODE = SetupDataSpan(addr=3 * M, size=48, type=10)
KHO = {"config": {"KEXEC_HANDOVER": True}}


def efi(*rows):
    return EfiMemmap(rows=rows)


class TestEfi:
    """An EFI memory map is looked at instead of the table."""

    def test_conventional_memory_over_a_deposit_is_unsafe(self):
        given = {"efi": efi((M, 1023 << 8, 7, 0))}
        for release in ("4.14", "6.1", "7.3"):
            assert levels("efi-memmap-overrides", CARVED, release, **given) == [
                "unsafe"
            ]
        for release in ("3.10", "4.9"):
            assert levels("efi-memmap-overrides", CARVED, release, **given) == []

    def test_a_map_of_runtime_services_only_is_not(self):
        given = {"efi": efi((M, 1023 << 8, 5, 0))}
        assert levels("efi-memmap-overrides", CARVED, **given) == []

    def test_unaccepted_memory_counts_where_it_is_known(self):
        given = {"efi": efi((AT, 16, 15, 0))}
        assert levels("efi-memmap-overrides", CARVED, "6.1", **given) == []
        assert levels("efi-memmap-overrides", CARVED, "6.6", **given) == ["unsafe"]

    def test_a_map_outside_of_the_handoff_is_degraded(self):
        given = {"efi": EfiMemmap()}
        assert levels("efi-memmap-overrides", CARVED, **given) == ["degraded"]

    @pytest.mark.parametrize(
        "off",
        [{"cmdline": "nokaslr"}, {"config": {"EFI": False}}, {"deposits": ()}],
        ids=str,
    )
    def test_where_nobody_looks_nothing_is_said(self, off):
        assert levels("efi-memmap-overrides", CARVED, efi=EfiMemmap(), **off) == []


class TestMemmap:
    """KASLR avoids four ranges of memmap= and no more."""

    def test_the_fifth_option_of_its_own_is_ignored(self):
        line = f"{FOUR} {LINE}"
        assert levels("memmap-limit", WHOLE, cmdline=line) == ["degraded"]
        known = {"cmdline": line, "load_window": WINDOW}
        assert levels("memmap-limit", WHOLE, **known) == ["unsafe"]
        assert verdict(WHOLE, **known).verdict == "unsafe"

    def test_four_are_avoided(self):
        assert levels("memmap-limit", WHOLE, cmdline=f"{LINE} quiet") == []
        assert levels("memmap-limit", WHOLE, cmdline=f"{LINE} {FOUR}") == []

    def test_a_list_of_five_turns_kaslr_off(self):
        line = "memmap=" + ",".join(
            word.removeprefix("memmap=") for word in f"{FOUR} {LINE}".split()
        )
        assert levels("memmap-limit", WHOLE, cmdline=line) == ["note"]

    def test_4_9_does_not_look_at_the_command_line(self):
        (one,) = found("memmap-limit", WHOLE, "4.9", cmdline=LINE)
        assert "does not look at" in one.message
        line = f"{LINE} nokaslr"
        assert levels("memmap-limit", WHOLE, "4.9", cmdline=line) == []

    def test_a_table_that_is_carved_needs_no_option(self):
        assert levels("memmap-limit", CARVED, cmdline=f"{FOUR} {LINE}") == []

    def test_a_limit_counts_as_avoided(self):
        assert levels("memmap-limit", WHOLE, cmdline="mem=512M") == []


class TestScratch:
    """Scratch areas of a kexec handover are memory, whatever the table says."""

    AREA = (Span.at(AT + M, 4096),)

    def test_one_over_a_deposit_is_unsafe_where_it_is_understood(self):
        given = {"setup_data": (KHO_NODE,), "kho_scratch": self.AREA}
        told = levels("kho-scratch-overlap", CARVED, "6.18", **given, **KHO)
        assert told == ["unsafe"]
        assert levels("kho-scratch-overlap", CARVED, "6.12", **given, **KHO) == []
        assert levels("kho-scratch-overlap", CARVED, "6.18", **given) == []

    def test_one_beside_it_is_not(self):
        given = {"setup_data": (KHO_NODE,), "kho_scratch": (Span.at(AT - 4096, 4096),)}
        assert levels("kho-scratch-overlap", CARVED, "6.18", **given, **KHO) == []

    def test_areas_that_the_handoff_does_not_hold_are_degraded(self):
        given = {"setup_data": (KHO_NODE,)}
        told = levels("kho-scratch-overlap", CARVED, "7.3", **given, **KHO)
        assert told == ["degraded"]
        assert levels("kho-scratch-overlap", CARVED, "7.3", **KHO) == []
