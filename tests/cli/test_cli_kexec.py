"""kexec: the plan is printed, and nothing is touched unless that is asked for."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import pythonguest
import rawbytes
from rawhandoff import GIB
from rawlive import RawLive

from e820pool.errors import BadImageError, LabError
from e820pool.lab.images import find_image
from e820pool.live import load
from e820pool.loading.kernel_file import read_kernel_file


@pytest.fixture(autouse=True)
def _no_system_call(monkeypatch):
    def never(name, *_):
        raise AssertionError(name)

    monkeypatch.setattr(load, "_call", never)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "vmlinuz-6.1"
    path.write_bytes(rawbytes.bzimage())
    return path


@pytest.fixture
def root(tmp_path):
    return RawLive().write(tmp_path / "root")


@pytest.fixture
def words(image, root, tmp_path):
    """Return the words of a dry run on a recorded machine, deposits left out."""
    where = ("--root", root, "--state", tmp_path / "state")
    return ("kexec", "--kernel", image, *where)


def test_the_plan_shows_verdict_table_segments_and_what_would_be_done(run, words):
    done = run(*words, "--deposit", "1G+16K", "--owner", "7", "--append", "quiet")
    assert done.code == 0
    for text in (
        "verdict       safe",
        "inherited     no pool: this kernel has no record",
        "pool          4 pages in 1 extent, generation 1",
        "command line  quiet",
        "  [mem 0x0000000040000000-0x0000000040003fff] reserved",
        "boot_params  0x100000",
        "load   kexec_load(0x103000, 5 segments)",
    ):
        assert text in done.out, text
    assert "dry run: nothing was touched" in done.err


def test_the_json_twin_has_the_same(run, words):
    done = run(*words, "--deposit", "1G+16K", "--owner", "7", "--format", "json")
    told = done.json
    assert (done.code, done.err) == (0, "")
    assert (told["schema"], told["kind"], told["done"]) == (1, "kexec-plan", "planned")
    assert told["extents"] == [[GIB >> 12, 4]]
    assert [one["owner"] for one in told["deposits"]] == [7]
    assert [GIB, 4 << 12, 2] in told["table"]
    assert {one["what"] for one in told["segments"]} >= {"kernel", "stub"}
    assert told["load"] is None


def test_a_machine_with_a_python_of_its_own_has_what_the_command_imports(words):
    """The lab's guest is given packages by name; it boots in `make lab` only."""
    # An environment may have something of its own in every process (setuptools has).
    program = (
        "import sys; bare = set(sys.modules); import e820pool.__main__ as m; m.run(); "
        "print(*{n.partition('.')[0] for n, one in sys.modules.items() if n not in bare"
        " and 'site-packages' in (getattr(one, '__file__', None) or '')})"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, *map(str, words), "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = set(ran.stdout.splitlines()[-1].split())
    assert "msgspec" in found
    # msgspec takes the last where it is.
    assert found <= {*pythonguest.PACKAGES, "e820pool", "typing_extensions"}


LOCKED = {"sys/kernel/security/lockdown": b"none [integrity] confidentiality\n"}


class TestLockedDown:
    """The plan says which row of specs/kexec.md is left, and goes no such way."""

    @pytest.fixture
    def planned(self, run, image, tmp_path):
        def plan(*words, deposits=(), files=LOCKED, form="table"):
            live = RawLive(deposits=deposits, files=files)
            if deposits:
                live = replace(live, record=live.own_record())
            root = live.write(tmp_path / "locked")
            where = ("kexec", "--kernel", image, "--root", root, "--format", form)
            return run(*where, "--state", tmp_path / "state", *words)

        return plan

    def test_what_was_deposited_since_the_boot_is_ram_there(self, planned):
        done = planned("--deposit", "1G+16K")
        assert done.code == 0
        for text in (
            "kexec_load    refused: lockdown integrity, Secure Boot off, kernel.kexec_",
            "kexec -s      row made-since: 4 of 4 deposited pages are RAM in the",
            "  its cost    withdraw 4 pages first: the guests that they serve end",
            "  memmap=     of 1 range: not promised, a segment may lie on a deposit",
            # By our own call, and no other, is it planned.
            "load   kexec_load(0x103000, 5 segments)",
        ):
            assert text in done.out, text

    def test_what_was_inherited_is_kept(self, planned):
        told = planned("--inherited", deposits=((GIB >> 12, 4, 7),), form="json").json
        found = told["system_call"]
        assert (found["kexec_load"], found["lockdown"]) == (False, "integrity")
        assert found["file_load"]["row"] == "kept"
        assert found["file_load"]["exposed"] == []

    @pytest.mark.parametrize(
        ("files", "allowed"),
        [({}, True), ({"proc/sys/kernel/kexec_load_disabled": b"1\n"}, False)],
    )
    def test_elsewhere_there_is_no_such_row(self, planned, files, allowed):
        """kexec_load_disabled forbids kexec_file_load(2) as well."""
        told = planned("--deposit", "1G+16K", files=files, form="json").json
        assert told["system_call"] == {
            "kexec_load": allowed,
            "lockdown": "none",
            "secure_boot": False,
            "load_disabled": not allowed,
            "file_load": None,
        }


def test_the_exact_command_of_kexec_tools_is_shown(run, words, tmp_path):
    initrd = tmp_path / "initrd"
    initrd.write_bytes(b"x")
    done = run(
        *(*words, "--deposit", "1G+16K", "--loader", "kexec-load"),
        *("--reuse-cmdline", "--initrd", initrd),
    )
    (line,) = [x for x in done.out.splitlines() if x.startswith("load ")]
    assert 'unshare -m sh -c \'mount --bind "$0" /sys/firmware/memmap' in line
    assert f"--initrd={initrd}" in line
    assert "'--command-line=root=/dev/vda1 quiet'" in line


@pytest.mark.parametrize("form", ["file", "agent"])
def test_deposits_come_from_a_file_or_from_an_agent(run, words, tmp_path, form):
    told = {"schema": 1, "kind": "deposits", "deposits": [[GIB >> 12, 2]]}
    path = tmp_path / "deposits.json"
    path.write_text(json.dumps(told))
    named = ("--deposits", path) if form == "file" else ("--agent", f"cat {path}")
    done = run(*words, *named, "--format", "json")
    assert done.json["extents"] == [[GIB >> 12, 2]]


def test_the_inherited_pool_goes_on_by_itself(run, image, tmp_path):
    live = RawLive(deposits=((GIB >> 12, 4, 7),))
    live = RawLive(deposits=live.deposits, record=live.own_record(generation=2))
    root = live.write(tmp_path / "root")
    where = ("kexec", "--kernel", image, "--root", root, "--inherited")
    done = run(*where, "--withdraw", "1G+4K", "--format", "json")
    assert done.json["inherited"] == {
        "carrier": "setup_data",
        "generation": 2,
        "extents": [[GIB >> 12, 4]],
    }
    assert done.json["withdrawn"] == [[GIB >> 12, 1]]
    assert done.json["extents"] == [[(GIB >> 12) + 1, 3]]
    assert done.json["generation"] == 3


def test_a_verdict_that_is_not_safe_is_status_1_with_its_findings(run, words):
    done = run(*words, "--deposit", "1G+16K", "--append", "memmap=2M%1G-2+1")
    assert done.code == 1
    assert "verdict       unsafe" in done.out
    assert "!! usable-as-ram" in done.out


def test_a_kernel_that_nobody_knows_is_no_verdict(run, words, image):
    image.write_bytes(rawbytes.bzimage(b"99.1.0-x (me) #1"))
    done = run(*words, "--deposit", "1G+16K")
    assert done.code == 4
    assert "verdict       unknown" in done.out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "told of no deposits"),
        (["--deposit", "1G+4K", "--agent", "x"], "deposits from one place"),
        (["--deposits", "x", "--agent", "x"], "deposits from one place"),
        (["--inherited", "--load"], "for this machine, and no dry run"),
        (
            ["--inherited", "--loader", "kexec-load", "--carrier", "setup_data"],
            "needs --loader ours",
        ),
        (["--inherited", "--append", "x", "--reuse-cmdline"], "not allowed with"),
    ],
)
def test_words_that_contradict_each_other_are_a_usage_error(refused, words, more, said):
    assert said in refused(2, *words, *more)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--deposit", "0xfec00000+4K"], "is not inside RAM"),
        (["--deposit", "1G+4K", "--initrd", "/nowhere/x"], "/nowhere/x"),
        (["--deposits", "/nowhere/y"], "/nowhere/y"),
        (["--inherited", "--withdraw", "1G+4K"], "are not deposited"),
    ],
)
def test_bad_input_is_one_line(refused, words, more, said):
    assert said in refused(3, *words, *more)


