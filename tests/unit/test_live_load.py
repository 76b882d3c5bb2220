"""A load that fails leaves nothing loaded and nothing mounted."""

import stat
from dataclasses import replace
from pathlib import Path

import pytest
import rawbytes
from rawhandoff import GIB
from rawlive import RawLive

from e820pool.deposits import Deposit
from e820pool.errors import E820PoolError, InputError, MachineError
from e820pool.live import gates, load
from e820pool.live.gates import obstacles, validate_can_load, validate_machine
from e820pool.live.inherited import read_kept
from e820pool.live.load import attempt
from e820pool.live.plan import KexecRequest, execute_argv, plan_kexec
from e820pool.loading.kernel_file import KernelFile
from e820pool.sources.deposits_file import DepositChanges
from e820pool.sources.live_machine import (
    read_live_machine,
    reusable_cmdline,
)


@pytest.fixture(autouse=True)
def calls(monkeypatch):
    """Keep every system call from this machine, and say which there were."""
    seen = []
    monkeypatch.setattr(load, "_call", lambda *words: seen.append(words))
    return seen


@pytest.fixture
def machine(tmp_path):
    return read_live_machine(RawLive().write(tmp_path / "root"))


def plan_for(machine, tmp_path, loader):
    base = GIB >> 12
    one = Deposit(start_pfn=base, end_pfn=base + 4, owner=7)
    return plan_kexec(
        machine,
        KexecRequest(
            kernel=KernelFile(name="/boot/vmlinuz", image=rawbytes.bzimage()),
            changes=DepositChanges(deposits=(one,)),
            loader=loader,
            work=tmp_path / "work",
        ),
    )


def unshare(tmp_path, monkeypatch, script):
    """Put a program of that name where the system's are looked for first."""
    folder = tmp_path / "bin"
    folder.mkdir()
    path = folder / "unshare"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(load, "_PATH", f"{folder}:{load._PATH}")


def test_our_loader_gives_the_segments_to_kexec_load(machine, tmp_path, calls):
    plan = plan_for(machine, tmp_path, "ours")
    assert load.load_planned(plan) == ""
    ((name, number, entry, count, _, flags),) = calls
    assert (name, number, flags) == ("kexec_load", 246, 0)
    assert (entry, count) == (plan.image.entry, len(plan.image.segments))


def test_the_tree_is_there_while_kexec_tools_load_and_gone_afterwards(
    machine, tmp_path, monkeypatch, calls
):
    plan = plan_for(machine, tmp_path, "kexec-load")
    unshare(tmp_path, monkeypatch, f'cp -r "$5" {tmp_path}/seen; echo "$@"')
    said = load.load_planned(plan)
    assert said.startswith("-m sh -c mount --bind")
    seen = tmp_path / "seen"
    at = next(p.parent for p in seen.glob("*/start") if p.read_text() == "0x40000000\n")
    assert (at / "end").read_text() == "0x40003fff\n"
    assert (at / "type").read_text() == "Reserved\n"
    assert not plan.tree.exists()
    assert calls == []


def test_a_loader_that_fails_is_quoted_and_nothing_stays_loaded(
    machine, tmp_path, monkeypatch, calls
):
    plan = plan_for(machine, tmp_path, "kexec-load")
    unshare(tmp_path, monkeypatch, "echo first >&2; echo no memory >&2; exit 255")
    with pytest.raises(MachineError, match=r"^unshare -m sh \.\.\. failed: no memory$"):
        load.load_planned(plan)
    assert not plan.tree.exists()
    assert calls == [("kexec_load", 246, 0, 0, 0, 0)]


def test_a_kernel_that_refuses_the_segments_is_quoted(machine, tmp_path, monkeypatch):
    def refuse(name, *_):
        raise MachineError(f"{name}(2): operation not permitted")

    monkeypatch.setattr(load, "_call", refuse)
    with pytest.raises(MachineError, match=r"kexec_load\(2\): operation not permitted"):
        load.load_planned(plan_for(machine, tmp_path, "ours"))


def test_what_is_kept_is_read_back_and_a_folder_that_is_none_is_told(machine, tmp_path):
    plan = plan_for(machine, tmp_path, "ours")
    load.keep_handoff(plan, tmp_path / "var" / "state")
    assert read_kept(tmp_path / "var" / "state") == plan.kept
    assert read_kept(tmp_path / "nowhere") == ()
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="cannot write"):
        load.keep_handoff(plan, tmp_path / "file")


