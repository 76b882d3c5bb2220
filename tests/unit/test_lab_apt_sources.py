"""Both forms of apt's configuration, and the archive that is picked from them."""

import pytest

from e820pool.lab.apt import (
    AptSource,
    parse_list,
    parse_sources,
    pick_archive,
    wide_sources,
)

MIRROR = "http://mirror.example/debian"

DEB822 = f"""\
# a comment
Types: deb deb-src
URIs: {MIRROR}
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/archive.gpg

Types: deb
URIs: {MIRROR}-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://disabled.example/
Suites: bookworm
Components: main

Types: deb-src
URIs: http://sources.example/
Suites: bookworm
Components: main
"""

KEY = """\
Types: deb
URIs: http://mirror.example/debian
Suites: trixie
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBF
 -----END PGP PUBLIC KEY BLOCK-----
"""


def test_a_deb822_file_gives_its_enabled_binary_archives():
    found = list(parse_sources(DEB822))
    assert [source.uri for source in found] == [MIRROR, f"{MIRROR}-security"]
    assert found[0] == AptSource(
        uri=MIRROR,
        suites=("bookworm", "bookworm-updates"),
        components=("main", "contrib"),
        signed_by="/usr/share/keyrings/archive.gpg",
    )


def test_a_one_line_file_gives_the_same():
    text = (
        f"# deb {MIRROR} sid main\n"
        f"deb-src {MIRROR} bookworm main\n"
        f"deb [arch=amd64 signed-by=/key.gpg] {MIRROR} bookworm main contrib # note\n"
        f"deb {MIRROR} sid main\n"
    )
    one, two = parse_list(text)
    assert (one.uri, one.suites, one.components) == (
        MIRROR,
        ("bookworm",),
        ("main", "contrib"),
    )
    assert (one.signed_by, two.signed_by) == ("/key.gpg", "")


@pytest.mark.parametrize(
    ("suite", "component", "taken"),
    [
        ("bookworm", "main", True),
        ("stable", "main", True),
        ("trixie-backports", "main", True),
        ("bookworm-security", "main", False),
        ("bookworm-updates", "main", False),
        ("bookworm", "non-free", False),
        ("nodistro", "main", False),
        ("noble", "main", False),
    ],
)
def test_only_the_distributions_main_archive_is_picked(suite, component, taken):
    source = AptSource(uri=MIRROR, suites=(suite,), components=(component,))
    assert (pick_archive([source]) is source) == taken


def test_the_wide_file_reads_back_as_the_same_mirror_with_every_suite():
    archive = pick_archive(parse_sources(DEB822))
    (wide,) = parse_sources(wide_sources(archive))
    assert (wide.uri, wide.signed_by) == (MIRROR, archive.signed_by)
    assert {"bullseye", "trixie-backports", "sid"} <= set(wide.suites)
    assert "sid-backports" not in wide.suites
    assert wide.components == ("main",)


def test_a_key_that_is_written_into_the_field_is_kept():
    (source,) = parse_sources(KEY)
    assert source.signed_by.splitlines()[1:] == KEY.splitlines()[5:]
    assert next(parse_sources(wide_sources(source))).signed_by == source.signed_by
