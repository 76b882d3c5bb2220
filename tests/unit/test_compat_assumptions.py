"""What a verdict was judged on; options that are assumed and decide."""

import hashlib

import pytest
import rawbytes
from compat_cases import AT, CARVED, LOW, SIZE, WHOLE, G, M
from hypothesis import given
from hypothesis import strategies as st

from e820pool.abi.e820 import table_of
from e820pool.abi.setup_data import SETUP_KEXEC_KHO
from e820pool.compat import check_input, judge_input
from e820pool.compat.assumptions import assumptions_that_decide
from e820pool.compat.shared import SharedChecks
from e820pool.extents import ExtentSet, Span
from e820pool.kernel.boot_input import BootInput, SetupDataSpan
from e820pool.kernel.profiles import assuming, known_releases, profile_for
from e820pool.loading.kernel_file import KernelFile, profile_of

PAGES = ExtentSet([(AT >> 12, (AT + SIZE) >> 12)])


def scattered(count):
    """Return a table and the pages of so many single deposits, in RAM above 4 GiB."""
    rows, at = [*LOW, (M, 2 * G - M, 1), (0xFEC0_0000, 0x140_0000, 2)], 4 * G
    pages = []
    for _ in range(count):
        rows += [(at, 0x1000, 2), (at + 0x1000, 0x3000, 1)]
        pages.append((at >> 12, (at >> 12) + 1))
        at += 0x4000
    return rows, ExtentSet(pages)


def judged(rows, pages=PAGES, release="6.1", config=None, **more):
    spill = [table_of(rows[128:])] if rows[128:] else []
    reads = BootInput(table=table_of(rows[:128]), ext=tuple(spill), **more)
    return judge_input(pages, reads, profile_for(release, config))


def assumed(verdict):
    """Return the finding about each assumed option, which `judged_on` has too."""
    told = [one for one in verdict.findings if one.id == "config-assumed"]
    named = {one.message.partition("=")[0]: one for one in told}
    assert tuple(named) == verdict.judged_on.assumed
    return named


class TestCapacity:
    def test_a_thousand_pages_are_safe_or_degraded_by_nodes_shift(self):
        rows, pages = scattered(1000)
        found = judged(rows, pages)
        (one,) = assumed(found).values()
        assert (found.verdict, one.level) == ("safe", "note")
        assert one.message.startswith(
            "NODES_SHIFT=10 is assumed; of a kernel with NODES_SHIFT=6 the verdict is "
            "degraded (dropped-entry"
        )
        six = judged(rows, pages, config={"NODES_SHIFT": 6})
        assert (six.verdict, assumed(six)) == ("degraded", {})

    def test_what_is_given_is_not_assumed(self):
        rows, pages = scattered(1000)
        ten = judged(rows, pages, config={"NODES_SHIFT": 10})
        assert list(assumed(ten)) == ["NUMA"]
        both = judged(rows, pages, config={"NODES_SHIFT": 10, "NUMA": True})
        assert assumed(both) == {}

    def test_it_may_be_better_otherwise_too(self):
        rows, pages = scattered(1000)
        found = judged(rows, pages, "4.19")
        assert found.verdict == "degraded"
        assert "with NODES_SHIFT=10 the verdict is safe" in (
            assumed(found)["NODES_SHIFT"].message
        )

    def test_a_few_deposits_fit_every_kernel(self):
        for release in known_releases():
            assert assumed(judged(CARVED, release=release)) == {}

    @pytest.mark.parametrize(("count", "named"), [(64, False), (65, True)])
    def test_131_entries_fit_a_kernel_without_numa(self, count, named):
        rows, pages = scattered(count)
        assert ("NUMA" in assumed(judged(rows, pages))) == named