def test_nothing_that_was_left_in_the_state_folder_is_followed(machine, tmp_path):
    plan, state = plan_for(machine, tmp_path, "ours"), tmp_path / "state"
    load.keep_handoff(plan, state)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    victim = tmp_path / "passwd"
    victim.write_text("root")
    for name in ("handoff.new", "handoff.json"):
        (state / name).unlink(missing_ok=True)
        (state / name).symlink_to(victim)
    load.keep_handoff(plan, state)
    assert victim.read_text() == "root"
    assert read_kept(state) == plan.kept


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770])
def test_a_state_folder_that_others_write_is_refused(machine, tmp_path, mode):
    """Whoever writes there says what the next kernel takes for the pool."""
    plan, state = plan_for(machine, tmp_path, "ours"), tmp_path / "state"
    state.mkdir()
    state.chmod(mode)
    with pytest.raises(MachineError, match=f"mode {mode:#o}.* chmod 700"):
        load.keep_handoff(plan, state)
    assert not list(state.iterdir())


def test_programs_are_the_system_s_whatever_path_root_has(tmp_path, monkeypatch):
    (tmp_path / "uname").write_text("#!/bin/sh\necho trapped\n")
    (tmp_path / "uname").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert load._run(["uname"]) == "Linux"
    assert load._run(["sh", "-c", "uname"]) == "Linux"


def test_without_a_command_the_kernel_is_started_by_reboot(machine, tmp_path, calls):
    plan = replace(plan_for(machine, tmp_path, "ours"), execute=())
    load.execute_loaded(plan)
    assert calls == [("reboot", 169, 0xFEE1DEAD, 672274793, 0x45584543, 0)]


def test_systemd_stops_everything_first_where_it_runs():
    assert execute_argv(has_systemd=True, kexec="/k") == ("systemctl", "kexec")
    assert execute_argv(has_systemd=False, kexec="/k") == ("/k", "-e")
    assert execute_argv(has_systemd=False, kexec=None) == ()


def allowing():
    pass


class TestAttempt:
    @pytest.fixture
    def asked(self, monkeypatch):
        words = []

        def ask(_, word, wait=0):
            assert wait in {0, 30}
            words.append(word)

        monkeypatch.setattr(load, "ask_agent", ask)
        return words

    def test_a_dry_run_only_asks(self, asked, calls):
        with attempt("agent", acts=False, gates=allowing):
            pass
        assert (asked, calls) == (["deposits"], [])

    def test_a_load_freezes_the_agent_for_good(self, asked, calls):
        with attempt("agent", acts=True, gates=allowing) as trial:
            trial.succeeded = True
        assert (asked, calls) == (["freeze"], [])

    def test_a_failure_thaws_it_and_unloads_what_was_loaded_before(self, asked, calls):
        with pytest.raises(InputError), attempt("agent", acts=True, gates=allowing):
            raise InputError("no")
        assert asked == ["freeze", "thaw"]
        assert calls == [("kexec_load", 246, 0, 0, 0, 0)]

    def test_a_gate_that_is_shut_leaves_nothing_loaded_either(self, asked, calls):
        """What had been loaded does not know of the deposits made since."""

        def shut():
            raise MachineError("no kexec-tools")

        with pytest.raises(MachineError), attempt("agent", acts=True, gates=shut):
            pytest.fail("the gate is shut")
        assert asked == ["thaw"]
        assert calls == [("kexec_load", 246, 0, 0, 0, 0)]

    def test_a_capture_kernel_whose_agent_does_not_go_on_is_dropped(
        self, monkeypatch, calls
    ):
        def ask(_, word, wait=0):  # noqa: ARG001  as the real one is called
            if word == "thaw":
                raise MachineError("agent: gone")

        monkeypatch.setattr(load, "ask_agent", ask)
        with (
            pytest.raises(MachineError, match="gone"),
            attempt("agent", acts=True, gates=allowing, panic=True) as trial,
        ):
            trial.succeeded = True
        assert calls == [("kexec_load", 246, 0, 0, 0, 1)]

    @pytest.mark.parametrize("how", ["error", "refusal"])
    def test_what_stays_loaded_is_said_and_the_agent_stays_frozen(
        self, asked, how, monkeypatch, tmp_path
    ):
        """kernel.kexec_load_disabled, set after a load, forbids the unload as well."""

        def refuse(name, *_):
            raise MachineError(f"{name}(2): operation not permitted")

        monkeypatch.setattr(load, "_call", refuse)
        monkeypatch.setattr(load, "_LOADED", tmp_path / "kexec_loaded")
        load._LOADED.write_text("1\n")

        def try_it():
            with attempt("agent", acts=True, gates=allowing):
                if how == "error":
                    raise InputError("no")

        with pytest.raises(E820PoolError) as caught:
            try_it()
        words = str(caught.value) + "".join(getattr(caught.value, "__notes__", ()))
        assert "is still loaded" in words
        assert asked == ["freeze"]

    def test_so_does_a_refusal_that_is_no_error(self, asked, calls):
        with attempt("agent", acts=True, gates=allowing):
            pass
        assert asked == ["freeze", "thaw"]
        assert len(calls) == 1


