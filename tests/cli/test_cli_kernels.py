"""kernels build and prune, with a small tree whose Makefile compiles nothing.

What is run for real: the command, make, sh, patch, git, tar. What stands in: the tree's
Kconfig, which takes what it is asked but for the options it does not have, and the
compiler, which copies an image.
"""

import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import rawbytes

from e820pool.lab import kernel_build
from e820pool.lab.cache import cache_folder
from e820pool.lab.images import built_images, find_image, read_built

MAKEFILE = """\
bzImage:
\t@echo "  CC      init/main.o"
\t@echo "  CC      mm/memblock.o"
\t@$(CHECK) mkdir -p $(O)/arch/x86/boot
\t@cp image $(O)/arch/x86/boot/bzImage
\t@echo >>$(COUNT)
mrproper:
\t@rm -f .config
"""
# Options that this tree does not take over, as Kconfig does without a word.
MERGE = """\
grep -v 'CONFIG_\\(PROC_SYSCTL\\|NEEDY\\|SILENT\\|ABSENT\\)=' "$4" >"$KCONFIG_CONFIG"
echo CONFIG_FORCED=y >>"$KCONFIG_CONFIG"
"""
KCONFIG = """\
menu "Things"
\tdepends on THINGS
config NEEDY
\tbool "A needy one"
\tdepends on FIRST || SECOND
\thelp
\t  depends on NOTHING, as a help text may say.
endmenu
config SILENT
\tbool
config FORCED
\tbool "Forced"
config LOUD
\tdef_bool y
\tselect SILENT
\tselect FORCED if X86
"""
DIFF = """\
--- a/mm/memblock.c
+++ b/mm/memblock.c
@@ -1,3 +1,3 @@
 one
-two
+TWO
 three
"""
SECOND = DIFF.replace("two", "TWO").replace("+TWO", "+deux").replace("-TWO", "-TWO")