class TestKaslr:
    def test_a_deposit_under_ram_is_unsafe_only_where_kaslr_is_built_in(self):
        rows = [*WHOLE, (AT, SIZE, 2)]
        on = judged(rows)
        assert on.verdict == "unsafe"
        assert assumed(on)["RANDOMIZE_BASE"].level == "note"
        assert judged(rows, config={"RANDOMIZE_BASE": True}).judged_on.assumed == ()
        off = judged(rows, config={"RANDOMIZE_BASE": False})
        assert (off.verdict, assumed(off)) == ("degraded", {})

    def test_where_a_deposit_could_be_touched_it_is_degraded(self):
        """4.4 has KASLR only on demand where hibernation is built in."""
        found = judged([*WHOLE, (AT, SIZE, 2)], release="4.4")
        one = assumed(found)["HIBERNATION"]
        assert one.level == "degraded"
        assert "with HIBERNATION=n the verdict is unsafe" in one.message

    def test_a_deposit_carved_out_is_out_of_its_reach(self):
        assert assumed(judged(CARVED, config={"RANDOMIZE_BASE": False})) == {}


def test_a_kexec_handover_node_counts_where_it_is_read():
    node = SetupDataSpan(addr=2 * M, size=64, type=SETUP_KEXEC_KHO)
    found = judged(CARVED, release="7.3", setup_data=(node,))
    assert "KEXEC_HANDOVER" in assumed(found)
    assert assumed(judged(CARVED, release="6.1", setup_data=(node,))) == {}


# Each yes or no that a profile has, and the number that counts entries.
TURNED = [
    (option, value)
    for option, was in profile_for("6.1").config.items()
    for value in ((not was,) if type(was) is bool else ())
] + [("NODES_SHIFT", 6), ("NODES_SHIFT", 10)]
# A line that is built in is not guessed.
TURNED = [(option, value) for option, value in TURNED if "CMDLINE" not in option]


@given(
    tables=st.lists(
        st.tuples(st.integers(0, 900), st.integers(1, 80), st.sampled_from([1, 2, 12])),
        max_size=20,
    ),
    more=st.integers(0, 80),
    release=st.sampled_from(["2.6.32", "4.4", "5.10", "6.1", "7.3"]),
    line=st.sampled_from(["", "nokaslr", "memmap=16M$512M", "mem=256M"]),
)
def test_no_option_that_decides_is_passed_over(tables, more, release, line):
    """What is not asked, to be fast, would not have changed the verdict."""
    rows, _ = scattered(more)
    rows = [*rows[:4], *((at * M, size * M, kind) for at, size, kind in tables), *rows]
    reads = BootInput(
        table=table_of(rows[:128]),
        ext=(table_of(rows[128:]),),
        cmdline=line,
        load_window=Span(16 * M, 64 * M),
    )
    profile = profile_for(release)
    verdict = check_input(PAGES, reads, profile)
    checks = SharedChecks(PAGES, reads)
    told = dict(assumptions_that_decide(checks, reads, profile, verdict))
    decide = {
        option
        for option, value in TURNED
        if check_input(PAGES, reads, assuming(profile, option, value)).verdict
        != verdict.verdict
    }
    assert bool(told) == bool(decide)
    assert told.keys() <= decide


class TestJudgedOn:
    def test_a_release_alone_assumes_its_configuration(self):
        known = judged(CARVED).judged_on
        assert (known.release, known.version, known.update) == ("6.1", "", None)
        assert (known.config, known.image_sha256) == ("assumed", None)
        assert (known.kernel_window, known.by) == ("assumed", "model")
        assert known.memory_devices == "unknown"

    def test_a_place_that_is_known_is_given(self):
        found = judged(CARVED, load_window=Span(16 * M, 64 * M))
        assert found.judged_on.kernel_window == "given"
        no_ram = judged([(0, M, 1)])
        assert no_ram.judged_on.kernel_window == "unknown"

    def test_options_of_a_record_are_given(self):
        assert judged(CARVED, config={"EFI": False}).judged_on.config == "given"

    def test_an_image_says_its_version_update_and_hash(self):
        text = (
            b"6.1.0-52-amd64 (a@b) #1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-02)"
        )
        image = rawbytes.bzimage(text)
        kernel = KernelFile(
            name="x", image=image, config="CONFIG_EFI=y\n", config_from="inside"
        )
        reads = BootInput(table=table_of(CARVED))
        known = judge_input(PAGES, reads, profile_of(kernel)).judged_on
        assert (known.release, known.version) == ("6.1", "6.1.0-52-amd64")
        assert (known.update, known.config) == (176, "inside")
        assert known.image_sha256 == hashlib.sha256(image).hexdigest()
        bare = KernelFile(name="x", image=image)
        assert profile_of(bare).config_from == "assumed"