class TestGates:
    @pytest.fixture(autouse=True)
    def _root(self, monkeypatch):
        monkeypatch.setattr(gates, "running_as_root", lambda: True)

    def of(self, tmp_path, **files):
        named = {name.replace("__", "/"): data for name, data in files.items()}
        root = RawLive(files=named).write(tmp_path / "root")
        return read_live_machine(root).gates

    def test_a_machine_that_allows_it_has_none(self, tmp_path):
        assert list(obstacles(self.of(tmp_path), "ours")) == []

    def test_kexec_that_is_switched_off_says_what_brings_it_back(self, tmp_path):
        found = self.of(tmp_path, proc__sys__kernel__kexec_load_disabled=b"1\n")
        with pytest.raises(MachineError, match=r"kexec_load_disabled is 1: .* booted"):
            validate_can_load(found, "ours")

    def test_a_locked_down_kernel_names_secure_boot(self, tmp_path):
        secure = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
        files = {f"sys__firmware__efi__efivars__{secure}": b"\6\0\0\0\1"}
        locked = b"none [integrity] confidentiality\n"
        found = self.of(tmp_path, **files, sys__kernel__security__lockdown=locked)
        with pytest.raises(MachineError, match=r"integrity; Secure Boot is on"):
            validate_can_load(found, "ours")
        free = b"[none] integrity confidentiality\n"
        again = self.of(tmp_path, **files, sys__kernel__security__lockdown=free)
        validate_can_load(again, "ours")

    def test_a_kernel_without_kexec_is_told(self, tmp_path):
        found = self.of(tmp_path)
        with pytest.raises(MachineError, match="CONFIG_KEXEC"):
            validate_can_load(replace(found, has_kexec=False), "ours")

    def test_who_is_not_root_is_told_first(self, tmp_path, monkeypatch):
        monkeypatch.setattr(gates, "running_as_root", lambda: False)
        with pytest.raises(MachineError, match="not root"):
            validate_can_load(replace(self.of(tmp_path), has_kexec=False), "ours")

    def test_kexec_tools_must_be_there_for_their_loader(self, tmp_path, monkeypatch):
        monkeypatch.setattr(gates.shutil, "which", lambda _: None)
        monkeypatch.setattr(Path, "is_file", lambda _: False)
        with pytest.raises(MachineError, match=r"install kexec-tools, or use --loader"):
            validate_can_load(self.of(tmp_path), "kexec-load")
        validate_can_load(self.of(tmp_path), "ours")

    def test_another_processor_has_no_e820(self, monkeypatch):
        monkeypatch.setattr(gates, "running_machine", lambda: "aarch64")
        with pytest.raises(MachineError, match="this machine is aarch64"):
            validate_machine()


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (b"BOOT_IMAGE=/vmlinuz root=/dev/sda quiet", b"root=/dev/sda quiet"),
        (b"quiet initrd=\\initrd.img ro", b"quiet ro"),
        (b"quiet -- initrd=mine", b"quiet -- initrd=mine"),
        (b"", b""),
    ],
)
def test_what_a_boot_loader_added_is_not_reused(line, kept):
    assert reusable_cmdline(line) == kept
