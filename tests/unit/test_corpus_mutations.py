"""Each behaviour of a booted kernel decides a case: with it flipped, a replay fails.

A behaviour that a kernel has is taken away, one that it lacks is given to it. What no
case can tell is listed with the reason; an entry of the list that a case can tell is a
failure as well.
"""

from dataclasses import dataclass, field, replace

import corpus_format
import pytest
from corpus_replay import input_of, profile_of_kernel, replay

from e820pool.kernel import profiles
from e820pool.kernel.profiles import Profile, all_behaviours

CASES = corpus_format.read_cases()
KERNELS = corpus_format.read_kernels()
OUTCOMES = list(corpus_format.read_outcomes())
DISTRIBUTED = ("5.10", "6.1", "6.12", "6.18", "7.3")
MAIN = ("4.19", *DISTRIBUTED)

NEXT_KERNEL = "what a kernel passes on shows in a kexec only"
FREED_ARRAY = (
    "it needs init_on_free=1, or 1023 regions and scant low RAM: stress --confirm "
    "freed-array and memblock boot it"
)
LATER = "memory is added after early boot: tests/lab/test_memory_devices.py boots it"
LANDED_INSIDE = (
    "the kernel may land anywhere: slots that it does not take are not contradicted"
)
NO_HANDOVER = "no kernel here has CONFIG_KEXEC_HANDOVER"
SAME_CLEARED = "of what says something about memory, both ways clear the same"
NOT_MARKED = "where nodes are not marked there is nothing that could differ"

