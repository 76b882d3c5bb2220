"""Where a kernel's configuration is found, and what it changes."""

import gzip
from types import SimpleNamespace

import pytest
import rawbytes
from rawhandoff import map_file

from e820pool.loading.kernel_file import profile_of, read_kernel_file
from e820pool.sources.kernel_config import read_running_config


def test_check_goes_by_the_line_of_a_config(run, tmp_path):
    machine = map_file(tmp_path / "machine.json")
    out, config = tmp_path / "out", tmp_path / "config"
    assert run("build", machine, "--deposit", "1G+16M", "-o", out).code == 0
    config.write_text(
        "CONFIG_X86_64=y\nCONFIG_CMDLINE_BOOL=y\nCONFIG_CMDLINE_OVERRIDE=y\n"
        'CONFIG_CMDLINE="memmap=exactmap memmap=640K@0 memmap=2047M@1M"\n'
    )
    words = ("check", out, "--kernel", "6.1", "--format", "json")
    assert run(*words).json["verdicts"][0]["verdict"] == "safe"
    done = run(*words, "--config", config)
    assert done.code == 1
    (found,) = done.json["verdicts"]
    assert (found["verdict"], found["findings"][0]["id"]) == ("unsafe", "usable-as-ram")


def test_the_images_own_configuration_has_the_line(tmp_path, run):
    machine = map_file(tmp_path / "machine.json")
    (tmp_path / "vmlinuz").write_bytes(rawbytes.bzimage())
    (tmp_path / "config").write_text(
        'CONFIG_CMDLINE_BOOL=y\nCONFIG_CMDLINE="memmap=exactmap memmap=2047M@1M"\n'
    )
    out = tmp_path / "out"
    assert run("build", machine, "--deposit", "1G+16M", "-o", out).code == 0
    done = run("check", out, "--kernel", tmp_path / "vmlinuz")
    assert done.code == 1
    assert "usable-as-ram" in done.out


HEAD = "#\n# Automatically generated file\n# Linux/x86 {} Kernel Configuration\n#\n"


class TestWhereItLies:
    """A configuration is found where distributions and builds leave it."""

    @pytest.mark.parametrize(
        ("image", "config"),
        [
            ("boot/vmlinuz-6.1.0-52-cloud-amd64", "boot/config-6.1.0-52-cloud-amd64"),
            (
                "lib/modules/6.1.0-52-cloud-amd64/vmlinuz",
                "lib/modules/6.1.0-52-cloud-amd64/config",
            ),
            ("linux/arch/x86/boot/bzImage", "linux/.config"),
            ("linux/arch/x86_64/boot/bzImage", "linux/.config"),
            ("here/bzImage", "here/.config"),
        ],
    )
    def test_beside_the_image_or_at_the_root_of_its_tree(self, tmp_path, image, config):
        for name, data in (
            (image, rawbytes.bzimage()),
            (config, b"CONFIG_NODES_SHIFT=3\n"),
        ):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(data)
        profile = profile_of(read_kernel_file(tmp_path / image))
        assert (profile.config["NODES_SHIFT"], profile.config_from) == (3, "beside")
        assert profile.given_options == {"NODES_SHIFT"}

    @pytest.mark.parametrize(
        ("version", "counts"),
        [
            ("6.1.176", True),
            ("6.1.177", False),
            ("6.6.176", False),
            ("6.1.176-rc1", True),
        ],
    )
    def test_that_of_another_version_is_not_taken(self, tmp_path, version, counts):
        image = tmp_path / "bzImage"
        image.write_bytes(rawbytes.bzimage(b"6.1.176 (a@b) #1 SMP"))
        config = HEAD.format(version) + "CONFIG_NODES_SHIFT=3\n"
        (tmp_path / ".config").write_text(config)
        profile = profile_of(read_kernel_file(image))
        assert profile.config_from == ("beside" if counts else "assumed")

    def test_of_the_running_kernel_it_is_its_own(self, run, tmp_path, monkeypatch):
        monkeypatch.setattr("os.uname", lambda: SimpleNamespace(release="6.1.0-x"))
        monkeypatch.setattr(
            "e820pool.sources.kernel_config.read_running_config",
            lambda release: {"NODES_SHIFT": "6"} if release == "6.1.0-x" else None,
        )
        machine, out = map_file(tmp_path / "machine.json"), tmp_path / "out"
        assert run("build", machine, "--deposit", "1G+16M", "-o", out).code == 0
        words = ("check", out, "--kernel", "6.1.0-x,6.1", "--format", "json")
        ours, other = (one["judged_on"] for one in run(*words).json["verdicts"])
        assert (ours["config"], ours["version"]) == ("running", "6.1.0-x")
        assert (other["config"], other["version"]) == ("assumed", "")

    def test_it_shows_it_or_its_package_left_it(self, tmp_path):
        assert read_running_config("6.1-x", tmp_path) is None
        for name, data in (
            ("lib/modules/6.1-x/config", b"CONFIG_NODES_SHIFT=1\n"),
            ("boot/config-6.1-x", b"CONFIG_NODES_SHIFT=2\n"),
            ("proc/config.gz", gzip.compress(b"CONFIG_NODES_SHIFT=3\n")),
        ):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(data)
            number = data if data[:1] == b"C" else gzip.decompress(data)
            found = read_running_config("6.1-x", tmp_path)
            assert found == {"NODES_SHIFT": number.decode()[-2]}
        (tmp_path / "proc/config.gz").write_bytes(b"\x1f\x8bbroken")
        assert read_running_config("6.1-x", tmp_path) == {"NODES_SHIFT": "2"}


class TestFailOn:
    """A script tells degraded from unsafe by the exit status."""

    @pytest.fixture
    def out(self, run, tmp_path):
        machine, out = map_file(tmp_path / "machine.json"), tmp_path / "out"
        words = ("--deposit", "1G+16M", "--encoding", "overlaid", "-o", out)
        assert run("build", machine, *words).code == 0
        return out

    @pytest.mark.parametrize(
        ("kernel", "word", "codes"),
        [
            ("3.10", "degraded", (1, 0)),
            ("6.1", "unsafe", (1, 1)),
            ("9.9", "unknown", (4, 4)),
        ],
    )
    def test_check_fails_from_the_word_that_is_named(
        self, run, out, kernel, word, codes
    ):
        words = ("check", out, "--kernel", kernel)
        assert word in run(*words).out
        assert run(*words).code == codes[0]
        assert run(*words, "--fail-on", "degraded").code == codes[0]
        assert run(*words, "--fail-on", "unsafe").code == codes[1]

    def test_the_bulk_form_and_fleets_do_too(self, run, tmp_path):
        lines = tmp_path / "records.jsonl"
        rows = "[[0,651264,1],[1048576,2146435072,1],[1073741824,16777216,2]]"
        lines.write_text(
            f'{{"id":1,"kernel":"3.10","e820":{rows},"deposits":[[262144,16]]}}\n'
        )
        assert run("check", "--jsonl", lines).code == 1
        assert run("check", "--jsonl", lines, "--fail-on", "unsafe").code == 0
        folder = tmp_path / "maps"
        folder.mkdir()
        map_file(folder / "a")
        many = ("fleet", folder, "--kernel", "4.19", "--scatter", "1000")
        assert run(*many).code == 1
        assert run(*many, "--fail-on", "unsafe").code == 0
