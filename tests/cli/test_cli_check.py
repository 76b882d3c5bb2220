"""check: verdicts in words, in JSON and as exit status."""

import gzip
import subprocess
import sys

import pytest
import rawbytes
from rawhandoff import GIB, MIB, ROWS, RawHandoff, with_reserved

from e820pool.sources import installed_kernels

PAGES = [(0x40000, 2)]
TABLE = tuple(with_reserved(ROWS, PAGES))
# RAM underneath, RESERVED on top: resolved by kernels, not by decompressors.
LAID_OVER = (*ROWS, (GIB, 0x2000, 2))
EXPOSED = ROWS


@pytest.fixture
def judge(run, tmp_path):
    """Return a function that checks a handoff and returns status and verdicts."""

    def call(*words, **parts):
        path = tmp_path / f"h{len(list(tmp_path.iterdir()))}"
        whole = {"rows": TABLE, "deposits": PAGES} | parts
        RawHandoff(**whole).write(path)
        done = run("check", path, "--format", "json", *words)
        assert done.err == ""
        return done.code, done.json["verdicts"]

    return call


def ids(verdict):
    return {finding["id"] for finding in verdict["findings"]}


def test_the_json_twin_has_exactly_its_keys(run, tmp_path):
    path = RawHandoff(rows=EXPOSED, deposits=PAGES).write(tmp_path / "h")
    told = run("check", path, "--kernel", "6.1", "--format", "json").json
    assert set(told) == {"schema", "kind", "verdicts"}
    assert (told["schema"], told["kind"]) == (1, "verdicts")
    (verdict,) = told["verdicts"]
    assert set(verdict) == {"kernel", "verdict", "findings", "judged_on"}
    assert verdict["judged_on"]["config"] == "assumed"
    assert (verdict["kernel"], verdict["verdict"]) == ("6.1", "unsafe")
    for finding in verdict["findings"]:
        assert set(finding) == {"id", "level", "message", "source", "extents"}
    usable = next(f for f in verdict["findings"] if f["id"] == "usable-as-ram")
    assert usable["level"] == "unsafe"
    assert usable["extents"] == [[0x40000, 2]]
    assert usable["source"]


def test_a_carved_table_is_safe_for_all(judge):
    code, verdicts = judge()
    assert code == 0
    assert len(verdicts) > 15
    assert {one["verdict"] for one in verdicts} == {"safe"}


def test_a_list_may_name_all_and_the_newest(judge, monkeypatch):
    # What is in /boot differs by machine.
    monkeypatch.setattr(installed_kernels, "installed_kernels", list)
    _, every = judge("--kernel", "all")
    _, listed = judge("--kernel", "newest,all,6.1")
    assert [one["kernel"] for one in listed] == [one["kernel"] for one in every]
    _, (last,) = judge("--kernel", "newest")
    assert last["kernel"] == every[-1]["kernel"]


def test_a_deposit_that_is_ram_is_unsafe_for_all(judge):
    code, verdicts = judge(rows=EXPOSED)
    assert code == 1
    assert {one["verdict"] for one in verdicts} == {"unsafe"}
    assert all({"usable-as-ram", "not-monotone"} <= ids(one) for one in verdicts)


def test_a_table_that_relies_on_overlap_is_not_monotone(judge):
    code, verdicts = judge("--kernel", "4.4", rows=LAID_OVER)
    assert (code, verdicts[0]["verdict"]) == (1, "degraded")
    assert ids(verdicts[0]) == {"not-monotone"}


def test_without_an_image_a_release_that_randomises_has_one_of_usual_size(judge):
    _, (old, new) = judge("--kernel", "4.4,6.1", rows=LAID_OVER)
    assert old["verdict"] == "degraded"
    assert new["verdict"] == "unsafe"
    assert ids(new) == {
        "touched-by-decompressor",
        "not-monotone",
        "window-assumed",
        "config-assumed",
    }
    _, (still,) = judge("--kernel", "6.1", rows=LAID_OVER, cmdline=b"nokaslr")
    assert still["verdict"] == "degraded"
    code, (safe,) = judge("--kernel", "6.1")
    assert (code, ids(safe)) == (0, set())


def test_a_kernel_that_randomises_may_land_in_a_laid_over_deposit(judge, tmp_path):
    image = tmp_path / "vmlinuz"
    image.write_bytes(rawbytes.bzimage())
    code, verdicts = judge("--kernel", str(image), rows=LAID_OVER)
    assert (code, verdicts[0]["verdict"]) == (1, "unsafe")
    assert "touched-by-decompressor" in ids(verdicts[0])
    code, _ = judge("--kernel", str(image))
    assert code == 0