@pytest.fixture
def count(tmp_path):
    """Return a function that says how often make has built."""
    path = tmp_path / "count"
    return lambda: len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.setenv("COUNT", str(tmp_path / "count"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(kernel_build, "missing_packages", lambda: ())
    folder = tmp_path / "linux"
    files = {
        "Makefile": MAKEFILE,
        "Kconfig": KCONFIG,
        "arch/x86/Kconfig": "",
        "arch/arm/Kconfig": 'config ABSENT\n\tbool "Of another architecture"\n',
        "scripts/kconfig/merge_config.sh": MERGE,
        "mm/memblock.c": "one\ntwo\nthree\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "image").write_bytes(rawbytes.bzimage(b"6.1.7-mine (me@here) #1 SMP"))
    return folder


def build(run, source, *more, name="mine"):
    return run("kernels", "build", source, "--name", name, *more)


def test_a_tree_is_built_once_and_found_by_name(run, ok, tree, count):
    first = build(run, tree, "--set", "KEXEC_HANDOVER=y", "--format", "json")
    assert (first.code, count()) == (0, 1), first.err
    (image,) = first.json["images"]
    assert (image["name"], image["release"], image["version"]) == (
        "mine",
        "6.1",
        "6.1.7-mine",
    )
    again = build(run, tree, "--set", "CONFIG_KEXEC_HANDOVER=y")
    assert (again.code, count()) == (0, 1)
    assert "the same was built before" in again.err
    assert "mine" in ok("kernels", "list", "6.1").out
    assert "mine" in ok("completion", "--list", "kernels").out
    config = built_images()[0].read_config()
    assert "CONFIG_KEXEC_HANDOVER=y" in config
    assert "CONFIG_NUMA=y" in config


def test_a_kernel_that_was_built_is_judged_by_its_own_configuration(run, tree, handed):
    assert build(run, tree).code == 0
    assert build(run, tree, "--set", "RANDOMIZE_BASE=n", name="still").code == 0
    done = run("check", handed, "--kernel", "mine,still", "--format", "json")
    for verdict, name in zip(done.json["verdicts"], ("mine", "still"), strict=True):
        assert verdict["kernel"] == name
        assert verdict["judged_on"]["config"] == "beside"
        assert verdict["judged_on"]["version"] == "6.1.7-mine"
    assert "possible load addresses" in run("predict", handed, "--kernel", "mine").out
    assert "KASLR: off" in run("predict", handed, "--kernel", "still").out
    nobody = run("check", handed, "--kernel", "nobody")
    assert (nobody.code, "'nobody' is no release" in nobody.out) == (4, True)


@pytest.fixture
def handed(run, tmp_path):
    from rawhandoff import map_file

    source = map_file(tmp_path / "map.json")
    out = tmp_path / "handed"
    deposit = "0x8000000+4K"
    assert run("build", source, "--deposit", deposit, "-o", out).code == 0
    return out


@pytest.mark.parametrize(
    "change", ["option", "patch", "source", "compiler"], ids=lambda one: one
)
def test_what_decides_what_comes_out_is_built_anew(
    run, tree, count, change, monkeypatch
):
    assert build(run, tree).code == 0
    more = []
    if change == "option":
        more = ["--set", "EFI=y"]
    elif change == "patch":
        diff = tree.with_name("a.diff")
        diff.write_text(DIFF)
        more = ["--patch", diff]
    elif change == "source":
        (tree / "mm/memblock.c").write_text("one\ntwo\nthree\nfour\n")
    else:
        gcc = SimpleNamespace(stdout="gcc 99\n")
        monkeypatch.setattr(kernel_build, "run_tool", lambda *_: gcc)
    assert build(run, tree, *more).code == 0
    assert count() == 2
    assert len(built_images()) == 1


def test_the_same_kernel_has_two_names_without_a_second_build(run, tree, count):
    build(run, tree)
    build(run, tree, name="other")
    assert count() == 1
    assert [one.name for one in built_images()] == ["mine", "other"]
    assert run("kernels", "prune", "mine").code == 0
    assert [one.name for one in built_images()] == ["other"]
    assert built_images()[0].read()


def test_prune_without_a_name_takes_all_and_what_the_dead_left(run, tree):
    build(run, tree)
    (cache_folder("building") / "left" / "source").mkdir(parents=True)
    (cache_folder("sources") / "linux-source-6.1_0123.deb").write_bytes(b"x")
    done = run("kernels", "prune")
    assert "removed: mine, linux-source-6.1_0123.deb" in done.err
    assert built_images() == ()
    assert list(cache_folder("building").iterdir()) == []
    unknown = run("kernels", "prune", "mine")
    assert (unknown.code, "no kernel 'mine' was built here" in unknown.err) == (4, True)


def test_the_tree_of_the_user_is_not_touched(run, tree, tmp_path):
    (tree / ".config").write_text("CONFIG_MINE=y\n")
    before = {p: p.stat().st_mtime_ns for p in tree.rglob("*")}
    (tmp_path / "a.diff").write_text(DIFF)
    assert build(run, tree, "--patch", tmp_path / "a.diff").code == 0
    assert {p: p.stat().st_mtime_ns for p in tree.rglob("*")} == before
    assert list(cache_folder("building").iterdir()) == []


def git(tree, *words):
    names = {
        f"GIT_{who}_{what}": "a@b"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    subprocess.run(
        ["git", "-C", tree, *words],
        check=True,
        capture_output=True,
        env=os.environ | names,
    )


def test_a_revision_of_a_git_tree_is_what_it_was(run, tree, count):
    git(tree, "init", "-q")
    git(tree, "add", "-A")
    git(tree, "commit", "-qm", "first")
    git(tree, "tag", "v1")
    assert build(run, f"{tree}@v1").code == 0
    (tree / "mm/memblock.c").write_text("else\n")
    (tree / "ignored.o").write_text("object")
    (tree / ".gitignore").write_text("*.o\n")
    assert build(run, f"{tree}@v1").code == 0
    assert count() == 1
    # The tree as it is now has another content, an ignored file is none of it.
    assert build(run, tree).code == 0
    (tree / "ignored.o").write_text("another")
    assert build(run, tree).code == 0
    assert count() == 2
    lost = build(run, f"{tree}@v9")
    assert (lost.code, "has no revision 'v9': git" in lost.err) == (3, True)


def test_a_tarball_is_a_source(run, tree, tmp_path, count):
    with tarfile.open(tmp_path / "linux-6.1.tar.gz", "w:gz") as archive:
        archive.add(tree, "linux-6.1")
    done = build(run, tmp_path / "linux-6.1.tar.gz")
    assert (done.code, count()) == (0, 1), done.err
    with tarfile.open(tmp_path / "other.tar", "w") as archive:
        archive.add(tree / "mm", "mm")
    other = build(run, tmp_path / "other.tar")
    assert (other.code, "is no kernel source" in other.err) == (3, True)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (
            "NEEDY=y",
            "it depends on THINGS && (FIRST || SECOND); not set: THINGS, FIRST, SECOND",
        ),
        (
            "SILENT=y",
            "it is no question of its own; it is selected by LOUD",
        ),
        ("ABSENT=y", "this source has no such option"),
        ("FORCED=n", "FORCED=n did not stick: selected by LOUD"),
        ("EFI=m", "EFI=m: no modules are built, say EFI=y"),
        ("EFI", "option 'EFI': NAME=y"),
    ],
)
def test_an_option_that_does_not_stick_says_what_it_depends_on(
    run, tree, option, words, count
):
    done = build(run, tree, "--set", option, "--set", "LOUD=y")
    assert (done.code, count()) == (3, 0)
    assert words in done.err
    assert built_images() == ()


def test_a_live_update_brings_what_it_carries_unless_that_is_refused(run, tree):
    """Of 7.3 built so the first command of the handover's page failed with ENOENT."""
    memfd = "CONFIG_LIVEUPDATE_MEMFD=y"
    for name, words, brings in (
        ("plain", (), False),
        ("updates", ("LIVEUPDATE=y",), True),
        ("off", ("LIVEUPDATE=n",), False),
        ("bare", ("LIVEUPDATE=y", "LIVEUPDATE_MEMFD=n"), False),
    ):
        more = [part for word in words for part in ("--set", word)]
        assert build(run, tree, *more, name=name).code == 0
        assert (memfd in find_image(name).read_config()) == brings, name


def test_fragments_are_read_and_set_has_the_last_word(run, tree, tmp_path):
    (tmp_path / "a.config").write_text("CONFIG_EFI=y\n# CONFIG_SMP is not set\n")
    more = ["--config", tmp_path / "a.config", "--set", "SMP=y", "--set", "CMDLINE=a b"]
    assert build(run, tree, *more).code == 0
    config = built_images()[0].read_config()
    assert "CONFIG_EFI=y" in config
    assert "CONFIG_SMP=y" in config
    assert 'CONFIG_CMDLINE="a b"' in config
    (tmp_path / "no.config").write_text("nothing\n")
    done = build(run, tree, "--config", tmp_path / "no.config")
    assert (done.code, "sets no option" in done.err) == (3, True)


def test_of_another_configuration_only_what_concerns_maps_is_taken(run, tree, tmp_path):
    (tmp_path / "config-1").write_text(
        "CONFIG_NODES_SHIFT=10\nCONFIG_EFI=y\nCONFIG_SOUND=m\n"
        "CONFIG_ACPI_HOTPLUG_MEMORY=m\n# CONFIG_RANDOMIZE_BASE is not set\n"
    )
    assert build(run, tree, "--like", tmp_path / "config-1").code == 0
    config = built_images()[0].read_config()
    assert "CONFIG_NODES_SHIFT=10" in config
    assert "CONFIG_ACPI_HOTPLUG_MEMORY=y" in config
    assert "# CONFIG_RANDOMIZE_BASE is not set" in config
    assert "SOUND" not in config


def test_a_reject_names_the_hunk_and_leaves_nothing(run, tree, tmp_path, count):
    (tmp_path / "a.diff").write_text(DIFF.replace("-two", "-zwei"))
    done = build(run, tree, "--patch", tmp_path / "a.diff")
    assert (done.code, count()) == (3, 0)
    assert "does not apply: mm/memblock.c: @@ -1,3 +1,3 @@ |  one | -zwei" in done.err
    assert done.err.count("\n") == 1
    assert list(cache_folder("building").iterdir()) == []


def test_patches_of_a_series_apply_in_their_order(run, tree, tmp_path):
    mails = "".join(
        f"From 0123 Mon Sep 17 00:00:00 2001\nFrom: a@b\n"
        f"Subject: [PATCH {at}/2] mm: {at}\n\n{diff}-- \n2.39\n\n"
        for at, diff in ((2, SECOND), (1, DIFF))
    )
    (tmp_path / "s.mbox").write_text(mails)
    assert build(run, tree, "--patch", tmp_path / "s.mbox").code == 0
    assert read_built("mine")["patches"] == ["[PATCH 1/2] mm: 1", "[PATCH 2/2] mm: 2"]
    assert build(run, tree, "--patch", f"{tmp_path}/s.mbox@1").code == 0
    assert read_built("mine")["patches"] == ["[PATCH 1/2] mm: 1"]
    third = build(run, tree, "--patch", f"{tmp_path}/s.mbox@3")
    assert (third.code, "patch 3 is not there: there are 1, 2" in third.err) == (
        3,
        True,
    )


def test_what_does_not_compile_says_where_the_log_is(run, tree):
    text = MAKEFILE.replace("@$(CHECK)", '@echo "mm/a.c:3:1: error: bad"; exit 1;')
    (tree / "Makefile").write_text(text)
    done = build(run, tree)
    assert done.code == 4
    assert "it does not compile: mm/a.c:3:1: error: bad; the log is " in done.err
    log = done.err.rsplit(" ", 1)[1].strip()
    assert "CC      init/main.o" in Path(log).read_text()
    assert built_images() == ()


def test_an_interrupt_ends_make_and_leaves_nothing(run, tree, monkeypatch):
    text = MAKEFILE.replace("@$(CHECK)", "@sleep 60;")
    (tree / "Makefile").write_text(text)
    monkeypatch.setattr(kernel_build, "_STEP", Interrupting())
    done = build(run, tree)
    assert (done.code, "nothing was left half-made" in done.err) == (130, True)
    assert built_images() == ()
    assert list(cache_folder("building").iterdir()) == []


class Interrupting:
    def match(self, _line):
        raise KeyboardInterrupt


def test_what_is_missing_is_named_with_its_packages(run, tree, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("PATH", "/nonexistent")
    done = build(run, tree)
    assert done.code == 4
    assert "apt-get install make gcc binutils flex bison bc patch" in done.err


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("build",), 2, "build takes one source and --name NAME"),
        (("build", "a", "b", "--name", "c"), 2, "build takes one source"),
        (("list", "--name", "a"), 2, "--name is for 'kernels build'"),
        (("build", "nothing", "--name", "a"), 3, "source 'nothing' is not there"),
        (("build", "x", "--name", "6.1"), 3, "name '6.1': a letter, then"),
        (("build", "x", "--name", "newest"), 3, "not all, newest, running or live"),
        (("build", "x", "--name", "a", "--patch", "x@"), 3, "names none: FILE@1-6"),
        (("build", "x", "--name", "a", "--patch", "gone"), 3, "'gone'"),
    ],
)
def test_what_cannot_be_built_is_refused(refused, words, code, message):
    assert message in refused(code, "kernels", *words)


def test_a_second_build_at_a_time_is_refused(run, tree):
    with kernel_build._only_one():
        done = build(run, tree)
    assert (done.code, "another build is under way" in done.err) == (4, True)


def test_git_and_the_other_tools_are_here():
    assert all(map(shutil.which, ("git", "make", "patch", "tar")))
