"""compare: the matrix as table, JSON and picture."""

import sys
import xml.etree.ElementTree as ET

import pytest

pytest.importorskip("libfdt", reason="pip install pylibfdt")

LOG = """\
BIOS-e820: [mem 0x0000000000000000-0x000000000009efff] usable
BIOS-e820: [mem 0x000000000009f000-0x00000000000fffff] reserved
BIOS-e820: [mem 0x0000000000100000-0x000000001fffffff] usable
"""
DEPOSITS = [f"{at}M+12K" for at in (128, 200, 260, 320, 380, 440)]


@pytest.fixture
def machine(tmp_path):
    path = tmp_path / "machine.txt"
    path.write_text(LOG)
    return path


@pytest.fixture
def compare(run, machine):
    """Return a function that compares with six deposits."""

    def call(*words, kernel="6.1,7.3"):
        given = [word for one in DEPOSITS for word in ("--deposit", one)]
        return run("compare", machine, *given, "--kernel", kernel, *words)

    return call


def test_the_table_has_a_row_an_encoding_and_a_column_a_kernel(compare):
    done = compare()
    assert done.code == 0
    rows = {
        line.split()[0]: line.split()[1:]
        for line in done.out.split("\n\n")[0].splitlines()[1:]
    }
    assert rows["encoding"] == ["6.1", "7.3"]
    assert rows["split"] == ["safe", "safe"]
    assert rows["kern-128"] == ["unsafe", "degraded"]
    assert rows["series-v2"] == ["unsafe", "unsafe"]
    known = [line for line in done.out.splitlines() if line.startswith("judged on")]
    assert "judged on" in known[0]
    assert all("memory devices unknown" in line for line in known)
    assert len(rows) >= 12


def test_json_has_a_cell_for_each_pair(compare):
    done = compare("--encoding", "split,memmap-list", "--format", "json")
    told = done.json
    assert (told["schema"], told["kind"]) == (1, "comparison")
    assert told["kernels"] == ["6.1", "7.3"]
    assert told["nr_deposited_pages"] == 18
    cells = {(one["encoding"], one["kernel"]): one for one in told["cells"]}
    assert len(cells) == 4
    split = cells["split", "6.1"]
    assert split["verdict"]["verdict"] == "safe"
    assert (split["nr_entries"], split["rebuildable"]) == (15, True)
    assert split["survives"] == {"kexec-load": True, "kexec-file": True}
    assert split["booted"] is None
    assert cells["memmap-list", "7.3"]["survives"]["kexec-file"] is False


def test_the_picture_is_xml_with_a_box_a_cell(compare):
    done = compare("--encoding", "split,kern-128", "--format", "svg")
    root = ET.fromstring(done.out)  # noqa: S314  our own document
    boxes = [one for one in root.iter() if one.tag.endswith("rect")]
    assert len(boxes) == 1 + 4
    words = [one.text or "" for one in root.iter() if one.tag.endswith("text")]
    assert {"safe", "unsafe", "degraded"} <= set(words)


def test_an_encoding_that_cannot_be_built_is_a_cell_and_no_error(run, machine):
    many = [word for at in range(100, 500, 2) for word in ("--deposit", f"{at}M+4K")]
    done = run(
        "compare", machine, *many, "--kernel", "6.1", "--encoding", "memmap-args"
    )
    assert done.code == 0
    assert "no handoff" in done.out
    reason = done.out.split("\nno handoff:\n")[1].splitlines()[0]
    assert reason.startswith("memmap-args: ")
    assert "2047" in reason


def test_without_pylibfdt_the_table_says_why_a_row_is_empty(run, machine, monkeypatch):
    monkeypatch.setitem(sys.modules, "libfdt", None)
    some = ("--kernel", "6.1,7.3", "--encoding", "guarded,kho")
    done = run("compare", machine, "--deposit", "128M+4K", *some)
    assert done.code == 0
    assert done.out.count("pip install pylibfdt") == 1
    assert "\nno handoff:\nkho: a device tree needs pylibfdt" in done.out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--kernel", "6.1"], 3, "nothing is deposited"),
        (["--deposit", "128M+4K", "--encoding", "magic"], 3, "'magic' is not one of"),
        (["--deposit", "128M+4K", "--kernel", "9.9"], 4, "kernel not known"),
        (["--deposit", "600M+4K", "--kernel", "6.1"], 3, "not inside RAM"),
    ],
)
def test_what_cannot_be_compared_is_one_line(run, machine, words, code, said):
    done = run("compare", machine, *words)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