@pytest.mark.parametrize("row", [(GIB, 1 << 63, 1), (GIB, (1 << 64) - GIB, 1)])
def test_ram_that_reaches_the_top_is_seen(judge, row):
    rows = (*TABLE[:3], (GIB, 0x2000, 2), row)
    _, verdicts = judge("--kernel", "6.1", rows=rows)
    assert "not-monotone" in ids(verdicts[0])


def test_type_128_is_memory_and_counts_as_such(judge):
    rows = (*TABLE, (GIB, 0x1000, 128))
    for kernel in ("6.1", "7.3"):
        _, verdicts = judge("--kernel", kernel, rows=rows)
        assert "not-monotone" in ids(verdicts[0])


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        ({"page_addr": GIB}, "boot_params"),
        ({"line_addr": GIB - 1}, "command line"),
        ({"line_addr": GIB - 2047}, "command line"),
        ({"nodes": [(GIB + 0x1FFF, 9, b"")]}, "setup_data node 0"),
        ({"nodes": [(0x102000, 9, b"x"), (GIB - 16, 9, b"x")]}, "setup_data node 1"),
        (
            {"nodes": [(0x102000, 0x80000009, bytes(8) + b"\0\0\0\x40" + bytes(12))]},
            None,
        ),
    ],
    ids=["page", "line", "line copied whole", "node", "second node", "no target"],
)
def test_a_part_in_a_deposit_is_read_by_every_kernel(judge, parts, what):
    code, verdicts = judge("--kernel", "2.6.32,7.3", **parts)
    if what is None:
        assert code == 0
        return
    assert code == 1
    for verdict in verdicts:
        assert verdict["verdict"] == "unsafe"
        found = [f for f in verdict["findings"] if f["id"] == "part-in-deposit"]
        assert what in found[0]["message"]
        assert set(map(tuple, found[0]["extents"])) <= {(0x40000, 1), (0x40001, 1)}


@pytest.mark.parametrize(
    ("page", "code"), [(0, 1), (1, 0), (0x7F, 0), (0x80, 1), (0x9E, 1), (0x100, 0)]
)
def test_low_memory_is_searched_for_tables_whatever_the_map_says(judge, page, code):
    """As 6.1 and 7.3 did in QEMU with all of conventional memory RESERVED."""
    pages = [(page, 1)]
    rows = tuple(with_reserved(ROWS, pages))
    found = judge("--kernel", "6.1", rows=rows, deposits=pages, page_addr=2 * GIB)
    assert found[0] == code
    assert ids(found[1][0]) == ({"firmware-table-scan"} if code else set())


def test_a_command_line_right_before_a_deposit_is_not_in_it(judge):
    assert judge("--kernel", "6.1", line_addr=GIB - 2048)[0] == 0


def test_an_initrd_in_a_deposit_is_seen(judge):
    page = rawbytes.zero_page(
        TABLE, cmd_line_ptr=0x101000, ramdisk_image=GIB - 10, ramdisk_size=11
    )
    code, verdicts = judge("--kernel", "6.1", page=page)
    assert code == 1
    assert "part-in-deposit" in ids(verdicts[0])


def test_what_an_indirect_node_points_to_is_a_part(judge):
    target = (
        b"\5\0\0\x80"
        + bytes(4)
        + (16).to_bytes(8, "little")
        + GIB.to_bytes(8, "little")
    )
    code, verdicts = judge("--kernel", "6.1", nodes=[(0x102000, 0x80000000, target)])
    assert code == 1
    assert "target" in str(verdicts[0]["findings"])


def test_a_handoff_without_deposits_says_that_there_is_nothing_to_judge(judge):
    code, verdicts = judge("--kernel", "6.1", deposits=[])
    assert (code, verdicts[0]["verdict"], ids(verdicts[0])) == (
        0,
        "safe",
        {"no-deposits"},
    )


def test_deposits_may_come_from_the_command_line(judge):
    code, verdicts = judge("--kernel", "6.1", "--deposit", "2G+4K")
    assert (code, verdicts[0]["verdict"]) == (1, "unsafe")


def test_a_lone_page_is_judged_with_the_deposits_that_are_given(run, tmp_path):
    path = tmp_path / "page"
    path.write_bytes(rawbytes.zero_page(TABLE))
    words = ("check", path, "--kernel", "6.1", "--deposit")
    assert run(*words, "1G+8K").code == 0
    assert run(*words, "1G+12K").code == 1


def test_a_deposit_that_is_there_already_is_refused(refused, tmp_path):
    path = RawHandoff(rows=TABLE, deposits=PAGES).write(tmp_path / "h")
    words = ("check", path, "--kernel", "6.1", "--deposit", "1G+4K")
    assert "deposits overlap" in refused(3, *words)


