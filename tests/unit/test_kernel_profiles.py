"""Profiles: which kernel behaves how, from the data."""

from pathlib import Path

import pytest

import e820pool
from e820pool.errors import InputError
from e820pool.kernel.kernel_data import (
    behaviour_of,
    parse_kernel_data,
    parse_release,
    stable_update,
)
from e820pool.kernel.profiles import (
    all_behaviours,
    known_distributions,
    known_releases,
    profile_for,
    with_config,
)

SPECS = Path(__file__).parents[2] / "specs" / "kernels"
CODE = Path(e820pool.__file__).parent
NAMED = [
    *("2.6.32", "3.10", "4.4", "4.9", "4.14", "4.19", "5.4", "5.10", "5.14"),
    *("5.15", "6.1", "6.6", "6.12", "6.16", "6.17", "6.18", "6.19", "7.0"),
    *("7.1", "7.2", "7.3"),
]

RECORD = {
    "id": "some-behaviour",
    "what": "does something",
    "since": "4.4",
    "until": "5.4",
    "source": ["4.4 arch/x86/kernel/e820.c"],
    "checked": "read",
}
RELEASES = """
schema = 1
[series]
"4" = 20
[config]
NODES_SHIFT = 6
[[release]]
name = "4.4"
checked = "read"
"""
BEHAVIOURS = """
schema = 1
[[behaviour]]
id = "one"
what = "w"
since = "4.4"
source = ["s"]
checked = "read"
"""


def test_every_release_of_the_list_is_known():
    known = known_releases()
    assert set(NAMED) <= set(known)
    assert list(known) == sorted(known, key=parse_release)
    for name in known:
        assert profile_for(name).release == name


@pytest.mark.parametrize("text", ["6.1", "6.1.187", "6.1.0-52-cloud-amd64"])
def test_a_release_that_names_no_update_is_taken_for_the_newest(text):
    assert profile_for(text).behaviours == profile_for("6.1").behaviours
    assert profile_for(text).checked == "booted"


@pytest.mark.parametrize(
    ("text", "update"),
    [
        ("6.12", None),
        ("6.12.0", 0),
        ("6.12.0+", 0),
        ("6.12-rc3", 0),
        ("6.12.0-rc3", 0),
        ("6.12.60", 60),
        ("6.12.117+deb13-cloud-amd64", 117),
        ("5.14.21-150500.55-default", 21),
        ("6.1.0-52-cloud-amd64", None),
        ("5.15.0-91-generic (buildd@x) #101-Ubuntu SMP", None),
        ("6.1.0-50-amd64 (x@y) #1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (z)", 176),
        ("5.10.0-32-cloud-amd64 (x@y) #1 SMP Debian 5.10.223-1 (2024)", 223),
        # A backport says its own release there, too; another one's says nothing.
        ("6.1.0-9-amd64 (x@y) #1 SMP Debian 5.10.9-1", None),
        ("2.6.32", None),
    ],
)
def test_the_stable_update_is_recognised_where_it_is_said(text, update):
    assert stable_update(text) == update


def behaviour(**changes):
    return behaviour_of({**RECORD, **changes}, "f")


def test_a_behaviour_can_come_and_go_with_stable_updates():
    one = behaviour(since="5.4", until="5.15", since_updates=["4.19.7"])
    two = behaviour(since="5.4", until="5.15", until_updates=["5.10.9"])
    held = [("4.19.6", one), ("4.19.7", one), ("4.19", one), ("4.18.9", one)]
    assert [b.holds_in(parse_release(t), stable_update(t)) for t, b in held] == [
        *(False, True, True, False)
    ]
    held = [
        ("5.4", two),
        ("5.10.8", two),
        ("5.10.9", two),
        ("5.10", two),
        ("5.14", two),
    ]
    assert [b.holds_in(parse_release(t), stable_update(t)) for t, b in held] == [
        *(True, True, False, False, True)
    ]