# Behaviour: why no case can tell, and on which kernels.
UNTOLD = {
    "kexec-file-load": (NEXT_KERNEL, MAIN),
    "kexec-file-passes-saved-map": (NEXT_KERNEL, MAIN),
    "kexec-file-loads-at-pref-address": (NEXT_KERNEL, MAIN),
    "kexec-mark-skips-efi": (NEXT_KERNEL, MAIN),
    "kexec-mark-skips-ima": (NEXT_KERNEL, MAIN),
    "kexec-mark-skips-seed": (NEXT_KERNEL, MAIN),
    "setup-data-marked-for-kexec": (NEXT_KERNEL, MAIN),
    "capture-table-has-reserved": (NEXT_KERNEL, MAIN),
    "capture-table-whole-first-mib": (NEXT_KERNEL, MAIN),
    "hot-add-into-reserved": (LATER, MAIN),
    "acpi-no-memhotplug": (LATER, MAIN),
    "five-levels-known": (NEXT_KERNEL, MAIN),
    "five-levels-always": (NEXT_KERNEL, MAIN),
    "kexec-tables-have-bit-58": (NEXT_KERNEL, MAIN),
    "fifth-level-left-by-raw-entry": (NEXT_KERNEL, MAIN),
    "firmware-memmap-shows-kexec-table": (
        "the tables for kexec and for /sys/firmware/memmap differ by marked nodes only",
        ("6.12", "6.18", "7.3"),
    ),
    "direct-map-covers-high-holes": (
        "what is mapped and not used shows nowhere: it says what old kernels do",
        MAIN,
    ),
    "page-tables-unreserved": (
        "only 5.13 and 5.14 have it, and 5.14 boots on",
        MAIN,
    ),
    "reserved-beyond-max-pfn-kills": (
        "all memory beyond max_pfn kills, or none: 4.19 was built without the option",
        MAIN,
    ),
    "memory-beyond-max-pfn-kills": (
        "the only such memory is above 64 TiB, and that kills by itself",
        ("6.18", "7.3"),
    ),
    "memory-above-64-tib-kills": (
        "all memory beyond max_pfn kills, or gaps of 64 TiB never end (4.19)",
        MAIN,
    ),
    "section-beyond-max-pfn-kills": (
        "all memory beyond max_pfn kills, in a section of its own or not, or none does",
        DISTRIBUTED,
    ),
    "kaslr-kho-scratch-only": (NO_HANDOVER, MAIN),
    "kho-scratch-is-memory": (NO_HANDOVER, MAIN),
    "kho-abi-v1": (NO_HANDOVER, MAIN),
    "kho-abi-v4": (NO_HANDOVER, MAIN),
    "setup-data-reserved-early": (
        "early or not, nodes are reserved before anything is allocated",
        MAIN,
    ),
    "soft-reserved-is-hotplugged": ("the guest here loads no driver", MAIN),
    "setup-data-replaces-firmware-map": (NOT_MARKED, ("6.18", "7.3")),
    "setup-data-marked-before-cmdline": (NOT_MARKED, ("6.18", "7.3")),
    "append-needs-one": (
        "a kernel that refuses fewer than two entries refuses none",
        ("4.19", "5.10", "6.1", "6.12", "6.18"),
    ),
    "table-grows-only-with-efi": ("all kernels here have CONFIG_EFI", MAIN),
    "sentinel-clears-ranges": (SAME_CLEARED, DISTRIBUTED),
    "sentinel-keeps-list": (SAME_CLEARED, ("4.19",)),
    "kaslr-avoids-boot-params": (LANDED_INSIDE, ("4.19",)),
    "kaslr-skips-gigantic-pages": (LANDED_INSIDE, ("4.19",)),
    "kaslr-limit-is-smallest": (LANDED_INSIDE, DISTRIBUTED),
    "kaslr-took-wrapping-regions": ("they take such regions anyway", DISTRIBUTED),
    "kaslr-final-check": ("regions that wrap are ignored anyway", ("4.19",)),
    "initrd-below-half-of-memory": (
        "with so little memory every case ends before that",
        ("6.18", "7.3"),
    ),
    "kaslr-fits-before-avoided": ("no room is that of the image to the byte", MAIN),
    "kaslr-image-in-whole-pages": (
        "no slot is won or lost by less than 2 MiB",
        MAIN,
    ),
    "first-mib-marked-scratch": (
        "it needs 127 regions and scant low RAM: stress --confirm trampoline boots it",
        MAIN,
    ),
    "regions-read-after-free": (FREED_ARRAY, MAIN),
    "freed-pages-taken-first": (FREED_ARRAY, MAIN),
    "remove-splits-in-the-middle": (
        "only 2.6.32 lacks it, and no option of 2.6.32 meets the difference",
        MAIN,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedProfile(Profile):
    """A profile that notes which behaviours it was asked for."""

    asked: set = field(default_factory=set, hash=False)

    def has(self, behaviour):
        self.asked.add(behaviour)
        return behaviour in self.behaviours


@pytest.fixture(scope="module")
def inputs():
    return {ident: input_of(case) for ident, case in CASES.items()}


def flipped(profile, behaviour):
    held = profile.behaviours ^ {behaviour}
    return replace(
        profile,
        behaviours=held,
        capacity=profiles._capacity(held, profile.config),
        never_merge=profiles._never_merge(held),
    )


def asked_by_case(release, inputs):
    """Return what each of a kernel's cases depends on, the quickest cases first."""
    kernel, found = KERNELS[release], []
    plain = profile_of_kernel(kernel)
    fields = {name: getattr(plain, name) for name in Profile.__dataclass_fields__}
    for ident, booted, outcome in OUTCOMES:
        if booted == release:
            profile = AskedProfile(**fields)
            replay(inputs[ident], CASES[ident], kernel, outcome, profile)
            found.append((ident, outcome, profile.asked))
    return sorted(found, key=lambda item: len(CASES[item[0]]["e820"]))


def untold_by(release, inputs):
    kernel = KERNELS[release]
    plain = profile_of_kernel(kernel)
    cases = asked_by_case(release, inputs)
    untold = set()
    for behaviour in (b.id for b in all_behaviours()):
        changed = flipped(plain, behaviour)
        derived = (changed.capacity, changed.never_merge) != (
            plain.capacity,
            plain.never_merge,
        )
        if not any(
            replay(inputs[ident], CASES[ident], kernel, outcome, changed)
            for ident, outcome, asked in cases
            if derived or behaviour in asked
        ):
            untold.add(behaviour)
    return untold


@pytest.mark.parametrize("release", MAIN)
def test_a_case_fails_for_each_behaviour_that_is_flipped(release, inputs):
    listed = {name for name, (_, kernels) in UNTOLD.items() if release in kernels}
    assert untold_by(release, inputs) == listed


def test_what_a_case_tells_is_marked_as_booted():
    profiles_of = {release: profile_of_kernel(KERNELS[release]) for release in MAIN}
    for behaviour in all_behaviours():
        _, silent = UNTOLD.get(behaviour.id, ("", ()))
        showing = [
            release
            for release, profile in profiles_of.items()
            if release not in silent and profile.has(behaviour.id)
        ]
        assert not showing or behaviour.checked == "booted", (behaviour.id, showing)