def test_a_kernel_that_is_not_known_is_never_unsafe(judge):
    code, verdicts = judge("--kernel", "9.9", rows=EXPOSED)
    assert (code, verdicts[0]["verdict"]) == (4, "unknown")
    assert ids(verdicts[0]) == {"no-verdict"}
    assert {f["level"] for f in verdicts[0]["findings"]} == {"note"}


@pytest.mark.parametrize(
    ("kernels", "rows", "code"),
    [
        ("6.1,9.9", TABLE, 4),
        ("9.9,6.1", EXPOSED, 1),
        ("6.1, 5.10 ,", TABLE, 0),
    ],
)
def test_the_worst_verdict_decides(judge, kernels, rows, code):
    assert judge("--kernel", kernels, rows=rows)[0] == code


def test_a_kernel_is_judged_once(judge):
    _, verdicts = judge("--kernel", "6.1,6.1,5.10")
    assert [one["kernel"] for one in verdicts] == ["6.1", "5.10"]


@pytest.mark.parametrize("kernels", ["", ",", " , "])
def test_a_verdict_on_no_kernel_is_none(refused, tmp_path, kernels):
    path = RawHandoff(rows=TABLE, deposits=PAGES).write(tmp_path / "h")
    assert "names no kernel" in refused(2, "check", path, "--kernel", kernels)
    words = ("check", path, "--boot", "--kernel", kernels)
    assert "names no kernel" in refused(2, *words)


def test_a_release_between_two_known_ones_says_so(judge):
    _, verdicts = judge("--kernel", "6.3,6.1.99-custom")
    assert [ids(one) for one in verdicts] == [{"profile-between"}, set()]
    assert {one["verdict"] for one in verdicts} == {"safe"}