def test_the_version_text_decides_where_the_release_does_not():
    text = "6.1.0-9-amd64 (x@y) #1 SMP Debian 6.1.27-1 (2023)"
    profile = profile_for("6.1.0-9-amd64", version=text)
    assert profile.update == 27
    assert profile.behaviours == profile_for("6.1.27").behaviours
    other = with_config(profile, {"NODES_SHIFT": 6})
    assert (other.update, other.release, other.capacity) == (27, profile.release, 320)


def test_a_release_between_two_named_ones_has_its_own_behaviours():
    between = profile_for("6.13")
    assert between.checked == "unverified"
    assert between.has("type-128-is-memory")
    assert not profile_for("6.15").has("type-128-is-memory")


@pytest.mark.parametrize(
    "text",
    ["", "six", "6", "6.20", "4.21", "7.9", "9.0", "2.6", "2.6.31", "2.4.37", "1" * 99],
)
def test_nonsense_and_unknown_releases_are_refused(text):
    with pytest.raises(InputError, match="kernel not known") as caught:
        profile_for(text)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("release", "config", "capacity"),
    [
        ("6.1", {}, 3200),
        ("6.1", {"NODES_SHIFT": 6}, 320),
        ("6.1", {"CONFIG_NUMA": "n"}, 131),
        ("6.1", {"EFI": False}, 3200),
        ("4.19", {}, 320),
        ("4.4", {"EFI": "n"}, 128),
        ("2.6.32", {"NODES_SHIFT": "0x9"}, 1664),
    ],
)
def test_the_capacity_follows_release_and_options(release, config, capacity):
    assert profile_for(release, config).capacity == capacity


@pytest.mark.parametrize(
    "config",
    [
        {"NODES_SHIFT": 11},
        {"NODES_SHIFT": -1},
        {"NODES_SHIFT": True},
        {"NODES_SHIFT": None},
        {"NODES_SHIFT": "many"},
        {"NODES_SHIFT": 1 << 70},
        {"EFI": "perhaps"},
        {"EFI": 2},
        {1: 2},
    ],
)
def test_an_option_that_cannot_be_is_refused(config):
    with pytest.raises(InputError, match="config"):
        profile_for("6.1", config)


def test_options_that_change_nothing_are_ignored():
    found, bare = profile_for("6.1", {"CONFIG_SMP": "y"}), profile_for("6.1")
    assert found.config == bare.config
    assert found.given_options == frozenset()
    assert (found.config_from, bare.config_from) == ("given", "assumed")


