"""Build configurations: texts, whole files, and a command line that is built in."""

import pytest
from compat_cases import AT, CARVED, WHOLE, M, verdict
from rawhandoff import MIB

from e820pool.abi.e820 import table_of
from e820pool.errors import InputError
from e820pool.extents import Span
from e820pool.kernel.boot_input import BootInput
from e820pool.kernel.early_boot import predict_input
from e820pool.kernel.predict_records import predict_record
from e820pool.kernel.profiles import profile_for
from e820pool.sources.kernel_config import parse_config_text

EXACT = "memmap=exactmap memmap=640K@0 memmap=1023M@1M"
ROWS = [(0, 0x9F000, 1), (MIB, 511 * MIB, 1)]


def built_in(line, **more):
    return {"CMDLINE_BOOL": True, "CMDLINE": line, **more}


def memory(line, config):
    given = BootInput(table=table_of(ROWS), cmdline=line)
    return predict_input(given, profile_for("6.1", config)).memory


def test_a_text_is_what_stands_in_its_quotes():
    text = 'CONFIG_CMDLINE="a=\\"b c\\" d\\\\e"\nCONFIG_NODES_SHIFT=6\nCONFIG_CC=""\r\n'
    found = parse_config_text(text)
    assert found == {"CMDLINE": 'a="b c" d\\e', "NODES_SHIFT": "6", "CC": ""}


def test_a_line_that_is_built_in_comes_first():
    """mem= takes away, memmap= after it gives back: order counts."""
    both = memory("memmap=64M@256M", built_in("mem=128M"))
    assert both == memory("mem=128M memmap=64M@256M", {})
    assert both != memory("memmap=64M@256M mem=128M", {})


def test_it_is_the_only_one_with_override():
    alone = built_in("mem=128M", CMDLINE_OVERRIDE=True)
    assert memory("mem=64M", alone) == memory("mem=128M", {})


@pytest.mark.parametrize(
    "config",
    [
        {"CMDLINE": "mem=128M"},
        {"CMDLINE": "mem=128M", "CMDLINE_OVERRIDE": True},
        {"CMDLINE_BOOL": True},
    ],
)
def test_without_its_switch_or_its_text_it_is_none(config):
    assert memory("mem=64M", config) == memory("mem=64M", {})


def test_both_together_are_cut_at_2047_characters():
    config = built_in("x" * 2040)
    assert memory("mem=64M", config) == memory("mem=6", {}) != memory("mem=64M", {})


@pytest.mark.parametrize("wrong", [3, True, "é" * 1024])
def test_a_text_that_no_kernel_could_hold_is_refused(wrong):
    with pytest.raises(InputError, match="is no text of 0x7ff bytes"):
        profile_for("6.1", {"CMDLINE": wrong})


def test_deposits_that_it_makes_ram_are_unsafe():
    alone = built_in(EXACT, CMDLINE_OVERRIDE=True)
    assert verdict(CARVED).verdict == "safe"
    found = verdict(CARVED, config=alone)
    assert found.findings[0].id == "usable-as-ram"


def test_kaslr_does_not_read_it():
    """Linux 6.1 arch/x86/boot/compressed/cmdline.c: the line that was handed over."""
    window = Span(16 * M, 80 * M)
    config = built_in(f"memmap=16M${AT:#x}")
    ids = {one.id for one in verdict(WHOLE, config=config, load_window=window).findings}
    assert "touched-by-decompressor" in ids
    assert "usable-as-ram" not in ids
    off = built_in("nokaslr")
    found = verdict(WHOLE, config=off, load_window=window)
    assert "touched-by-decompressor" in {one.id for one in found.findings}


def test_the_bulk_form_has_it_too():
    record = {"id": 1, "kernel": "6.1", "e820": ROWS, "config": built_in("mem=128M")}
    assert predict_record(record)["user_map"]
    line = {**record, "config": {}, "cmdline": "mem=128M"}
    assert predict_record(record) == predict_record(line)


class TestWholeFiles:
    """Kconfig writes no line for an option whose dependencies are not met."""

    def options(self, count):
        lines = {f"OPTION_{n}": "y" for n in range(count - 1)}
        return {"X86": "y", **lines}

    def test_what_a_whole_file_does_not_write_is_not_set(self):
        profile = profile_for("6.1", self.options(200))
        assert profile.config["RANDOMIZE_BASE"] is False
        assert profile.config["NUMA"] is False
        assert profile.capacity == 131
        written = profile_for("6.1", {**self.options(200), "NUMA": "y"})
        assert written.capacity == 128 + 3 * 1024

    def test_of_a_few_options_the_others_are_assumed(self):
        assert profile_for("6.1", self.options(199)).config["RANDOMIZE_BASE"] is True
        some = {f"O{n}": "y" for n in range(500)}
        assert profile_for("6.1", some).config["RANDOMIZE_BASE"] is True
