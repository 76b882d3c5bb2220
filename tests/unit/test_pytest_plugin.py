"""The fixture ``boot`` without a machine: who skips, who fails, what is shared."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

import e820pool.lab.boot
import e820pool.lab.fetch
import e820pool.lab.guest
import e820pool.lab.images
import e820pool.lab.qemu
from e820pool.errors import LabError
from e820pool.kernel.view import KernelView
from e820pool.lab.cache import cache_folder
from e820pool.lab.machine import LostVmError

HANDOFF = """
from e820pool.deposits import DepositLedger
from e820pool.handoff.build import build_handoff
from e820pool.memory_map import MemoryMap

MAP = MemoryMap.of([(0, 0x9F000, 1), (0x100000, 255 << 20, 1)])

def handoff(page=0x7800):
    ledger = DepositLedger.of_ranges([(page << 12, page + 1 << 12)])
    return build_handoff(MAP, ledger)
"""
USES = """
from parts import handoff

def test_it(boot):
    boot(handoff())
"""


@pytest.fixture
def project(pytester):
    """Another project whose tests use the fixture."""
    pytester.makepyfile(parts=HANDOFF)

    def run(tests, *options, ini=""):
        pytester.makepyfile(test_theirs=tests)
        pytester.makeini("[pytest]\n" + ini)
        return pytester.runpytest_inprocess("-rsfE", *options)

    return run


@pytest.fixture
def lab(monkeypatch):
    """A lab that is there and boots nothing: it notes what it is asked for."""
    seen = SimpleNamespace(boots=[], folders=[], fetched=[], images={"6.1": b"6.1"})

    def find_image(name):
        seen.folders.append(cache_folder())
        if name not in seen.images:
            raise LabError(f"no kernel image of {name!r} in the cache")
        return SimpleNamespace(read=lambda: seen.images[name])

    def boot(handoff, image, options):
        seen.boots.append((handoff, image, options))
        view = KernelView(kernel="6.1", engine="machine")
        return SimpleNamespace(view=view, console=b"early\nlate words\n")

    def fetch_images(names):
        seen.fetched += names
        return [SimpleNamespace(read=lambda: b"fetched")]

    monkeypatch.setattr(e820pool.lab.qemu, "find_qemu", lambda: "qemu")
    monkeypatch.setattr(e820pool.lab.guest, "find_busybox", lambda: "busybox")
    monkeypatch.setattr(e820pool.lab.images, "find_image", find_image)
    monkeypatch.setattr(e820pool.lab.boot, "boot", boot)
    monkeypatch.setattr(e820pool.lab.fetch, "fetch_images", fetch_images)
    return seen


def test_loading_the_plugin_loads_nothing_else():
    code = (
        "import sys, pytest; before = set(sys.modules); import e820pool.pytest_plugin;"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["e820pool", "e820pool.pytest_plugin"]


def test_without_qemu_the_test_is_skipped_and_says_what_to_install(
    project, monkeypatch, tmp_path
):
    monkeypatch.setenv("PATH", str(tmp_path))
    result = project(USES)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        ["SKIPPED*qemu-system-x86_64 is not installed: install *"]
    )


def test_without_an_image_the_test_is_skipped_and_says_how_to_get_it(project, lab):
    lab.images.clear()
    result = project(USES)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*no kernel image*--e820pool-fetch"])
    assert not lab.boots


@pytest.mark.parametrize(
    ("options", "ini"),
    [(["--e820pool-require"], ""), ([], "e820pool_require = true\n")],
)
def test_who_requires_the_lab_gets_a_failure(project, lab, options, ini):
    lab.images.clear()
    result = project(USES, *options, ini=ini)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*e820pool_require: no kernel image of '6.1'*"])


@pytest.mark.parametrize(
    ("options", "ini"), [(["--e820pool-fetch"], ""), ([], "e820pool_fetch = yes\n")]
)
def test_missing_images_are_fetched_on_demand(project, lab, options, ini):
    lab.images.clear()
    project(USES, *options, ini=ini).assert_outcomes(passed=1)
    assert lab.fetched == ["6.1"]
    assert [image for _, image, _ in lab.boots] == [b"fetched"]


def test_the_cache_is_the_folder_that_is_named(project, lab, pytester):
    project(USES, "--e820pool-cache", "here").assert_outcomes(passed=1)
    project(USES, ini="e820pool_cache = there\n").assert_outcomes(passed=1)
    assert lab.folders == [pytester.path / "here", pytester.path / "there"]
    assert cache_folder() not in lab.folders


def test_equal_handoffs_are_booted_once_a_session_unless_asked(project, lab):
    result = project(
        """
        import pytest
        from parts import handoff

        @pytest.mark.parametrize("n", range(3))
        def test_same(boot, n):
            assert boot(handoff()).engine == "machine"

        def test_other(boot):
            boot(handoff(0x7900))

        def test_again(boot):
            assert boot.record(handoff(), again=True).console
        """
    )
    result.assert_outcomes(passed=5)
    assert len(lab.boots) == 3


def test_the_deadline_of_the_ini_file_is_the_boot_s(project, lab):
    project(USES, ini="e820pool_deadline = 300\n").assert_outcomes(passed=1)
    assert lab.boots[0][2].deadlines.seconds("kernel") == 300


@pytest.mark.parametrize("deadline", ["soon", "0", "-1", "nan", "1e9"])
@pytest.mark.usefixtures("lab")
def test_a_deadline_that_is_none_is_refused(project, deadline):
    result = project(USES, ini=f"e820pool_deadline = {deadline}\n")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*e820pool_deadline = '{deadline}': want seconds*"])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("boot('dir')", "takes a Handoff, not str"),
        ("boot(handoff(), 6.1)", "'6.1' or the path of a bzImage, not float"),
        ("boot(handoff(), './vmlinuz')", "vmlinuz"),
    ],
)
@pytest.mark.usefixtures("lab")
def test_wrong_arguments_are_errors_whatever_is_installed(project, call, words):
    result = project(f"from parts import handoff\ndef test_it(boot):\n    {call}\n")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*InputError*{words}*"])


def test_a_path_names_a_file(project, lab, pytester):
    (pytester.path / "vmlinuz").write_bytes(b"image")
    project(
        "from parts import handoff\n"
        "def test_it(boot, request):\n"
        "    boot(handoff(), request.path.with_name('vmlinuz'))\n"
        "    boot(handoff(), './vmlinuz')\n"
    ).assert_outcomes(passed=1)
    assert [image for _, image, _ in lab.boots] == [b"image"]


@pytest.mark.usefixtures("lab")
def test_a_failing_test_shows_the_console(project):
    result = project(
        "from parts import handoff\n"
        "def test_it(boot):\n    assert boot(handoff()).table\n"
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*console of 6.1*", "late words"])


@pytest.mark.usefixtures("lab")
def test_a_lost_machine_is_an_error_with_its_console(project, monkeypatch):
    def lose(*_):
        raise LostVmError("VM lost: no word", console=b"last words\n")

    monkeypatch.setattr(e820pool.lab.boot, "boot", lose)
    result = project(USES)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*LostVmError: VM lost*", "last words"])


def test_the_options_are_in_pytest_s_own_help(project):
    result = project(USES, "--help")
    result.stdout.fnmatch_lines(["*--e820pool-fetch*", "*e820pool_deadline (string)*"])