@pytest.mark.parametrize(
    ("behaviour", "before", "first", "last", "after"),
    [
        ("sanitize-in-place", None, "2.6.32", "4.11", "4.12"),
        ("append-needs-two", None, "2.6.32", "6.19", "7.0"),
        ("append-needs-one", "6.19", "7.0", "7.3", None),
        ("append-needs-one", "7.0.0", "7.0.13", "7.3", None),
        ("sanitizer-never-merges-pram", "3.10", "4.4", "7.3", None),
        ("sanitizer-never-merges-soft-reserved", "5.4", "5.10", "7.3", None),
        ("gaps-reserved", "4.14", "4.18", "4.19.0", "4.19.67"),
        # 4.9.154, 4.9.229, 4.14.67, 4.14.177.
        ("sentinel-clears-ranges", "3.7", "3.10", "4.9.154", "4.9.229"),
        ("sentinel-keeps-list", "4.14.67", "4.14.177", "7.3", None),
        ("memmap-retype", "4.14", "4.19", "7.3", None),
        ("setup-data-marked-for-kexec", "4.12", "4.14", "6.6", "6.12"),
        # 4.12.4, 4.14.67.
        ("kaslr-took-wrapping-regions", "4.4", "4.9", "4.12", "4.14"),
        ("kaslr-reads-last-memmap", "4.9", "4.11", "4.12", "4.14"),
        ("kaslr-reads-cmdline", "4.12", "4.14", "7.3", None),
        ("setup-data-replaces-firmware-map", None, "2.6.32", "4.12", "4.14"),
        ("ext-refreshes-firmware-map", "4.12", "4.14", "7.3", None),
        ("kexec-file-passes-saved-map", "3.10", "4.4", "4.12", "4.14"),
        ("kho-scratch-is-memory", "6.12", "6.18", "7.3", None),
        # As read in 4.9.115, 4.10.17 and 4.11.0; 4.4.70 and 4.9.115.
        ("table-grows-only-with-efi", None, "2.6.32", "4.9", "4.10"),
        ("append-refuses-end-at-2-64", None, "2.6.32", "4.4", "4.9"),
        # 3.8.13 and 3.9.6; 3.2.7 and 3.8.13; 2.6.32.69 and 3.2.7.
        ("memblock-array-grows-in-low-memory", "3.8", "3.9", "7.3", None),
        ("direct-map-covers-holes", None, "2.6.32", "3.8", "3.9"),
        ("direct-map-covers-high-holes", None, "2.6.32", "3.2", "3.8"),
        ("no-trampoline-kills", "2.6.32", "2.6.33", "7.3", None),
        # 4.4.178 and 4.9.154.
        ("no-trampoline-kills-at-once", "2.6.32", "2.6.33", "4.8", "4.9"),
        # 4.4.178, 4.9.154 and 4.14.67; 4.2 is from memory.
        ("reserved-beyond-max-pfn-kills", "4.1", "4.4", "5.9", "5.10"),
        # 3.10.108, 4.4.178.
        ("section-beyond-max-pfn-kills", None, "3.10", "3.13", "4.4"),
        ("memory-beyond-max-pfn-kills", "5.4", "5.10", "7.3", None),
        ("memory-above-64-tib-kills", "4.19", "5.4", "7.3", None),
        ("persistent-memory-has-names", "3.10", "4.4", "7.3", None),
        # 6.6.47, 6.12.117.
        ("kexec-file-loads-at-pref-address", "6.6", "6.12", "7.3", None),
        ("kexec-mark-skips-ima", "5.15", "6.1", "6.6", "6.12"),
        # By Debian's changelogs.
        ("kexec-mark-skips-seed", "6.1.80", "6.1.81", "6.1.176", "6.12"),
        ("kexec-mark-skips-seed", "6.7.8", "6.7.9", "6.9", "6.10"),
    ],
)
def test_a_behaviour_holds_in_its_range(behaviour, before, first, last, after):
    assert profile_for(first).has(behaviour)
    assert profile_for(last).has(behaviour)
    for outside in filter(None, (before, after)):
        assert not profile_for(outside).has(behaviour)


def test_code_asks_only_for_behaviours_that_are_in_the_data():
    known = {b.id for b in all_behaviours()}
    asked = set()
    # Those of report/ ask documents for a key, not kernels.
    rooms = [one for one in CODE.rglob("*.py") if "report" not in one.parts]
    for path in rooms:
        text = path.read_text(encoding="utf-8")
        asked |= {part.split('"')[0] for part in text.split('.has("')[1:]}
    assert asked
    assert asked <= known


def test_every_behaviour_has_a_source_and_says_what_is_uncertain():
    for behaviour in all_behaviours():
        assert all(" " in source for source in behaviour.source)
        if behaviour.checked == "unverified":
            assert behaviour.note


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"checked": "surely"}, "checked 'surely'"),
        ({"source": []}, "source"),
        ({"source": "text"}, "source"),
        ({"since": "5.4"}, "not after"),
        ({"since": "old"}, "no release"),
        ({"what": ""}, "what"),
        ({"what": 3}, "what"),
        ({"colour": "red"}, "'colour'"),
        ({"since_updates": ["4.3"]}, "no stable update"),
        ({"since_updates": ["4.3.0"]}, "no stable update"),
        ({"since_updates": "4.3.1"}, "no list of texts"),
        ({"since_updates": ["4.4.1"]}, "since_updates 4.4.1 is not before since '4.4'"),
        ({"until_updates": ["5.4.1"]}, "until_updates 5.4.1 is not before until '5.4'"),
        ({"until": "", "until_updates": ["5.4.1"]}, "is not before until ''"),
    ],
)
def test_a_wrong_record_is_named(change, message):
    with pytest.raises(InputError, match=message):
        behaviour_of({**RECORD, **change}, "x.toml")