def test_a_file_called_like_a_release_is_meant_only_with_its_folder(
    run, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    RawHandoff(rows=TABLE, deposits=PAGES).write(tmp_path / "h")
    (tmp_path / "6.1").write_bytes(rawbytes.bzimage(text=b"5.10.0"))
    (tmp_path / "a,b").write_bytes(rawbytes.bzimage())
    assert "6.1       safe" in run("check", "h", "--kernel", "6.1").out
    assert "./6.1" not in run("check", "h", "--kernel", "6.1").out
    assert run("check", "h", "--kernel", "./6.1").out.startswith("kernel")
    done = run("check", "h", "--kernel", "a,b", "--format", "json")
    assert [one["kernel"] for one in done.json["verdicts"]] == ["a,b"]
    words = ("--dry-run", "--keep", "kept")
    assert "kept/stub.elf" in run("boot", "h", "--kernel", "a,b", *words).out


def test_nobodys_file_is_written_over_by_what_a_boot_keeps(run, tmp_path):
    path = RawHandoff(rows=TABLE, deposits=PAGES).write(tmp_path / "h")
    image, mine = tmp_path / "vmlinuz", tmp_path / "kept" / "report.txt"
    image.write_bytes(rawbytes.bzimage())
    mine.parent.mkdir()
    mine.write_text("mine")
    done = run("boot", path, "--kernel", image, "--keep", mine.parent)
    assert done.code == 3
    assert f"{str(mine)!r} is there and not of a boot that was kept" in done.err
    assert [one.name for one in mine.parent.iterdir()] == ["report.txt"]
    assert mine.read_text() == "mine"


def test_a_kernel_without_room_has_no_verdict(run, tmp_path):
    """Where nobody can load it, nobody can say what it would touch."""
    rows = ((0, 0x9F000, 1), (0x100000, 8 * MIB, 1))
    path = RawHandoff(rows=rows, deposits=[(0x300, 1)]).write(tmp_path / "h")
    image = tmp_path / "vmlinuz"
    image.write_bytes(rawbytes.bzimage())
    done = run("check", path, "--kernel", image)
    assert done.code == 4
    assert "unknown" in done.out
    assert "no place for the kernel" in done.out


def test_releases_are_words_and_not_numbers(run, tmp_path):
    """A table that took 5.10 for a number would print 5.1."""
    path = RawHandoff(rows=TABLE, deposits=PAGES).write(tmp_path / "h")
    lines = run("check", path, "--kernel", "5.10").out.splitlines()
    assert lines[:2] == ["kernel    verdict    findings", "5.10      safe       -"]
    known = "judged on: model; no image; configuration assumed; kernel's place assumed"
    assert lines[2:] == ["", f"{known}; memory devices unknown"]


def test_a_finding_that_many_kernels_share_is_told_once(run, tmp_path):
    path = RawHandoff(rows=EXPOSED, deposits=PAGES).write(tmp_path / "h")
    done = run("check", path, "--kernel", "6.1,6.6,9.9")
    lines = done.out.splitlines()
    assert lines.count("!! usable-as-ram (6.1, 6.6)") == 1
    assert "   no-verdict (9.9)" in lines
    found = ["usable-as-ram,", "touched-by-decompressor,", "not-monotone,"]
    assert lines[1].split() == ["6.1", "unsafe", *found, "window-assumed"]
    all_of_them = run("check", path, "--kernel", "6.1,6.6").out
    assert "!! usable-as-ram (all kernels)" in all_of_them


def test_a_tampered_tree_is_a_finding(run, machine, tmp_path):
    """Stock kexec-tools would make the deposit RAM."""
    out = tmp_path / "out"
    run("build", machine, "-o", out, "--deposit", "1G+8K")
    (out / "memmap/3/type").write_text("System RAM\n")
    done = run("check", out, "--kernel", "6.1", "--format", "json")
    assert done.code == 1
    assert "memmap-tree-differs" in ids(done.json["verdicts"][0])


def test_a_fallback_map_is_told(judge):
    code, verdicts = judge(
        "--kernel", "6.1,7.3", rows=(ROWS[2],), deposits=[(0xC0100, 1)]
    )
    assert code == 1
    assert "fallback-map" in ids(verdicts[0])


def test_an_image_is_judged_by_its_model_without_the_laboratory(tmp_path):
    image = tmp_path / "vmlinuz"
    image.write_bytes(rawbytes.bzimage())
    handoff = tmp_path / "handoff"
    RawHandoff(rows=TABLE, deposits=PAGES).write(handoff)
    code = (
        "import sys; from e820pool.cli import main; main(sys.argv[1:]);"
        " sys.exit(any(n.startswith('e820pool.lab') for n in sys.modules))"
    )
    words = [sys.executable, "-c", code, "check", handoff, "--kernel", image]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert str(image) in done.stdout


def test_a_configuration_decides_what_kaslr_may_hit(judge, tmp_path):
    """RESERVED laid over RAM is hit by KASLR: only a kernel without it is safe."""
    config, image = tmp_path / "without-kaslr", tmp_path / "vmlinuz"
    config.write_text("# CONFIG_RANDOMIZE_BASE is not set\n")
    image.write_bytes(rawbytes.bzimage())
    for words, word in (((), "unsafe"), (("--config", config), "degraded")):
        _, (verdict,) = judge("--kernel", image, *words, rows=LAID_OVER)
        assert verdict["verdict"] == word


def test_the_configuration_inside_an_image_counts(judge, tmp_path):
    text = b"# CONFIG_RANDOMIZE_BASE is not set\n"
    for carried, word in ((b"", "unsafe"), (text, "degraded")):
        kernel = b"\x7fELF" + b"IKCFG_ST" + gzip.compress(carried) + b"IKCFG_ED"
        image = tmp_path / f"vmlinuz-{word}"
        image.write_bytes(rawbytes.bzimage(payload=gzip.compress(kernel)))
        _, (verdict,) = judge("--kernel", image, rows=LAID_OVER)
        assert verdict["verdict"] == word


def test_a_configuration_is_for_the_model_only(run, tmp_path):
    path = RawHandoff(rows=TABLE, deposits=PAGES).write(tmp_path / "h")
    done = run("check", path, "--boot", "--config", "x")
    assert done.code == 2
    assert "--config is for the model" in done.err
    done = run("check", "--jsonl", "-", "--config", "x")
    assert done.code == 2


def test_the_kernel_that_starts_it_is_part_of_the_question(judge):
    code, (old, new) = judge("--kernel", "5.10.223,6.1", "--from", "6.12")
    assert code == 1
    assert "five-level-paging" in ids(old)
    assert old["verdict"] == "degraded"
    assert "on a processor with la57" in old["findings"][0]["message"]
    assert new["verdict"] == "safe"
    code, (old,) = judge("--kernel", "5.10.223", "--from", "6.1")
    assert (code, old["verdict"]) == (0, "safe")


def test_the_kernel_that_starts_it_is_a_matter_of_the_model(run, tmp_path):
    path = RawHandoff(rows=TABLE, deposits=PAGES).write(tmp_path / "h")
    told = run("check", path, "--kernel", "6.1", "--from", "6.12", "--boot")
    assert told.code == 2
    assert "--from" in told.err
    assert run("check", path, "--kernel", "6.1", "--from", "9.9").code == 4
