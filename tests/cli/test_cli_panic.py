"""kexec --panic: what the dump would hold, and what kexec-tools are given to read."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import rawbytes
from rawlive import RawAcpi, RawLive

from e820pool.cli.commands import kexec
from e820pool.live import gates, load
from e820pool.sources import live_machine
from e820pool.sources.recognise import read_map

MIB = 1 << 20
IOMEM = """\
00000000-00000fff : Reserved
00001000-0009efff : System RAM
0009f000-000fffff : Reserved
00100000-bfffffff : System RAM
  02000000-02e0ffff : Kernel code
  a0000000-afffffff : Crash kernel
100000000-13fffffff : System RAM
"""
TEXT = 0xFFFF_FFFF_8200_0000
KCORE = rawbytes.elf_core(
    (0xFFFF_8880_0000_1000, 0x1000, 0x9_E000), (TEXT, 0x200_0000, 0x100_0000)
)


@pytest.fixture
def shown():
    files = {"proc/iomem": IOMEM.encode(), "proc/kcore": KCORE}
    line = "quiet crashkernel=256M ro"
    return RawLive(files=files, cmdline=line, acpi=RawAcpi())


@pytest.fixture
def words(shown, tmp_path):
    image = tmp_path / "vmlinuz-6.1"
    image.write_bytes(rawbytes.bzimage())
    root = shown.write(tmp_path / "root")
    where = ("--root", root, "--state", tmp_path / "state")
    return ("kexec", "--panic", "--kernel", image, *where)


def test_the_plan_says_what_the_dump_holds_and_how_it_is_loaded(run, words):
    done = run(*words, "--deposit", "1G+16K", "--deposit", "2G+4K", "--reuse-cmdline")
    assert done.code == 0
    for text in (
        "verdict       safe",
        "runs in       [mem 0x00000000a0000000-0x00000000afffffff]",
        "deposited     5 pages in 2 extents",
        "of RAM, 0 of them deposited",
        "command line  quiet ro",
        "unshare -m sh -c",
        'mount --bind "$0/kcore" /proc/kcore',
        'mount --bind "$0/memmap" /sys/firmware/memmap',
        " -c -p ",
        "judged on: model; version ",
    ):
        assert text in done.out, text
    assert "dry run: nothing was touched" in done.err


def test_the_json_twin_has_the_same(run, words):
    done = run(*words, "--deposit", "1G+16K", "--format", "json")
    assert done.json["kind"] == "panic-plan"
    assert done.json["done"] == "planned"
    assert done.json["judged_on"]["by"] == "model"
    assert done.json["crash_memory"] == [[0xA000_0000, 256 * MIB]]
    runs = [(base, base + count) for base, count in done.json["dumped"]]
    assert (0x4_0004, 0xA_0000) in runs
    assert 0x4_0000 in [end for _, end in runs]


@pytest.mark.parametrize(
    ("blocks", "says"),
    [((), "which is not known"), ((8,), "over 4 deposited"), ((9,), "safe")],
)
def test_a_capture_kernel_adds_memory_devices_too(run, shown, words, blocks, says):
    # The table of a capture kernel has no RAM but its own: nothing busy is at 1 GiB.
    live = replace(shown, acpi=RawAcpi(devices=(blocks,)))
    other = live.write(words[5].parent / "other")
    words = [other if word == words[5] else word for word in words]
    done = run(*words, "--deposit", "1G+16K")
    assert done.code == (says != "safe")
    assert says in done.out


def test_a_deposit_in_the_crash_kernels_memory_is_unsafe(run, words):
    done = run(*words, "--deposit", "2560M+4K")
    assert done.code == 1
    assert "!! deposit-in-crash-memory" in done.out


@pytest.mark.parametrize(
    ("name", "data", "ends"),
    [
        ("iomem", IOMEM.replace("Crash kernel", "x").encode(), (4, "crashkernel=")),
        ("kcore", b"\x7fELF", (3, "an ELF header has 64")),
        ("kcore", KCORE[:-1], (3, "program headers of 56 bytes")),
    ],
)
def test_a_machine_that_cannot_is_one_line(run, words, name, data, ends):
    (words[5] / "proc" / name).write_bytes(data)
    done = run(*words, "--inherited")
    assert (done.code, done.out) == (ends[0], "")
    assert ends[1] in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("more", [("--execute",), ("--carrier", "file")])
def test_what_does_not_go_with_it_is_a_usage_error(run, words, more):
    done = run(*words[:4], "--inherited", *more)
    assert done.code == 2
    assert "--panic is started by a crash" in done.err


class TestLoading:
    """What is done with --load, the machine's own part played by the test."""

    @pytest.fixture
    def here(self, monkeypatch, shown, tmp_path):
        """Make this machine the recorded one, and keep what would be done to it."""
        done = []
        recorded = shown.write(tmp_path / "here")
        for name in ("read_live_machine", "read_crash_sources"):
            read = getattr(live_machine, name)
            monkeypatch.setattr(kexec, name, lambda _, read=read: read(recorded))
        monkeypatch.setattr(gates, "running_as_root", lambda: True)
        monkeypatch.setattr(gates, "find_kexec", lambda: Path("/sbin/kexec"))
        monkeypatch.setattr(load, "_call", lambda *words: done.append(words[3:]))

        def ran(argv):
            folder = Path(argv[5])
            room = read_map(folder / "memmap").rows()
            done.append((argv[6:], (folder / "iomem").read_text(), room))
            return ""

        monkeypatch.setattr(load, "_run", ran)
        return done

    @pytest.fixture
    def act(self, run, words, tmp_path, monkeypatch):
        from e820pool.live.plan import KexecRequest

        made = KexecRequest.__init__

        def in_tmp(self, **given):
            made(self, **given | {"work": tmp_path / "work"})

        monkeypatch.setattr(KexecRequest, "__init__", in_tmp)
        return lambda *more: run(*words[:4], *words[6:], "--load", *more)

    def test_kexec_tools_read_an_iomem_without_the_deposits(self, act, here, tmp_path):
        done = act("--deposit", "1G+16K")
        assert done.code == 0
        ((argv, iomem, room),) = here
        assert argv[1:3] == ("-c", "-p")
        assert "40000000-40003fff : Reserved" in iomem
        assert "40004000-bfffffff : System RAM" in iomem
        # Nowhere else may they put anything.
        assert tuple(room) == ((0xA000_0000, 0x1000_0000, 1),)
        assert not (tmp_path / "work" / "panic").exists()
        assert "load it again then" in done.err

    def test_a_refusal_drops_the_capture_kernel_that_was_loaded(self, act, here):
        done = act("--deposit", "2560M+4K")
        assert done.code == 1
        assert "refused: no capture kernel is loaded" in done.err
        # No segments, and KEXEC_ON_CRASH.
        assert here == [(0, 0, 1)]

    def test_the_agent_goes_on_once_it_is_loaded(self, act, here, tmp_path):
        agent = tmp_path / "agent"
        log = tmp_path / "asked"
        answer = json.dumps(
            {"schema": 1, "kind": "deposits", "deposits": [[0x4_0000, 4]]}
        )
        agent.write_text(
            f"#!/bin/sh\necho $E820POOL_REQUEST >>{log}\necho '{answer}'\n"
        )
        agent.chmod(0o755)
        assert act("--agent", agent).code == 0
        assert log.read_text().split() == ["freeze", "thaw"]
        assert len(here) == 1