def test_an_image_that_is_none_is_bad_input(refused, words, image):
    image.write_bytes(b"\x7fELF" + bytes(600))
    said = refused(3, *words, "--inherited")
    assert f"'{image}' is no bzImage (kernel image: " in said
    assert "no bzImage but an ELF file" in said


def test_an_agent_is_waited_for_no_longer_than_said(refused, words):
    agent = ("--agent", "/nowhere/agent.sock", "--agent-wait", "0.2")
    assert "after 0.2 s: is its service started?" in refused(4, *words, *agent)
    assert "invalid number of seconds" in refused(2, *words, *agent[:3], "-1")


def test_an_agent_that_is_not_there_is_no_verdict(refused, words):
    said = refused(4, *words, "--agent", "/nowhere/agent.sock")
    assert "neither a socket nor a program" in said


class TestInstalled:
    """A kernel of /boot that is named by its version, in a copy of a machine."""

    LINE = "\tlinux /boot/vmlinuz-{0} root=UUID=11 ro quiet\n"

    @pytest.fixture
    def named(self, root, tmp_path):
        boot = root / "boot"
        (boot / "grub").mkdir(parents=True)
        lines = []
        for version in ("5.10.0-32-amd64", "6.1.0-52-amd64"):
            text = f"{version} (me@here) #1".encode()
            (boot / f"vmlinuz-{version}").write_bytes(rawbytes.bzimage(text))
            (boot / f"initrd.img-{version}").write_bytes(bytes(3 << 12))
            (boot / f"config-{version}").write_text("CONFIG_NODES_SHIFT=6\n")
            lines.append(self.LINE.format(version))
        (boot / "grub" / "grub.cfg").write_text("".join(lines))
        (root / "vmlinuz").symlink_to("boot/vmlinuz-5.10.0-32-amd64")
        return ("kexec", "--root", root, "--state", tmp_path / "s", "--inherited")

    def test_it_brings_initrd_configuration_and_command_line(self, run, named, root):
        told = run(*named, "--kernel", "newest", "--format", "json").json
        assert told["kernel"] == str(root / "boot" / "vmlinuz-6.1.0-52-amd64")
        assert told["cmdline"] == "root=UUID=11 ro quiet"
        assert told["judged_on"]["config"] == "beside"
        sizes = {one["what"]: one["size"] for one in told["segments"]}
        assert sizes["initrd"] == 3 << 12

    def test_what_is_said_comes_first(self, run, named, tmp_path):
        initrd = tmp_path / "mine"
        initrd.write_bytes(bytes(5 << 12))
        words = ("--kernel", "6.1.0-52-amd64", "--append", "", "--initrd", initrd)
        told = run(*named, *words, "--format", "json").json
        assert told["cmdline"] == ""
        sizes = {one["what"]: one["size"] for one in told["segments"]}
        assert sizes["initrd"] == 5 << 12

    def test_an_error_has_both_names(self, refused, named, root):
        real = root / "boot" / "vmlinuz-5.10.0-32-amd64"
        real.write_bytes(b"x")
        for name in ("5.10.0-32-amd64", str(root / "vmlinuz")):
            said = refused(3, *named, "--kernel", name)
            assert f"--kernel {name} is {real}" in said

    def test_without_its_initrd_it_would_not_start(self, refused, named, root):
        (root / "boot" / "initrd.img-6.1.0-52-amd64").unlink()
        assert "no initrd lies beside" in refused(3, *named, "--kernel", "newest")

    def test_a_version_that_is_not_there_lists_what_is(self, refused, named):
        said = refused(3, *named, "--kernel", "6.1.0-99-amd64")
        assert "installed: 5.10.0-32-amd64, 6.1.0-52-amd64" in said


