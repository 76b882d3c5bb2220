"""Patches out of the forms in which people keep them."""

import pytest

from e820pool.errors import BadImageError, InputError
from e820pool.lab.patch_file import apply_patch, select_patches, split_patches

DIFF = "diff --git a/{0} b/{0}\n--- a/{0}\n+++ b/{0}\n@@ -1 +1 @@\n-a\n+b\n"
THREAD = """\
linux-mm archive mirror
* [RFC PATCH v2 0/2] A series
@ 2023-09-25 21:27 Somebody
  2023-09-25 21:27 ` [RFC PATCH v2 1/2] First Somebody
From: Somebody @ 2023-09-25 21:27 UTC (permalink / raw)

* an item of a list, which begins no message
 mm/a.c | 2 +-

^ permalink raw reply	[flat|nested] 5+ messages in thread

* [RFC PATCH v2 2/2] Second
  2023-09-25 21:27 [RFC PATCH v2 0/2] A series Somebody
From: Somebody @ 2023-09-25 21:28 UTC (permalink / raw)

Text.
---
{two}
^ permalink raw reply	[flat|nested] 5+ messages in thread

* Re: [RFC PATCH v2 1/2] First
       [not found] ` <x@y>
From: Another @ 2023-09-26 21:28 UTC (permalink / raw)

> {quoted}
Rather so:
{other}
^ permalink raw reply	[flat|nested] 5+ messages in thread

* [RFC PATCH v2 1/2] First
  2023-09-25 21:27 [RFC PATCH v2 0/2] A series Somebody
From: Somebody @ 2023-09-25 21:28 UTC (permalink / raw)

{one}
"""


def mail(subject, body, more=""):
    return f"From: a@b.c\nSubject: {subject}\n{more}\n{body}\n"


def files_of(data):
    return [
        (one.number, one.text.splitlines()[0].split("/")[-1])
        for one in split_patches(data.encode(), "x")
    ]


@pytest.mark.parametrize("blanks", ["    ", "\t", " "])
def test_a_diff_that_a_page_shows_within_its_text_is_read(blanks, tmp_path):
    """Its empty lines have lost their blanks, and more text follows."""
    plain = "--- a/a.c\n+++ b/a.c\n@@ -1,3 +1,3 @@\n \n-a\n+b\n c\n"
    inside = "".join(
        (blanks + line).rstrip(" \t") + "\n" for line in plain.splitlines()
    )
    page = f"# A page\n\nWhat could be done:\n\n{inside}\nNot built yet.\n"
    (patch,) = split_patches(page.encode(), "page.md")
    (tmp_path / "a.c").write_text("\na\nc\n")
    apply_patch(patch, tmp_path)
    assert (tmp_path / "a.c").read_text() == "\nb\nc\n"


def test_a_diff_is_one_patch_whatever_stands_before_it():
    (patch,) = split_patches(("Words.\n\n" + DIFF.format("a.c")).encode(), "x.diff")
    assert (patch.number, patch.subject) == (1, "x.diff")
    assert patch.text.startswith("diff --git a/a.c b/a.c\n")
    (plain,) = split_patches(b"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", "x")
    assert plain.text.startswith("--- a/x\n+++ b/x\n")


def test_a_thread_that_was_saved_as_text_gives_its_patches_in_order():
    thread = THREAD.format(
        one=DIFF.format("one.c"),
        two=DIFF.format("two.c"),
        other=DIFF.format("other.c"),
        quoted=DIFF.format("q.c").replace("\n", "\n> "),
    )
    assert files_of(thread) == [(1, "one.c"), (2, "two.c")]


def test_an_mbox_gives_its_patches_and_no_replies():
    separator = "From mboxrd@z Thu Jan  1 00:00:00 1970\n"
    mails = [
        mail("[PATCH 0/2] cover", " a.c | 2 +-"),
        mail("[PATCH 2/2] second", DIFF.format("two.c")),
        mail("Re: [PATCH 1/2] first", DIFF.format("other.c")),
        mail("[PATCH 1/2] first", DIFF.format("one.c")),
    ]
    assert files_of("".join(separator + one for one in mails)) == [
        (1, "one.c"),
        (2, "two.c"),
    ]


def test_a_message_is_decoded():
    body = DIFF.format("a.c").replace("+b", "+b=3D=20c").replace("--- a", "--- =61")
    more = "Content-Transfer-Encoding: quoted-printable\n"
    (patch,) = split_patches(mail("[PATCH] x", body, more).encode(), "x")
    assert "\n--- a/a.c\n" in patch.text
    assert "+b= c\n" in patch.text


def test_a_series_that_is_there_twice_is_refused():
    separator = "From mboxrd@z Thu Jan  1 00:00:00 1970\n"
    one = separator + mail("[PATCH 1/1] a", DIFF.format("a.c"))
    with pytest.raises(BadImageError, match="patch 1 of its series 2 times"):
        split_patches((one + one).encode(), "x")


@pytest.mark.parametrize("text", ["", "no diff here\n", mail("[PATCH] x", "text")])
def test_what_holds_no_diff_is_refused(text):
    with pytest.raises(BadImageError, match="'x' holds no patch"):
        split_patches(text.encode(), "x")


def test_some_of_a_series_are_picked():
    separator = "From mboxrd@z Thu Jan  1 00:00:00 1970\n"
    patches = split_patches(
        "".join(
            separator + mail(f"[PATCH v3 {n}/4] x", DIFF.format(f"{n}.c"))
            for n in (1, 2, 3, 4)
        ).encode(),
        "x",
    )
    assert [one.number for one in select_patches(patches, "1-2,4")] == [1, 2, 4]
    assert select_patches(patches, "") == patches
    with pytest.raises(InputError, match="patch 5 is not there: there are 1, 2, 3, 4"):
        select_patches(patches, "4-5")
    with pytest.raises(InputError, match="a list such as 1-6"):
        select_patches(patches, "a")