def test_a_record_without_a_needed_key_is_named():
    record = {k: v for k, v in RECORD.items() if k != "source"}
    with pytest.raises(
        InputError, match=r"x\.toml: behaviour 'some-behaviour'.*source"
    ):
        behaviour_of(record, "x.toml")


def test_small_data_is_read():
    data = parse_kernel_data({"releases.toml": RELEASES, "a.toml": BEHAVIOURS})
    assert [b.id for b in data.behaviours] == ["one"]
    assert data.releases[0].config == {"NODES_SHIFT": 6}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "releases.toml is missing"),
        ({"releases.toml": "schema = "}, "no TOML"),
        ({"releases.toml": "schema = 2"}, "schema 2"),
        ({"releases.toml": "schema = 1"}, "config"),
        ({"releases.toml": RELEASES.replace("[series]", "[serie]")}, "series|key"),
        ({"releases.toml": RELEASES + 'colour = "red"'}, "'colour'"),
        ({"releases.toml": RELEASES.replace('"read"', '"guess"')}, "checked"),
        ({"releases.toml": RELEASES + "config = { NODE = 1 }"}, "'NODE'"),
        ({"releases.toml": RELEASES, "a.toml": "schema = 1"}, "no .*behaviour"),
        ({"releases.toml": RELEASES, "a.toml": BEHAVIOURS + BEHAVIOURS[11:]}, "twice"),
        ({"releases.toml": RELEASES + RELEASES[RELEASES.index("[[") :]}, "twice"),
    ],
)
def test_wrong_data_is_named(files, message):
    with pytest.raises(InputError, match=message):
        parse_kernel_data(files)


def test_the_wheel_would_hold_what_the_source_tree_holds():
    texts = {p.name: p.read_text(encoding="utf-8") for p in SPECS.glob("*.toml")}
    assert parse_kernel_data(texts).behaviours == all_behaviours()


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ("4.18.0-477.10.1.el8_8.x86_64", "4.18-el8"),
        ("5.14.0-427.13.1.el9_4.x86_64", "5.14-el9"),
        ("3.10.0-1160.el7.x86_64", "3.10-el7"),
    ],
)
def test_a_distribution_s_version_has_what_was_read_of_it(version, name):
    assert name in known_distributions()
    upstream = profile_for(name.partition("-")[0])
    ours, named = profile_for(version), profile_for(name)
    assert ours.behaviours == named.behaviours != upstream.behaviours
    assert ours.distribution.startswith("RHEL")
    assert (ours.checked, upstream.distribution) == ("read", "")


@pytest.mark.parametrize("version", ["4.18.0-el80", "4.18.0-xel8", "4.19.0-1.el8"])
def test_another_kernel_is_none_of_a_distribution_s(version):
    assert not profile_for(version).distribution


VENDORS = """
schema = 1
[[distribution]]
name = "4.4-vendor"
read_of = "a vendor's 4.4.1"
shows = []
lacks = ["one"]
checked = "read"
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('lacks = ["one"]', 'lacks = ["two"]', "'two', which is no difference"),
        ("shows = []", 'shows = ["one"]', "'one', which is no difference"),
        ('"read"', '"heard"', "checked 'heard' is none of"),
        ("shows = []\n", "", "'shows' is missing"),
        ("shows", "show", "'show' is missing or not a key"),
    ],
)
def test_a_damaged_distribution_is_refused_by_name(old, new, message):
    files = {"releases.toml": RELEASES, "behaviours-x.toml": BEHAVIOURS}
    whole = parse_kernel_data({**files, "distributions.toml": VENDORS})
    assert whole.distributions[0].lacks == {"one"}
    with pytest.raises(InputError, match=message):
        parse_kernel_data({**files, "distributions.toml": VENDORS.replace(old, new)})