class TestActing:
    """What is done with --load, the machine's own part played by the test."""

    @pytest.fixture
    def here(self, monkeypatch, tmp_path):
        """Make this machine the recorded one, and keep what would be done to it."""
        done = []
        recorded = RawLive().write(tmp_path / "here")
        from e820pool.cli.commands import kexec
        from e820pool.live import gates
        from e820pool.sources import live_machine

        read = live_machine.read_live_machine
        monkeypatch.setattr(kexec, "read_live_machine", lambda _: read(recorded))
        monkeypatch.setattr(gates, "running_as_root", lambda: True)
        monkeypatch.setattr(
            load, "_call", lambda name, *words: done.append((name, words[2]))
        )
        return done

    @pytest.fixture
    def act(self, run, image, tmp_path, here):  # noqa: ARG002  nothing may be real
        def call(*more):
            state = tmp_path / "state"
            where = ("kexec", "--kernel", image, "--state", state)
            return run(*where, "--deposit", "1G+16K", *more)

        return call

    def test_a_safe_kernel_is_loaded_and_its_record_kept(self, act, here, tmp_path):
        done = act("--load", "--format", "json")
        assert (done.code, done.json["done"]) == (0, "loaded")
        assert here == [("kexec_load", 5)]
        kept = json.loads((tmp_path / "state" / "handoff.json").read_text())
        assert len(kept["handoffs"]) == 1

    def test_another_verdict_is_refused_and_what_was_loaded_is_dropped(
        self, act, here, tmp_path
    ):
        done = act("--load", "--append", "memmap=2M%1G-2+1")
        assert done.code == 1
        assert "refused: the verdict is unsafe; nothing is loaded" in done.err
        assert here == [("kexec_load", 0)]
        assert not (tmp_path / "state").exists()

    def test_force_goes_on_with_the_findings_printed(self, act, here):
        done = act("--load", "--force", "--append", "memmap=2M%1G-2+1")
        assert done.code == 0
        assert "!! usable-as-ram" in done.out
        assert here == [("kexec_load", 5)]

    @pytest.mark.parametrize(
        ("more", "code"),
        [
            (["--loader", "kexec-load", "--carrier", "setup_data"], 2),
            (["--withdraw", "9G+4K"], 3),
            (["--initrd", "/nowhere"], 3),
            (["--append", "x" * 5000], 1),
        ],
    )
    def test_whatever_stops_a_load_drops_what_was_loaded(self, act, here, more, code):
        assert act("--load", *more).code == code
        assert here == [("kexec_load", 0)]

    def test_so_does_a_machine_that_cannot_be_read(self, act, here, monkeypatch):
        from e820pool.cli.commands import kexec

        def broken(_):
            raise BadImageError("/proc/iomem is none")

        monkeypatch.setattr(kexec, "read_live_machine", broken)
        assert act("--load").code == 3
        assert here == [("kexec_load", 0)]

    @pytest.mark.parametrize("more", [["--load"], ["--execute"]])
    def test_a_plan_that_cannot_be_printed_is_not_loaded(
        self, act, here, more, monkeypatch
    ):
        from e820pool.cli.console import Console

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Console, "result", full)
        assert act(*more).code == 3
        assert here == [("kexec_load", 5), ("kexec_load", 0)]

    def test_a_dry_run_does_nothing_here(self, act, here, tmp_path):
        assert act().code == 0
        assert here == []
        assert not (tmp_path / "state").exists()


def test_a_stock_kernel_is_judged_by_its_release_and_configuration(run, words):
    try:
        stock = find_image("6.1")
    except LabError as error:
        pytest.skip(str(error))
    done = run(*words, "--deposit", "1G+2M", "--kernel", stock.path, "--format", "json")
    assert done.json["release"].startswith("6.1.")
    assert done.json["verdict"] == "safe"
    sizes = {one["what"]: one["size"] for one in done.json["segments"]}
    # The window of the decompressor, far more than the file.
    assert sizes["kernel"] > 3 * stock.path.stat().st_size


def test_the_configuration_lies_beside_the_image_or_what_it_is_a_link_to(
    image, tmp_path
):
    (tmp_path / "config-6.1").write_text("CONFIG_NODES_SHIFT=6\n")
    link = tmp_path / "boot" / "vmlinuz"
    link.parent.mkdir()
    link.symlink_to(image)
    for name in (image, link):
        assert read_kernel_file(name).config == "CONFIG_NODES_SHIFT=6\n"
