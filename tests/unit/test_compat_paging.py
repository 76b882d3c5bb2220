"""Which pairs of kernels die of the page tables that a kexec leaves, as booted."""

import pytest

from e820pool.compat.paging import (
    NextKernelPaging,
    RunningKernel,
    findings_of_paging,
    running_kernel,
)
from e820pool.kernel.profiles import profile_for

# As Debian's images have them: 0x3f (5.10), 0x7f (6.1 and later); before 5.3 0x1f.
FOUR, FIVE, NEITHER = 0x3F, 0x7F, 0x1F


def message(running, following, flags=None, cmdline="", levels=True):
    pair = (
        RunningKernel(profile=profile_for(running), has_five_levels=levels),
        NextKernelPaging(
            profile=profile_for(following), xloadflags=flags, cmdline=cmdline
        ),
    )
    found = [one for one in findings_of_paging(*pair) if one.id != "config-assumed"]
    assert all(one.id == "five-level-paging" for one in found)
    assert all(one.level == "degraded" and one.source for one in found)
    return found[0].message if found else ""


@pytest.mark.parametrize(
    ("running", "following", "flags", "cmdline", "resets"),
    [
        # Booted under qemu64,+la57: a reset, and five that start.
        ("6.12.117", "5.10.223", FOUR, "", True),
        ("6.1.176", "5.10.223", FOUR, "", False),
        ("6.1.176", "5.10.223", FOUR, "no5lvl", False),
        ("6.12.117", "6.1.176", FIVE, "", False),
        ("6.12.117", "6.1.176", FIVE, "no5lvl", False),
        ("6.12.117", "6.18.15", FIVE, "no5lvl", False),
        # By the source.
        ("6.12.4", "5.10.223", FOUR, "", False),
        ("6.12.5", "5.10.223", FOUR, "", True),
        ("6.13", "5.10.223", FOUR, "", True),
        ("7.3", "6.1.159", FIVE, "no5lvl", True),
        ("7.3", "6.1.159", FIVE, "quiet -- no5lvl", False),
        ("7.3", "6.1.159", FIVE, "", False),
        ("7.3", "6.1.160", FOUR, "", False),
        ("7.3", "6.6.119", FIVE, "no5lvl", True),
        ("7.3", "6.6.120", FIVE, "no5lvl", False),
        # Not among the stable updates that were mended.
        ("7.3", "5.10.262", FOUR, "", True),
        ("7.3", "5.15.198", FOUR, "", True),
        ("7.3", "6.19", FIVE, "no5lvl", False),
    ],
)
def test_the_pair_decides(running, following, flags, cmdline, resets):
    assert ("bit 58" in message(running, following, flags, cmdline)) is resets


def test_four_levels_are_left_to_nobody():
    assert not message("6.12.117", "5.10.223", FOUR, levels=False)
    assert not message("6.12.117", "4.9", NEITHER, levels=False)


def test_an_image_that_knows_of_four_hangs_whoever_starts_it():
    assert "hangs at once" in message("6.1.176", "4.9", NEITHER)
    # From 4.17 to 5.2 an image knows of five and does not say it.
    assert not message("6.1.176", "4.19", NEITHER)
    assert "bit 58" in message("6.12.117", "4.19", NEITHER)
    unknown = NextKernelPaging(profile=None, xloadflags=NEITHER)
    five = RunningKernel(profile=profile_for("6.1"), has_five_levels=True)
    assert [one.id for one in findings_of_paging(five, unknown)] == [
        "five-level-paging"
    ]
    # Without an image the release says it.
    assert "hangs at once" in message("6.1.176", "4.9")
    assert not message("6.1.176", "4.19")


def test_without_an_image_the_configuration_decides():
    built = profile_for("5.10.223", {"X86_5LEVEL": True})
    five = RunningKernel(profile=profile_for("6.12"), has_five_levels=True)
    assert not list(findings_of_paging(five, NextKernelPaging(profile=built)))
    assert message("6.12", "5.10.223")
    assert not message("6.12", "6.1.100")


def assumed(running, following, flags=None, levels=None):
    pair = (
        RunningKernel(profile=running, has_five_levels=levels),
        NextKernelPaging(profile=following, xloadflags=flags),
    )
    found = list(findings_of_paging(*pair))
    return [one.message for one in found if one.id == "config-assumed"]


def test_an_assumed_option_that_decides_is_named():
    running = profile_for("6.12.117")
    (said,) = assumed(running, profile_for("6.1.159"), levels=True)
    assert said.startswith("X86_5LEVEL=y of 6.1.159 is assumed; if it were n the kexec")
    # Told by the image, by the configuration, or by the processor, nothing is assumed.
    assert not assumed(running, profile_for("6.1.159"), FIVE, levels=True)
    whole = profile_for("6.1.159", {"X86_5LEVEL": False})
    assert not assumed(running, whole, levels=True)
    assert not assumed(running, profile_for("6.1.159"), levels=False)


def test_of_a_running_kernel_the_option_decides_where_the_processor_is_not_known():
    running = profile_for("6.12.117")
    said = assumed(running, profile_for("5.10.223"), FOUR)
    assert [one.split(" of ")[1].split()[0] for one in said] == ["6.12.117"]
    assert not assumed(running, profile_for("5.10.223"), FOUR, levels=True)


def test_where_the_processor_is_not_known_the_message_says_so():
    text = message("6.12", "5.10.223", levels=None)
    assert text.startswith("on a processor with la57 the running kernel")
    # A kernel without five levels leaves four on any processor.
    assert not message("5.10", "4.9", NEITHER, levels=None)


def test_an_unknown_running_kernel_is_taken_for_a_new_one():
    newer = running_kernel("Linux version 9.9.0 (x@y) #1", has_five_levels=True)
    assert newer.profile is None
    old = NextKernelPaging(profile=profile_for("5.10.223"), xloadflags=FOUR)
    assert list(findings_of_paging(newer, old))


def test_the_running_kernel_is_read_from_proc_version():
    text = (
        "Linux version 6.12.0-1-amd64 (debian-kernel@lists.debian.org) "
        "(x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0, GNU ld) "
        "#1 SMP PREEMPT_DYNAMIC Debian 6.12.3-1 (2024-12-09)"
    )
    profile = running_kernel(text, has_five_levels=True).profile
    assert (profile.release, profile.update) == ("6.12.0-1-amd64", 3)
    assert not profile.has("kexec-tables-have-bit-58")
