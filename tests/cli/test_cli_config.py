"""Where a kernel's configuration is found, and what it changes."""

import rawbytes
from rawhandoff import map_file


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
