"""From a map and deposits to a handoff, and back to the same ledger."""

import json
import struct

import pytest
import rawbytes
from rawhandoff import (
    GIB,
    MIB,
    ROWS,
    RawHandoff,
    drop_record,
    entries_of,
    map_file,
    set_type,
    with_reserved,
)

# 64 GiB in one piece, of which 200 pages with gaps between make 401 entries.
ISLANDS = [f"{GIB * 8 + i * MIB:#x}+8K" for i in range(200)]


def options(ranges):
    return [word for text in ranges for word in ("--deposit", text)]


@pytest.fixture
def built(ok, machine, out):
    """Return a function that builds a handoff directory from ranges."""

    def call(*words):
        ok("build", machine, "-o", out, *words)
        return out

    return call


def extents(done):
    return done.json["extents"]


@pytest.mark.parametrize(
    ("ranges", "wanted"),
    [
        (["1G+2M"], [[0x40000, 0x200]]),
        (["0x40000000-0x401fffff"], [[0x40000, 0x200]]),
        (["1G+4K", "0x40001000+4K"], [[0x40000, 2]]),
        (
            ["6G+1G", "1G+2M", "5G+12K"],
            [[0x40000, 512], [0x140000, 3], [0x180000, 1 << 18]],
        ),
        (["1M+4K"], [[0x100, 1]]),
        (["0xbffff000-0xbfffffff"], [[0xBFFFF, 1]]),
        ([], []),
    ],
    ids=["size", "end", "adjacent", "unsorted", "low", "last", "none"],
)
def test_what_was_deposited_is_rebuilt(run, built, ranges, wanted):
    done = run("rebuild", built(*options(ranges)), "--format", "json")
    if wanted:
        assert (done.code, extents(done)) == (0, wanted)
    else:
        assert (done.code, extents(done)) == (1, None)
        assert [f["id"] for f in done.json["findings"]] == ["record-missing"]


def test_adjacent_deposits_of_two_owners_stay_two(ok, built, tmp_path):
    deposits = [
        {"base_pfn": 0x40000, "nr_pages": 2, "owner": 7},
        {"base_pfn": 0x40002, "nr_pages": 1, "owner": (1 << 64) - 1},
        [0x50000, 4],
    ]
    path = tmp_path / "deposits.json"
    document = {"schema": 1, "kind": "deposits", "deposits": deposits}
    path.write_text(json.dumps(document), encoding="utf-8")
    out = built("--deposit", f"@{path}", "--owner", "0x9", "--deposit", "5G+4K")
    told = ok("rebuild", out, "--format", "json").json
    assert told["extents"] == [[0x40000, 3], [0x50000, 4], [0x140000, 1]]
    assert [d["owner"] for d in told["deposits"]] == [7, (1 << 64) - 1, 9, 9]
    assert {d["firmware_type"] for d in told["deposits"]} == {1}


def test_a_text_file_of_deposits_has_the_owner_of_the_command_line(ok, built, tmp_path):
    path = tmp_path / "deposits.txt"
    path.write_text("# partition 5\n1G+8K\n0x50000000-0x50000fff\n", encoding="utf-8")
    told = ok(
        "rebuild", built("--deposit", f"@{path}", "--owner", 5), "--format", "json"
    )
    assert extents(told) == [[0x40000, 2], [0x50000, 1]]
    assert [d["owner"] for d in told.json["deposits"]] == [5, 5]


def test_the_generation_is_handed_on(ok, built):
    told = ok(
        "rebuild", built("--deposit", "1G+4K", "--generation", 41), "--format", "json"
    )
    assert told.json["generation"] == 41
    assert told.json["carrier"] == "setup_data"


def test_the_record_is_what_an_independent_writer_would_write(built):
    out = built("--deposit", "1G+8K", "--owner", 3, "--generation", 2)
    node = (out / "setup_data-0.bin").read_bytes()
    digest = node[16 + 0x30 : 16 + 0x40]
    wanted = rawbytes.pool_record([(0x40000, 2, 3, 1)], generation=2, digest=digest)
    assert node[16:] == wanted
    assert digest != bytes(16)


def test_many_deposits_spill_in_address_order(ok, built):
    out = built(*options(ISLANDS))
    entries = list(entries_of(out))
    addrs = [addr for _, _, addr, _, _ in entries]
    assert addrs == sorted(addrs)
    assert len(entries) == len(ROWS) + 400
    files = [name for name, *_ in entries]
    assert files == ["boot_params.bin"] * 128 + ["setup_data-0.bin"] * (
        len(entries) - 128
    )
    assert len(extents(ok("rebuild", out, "--format", "json"))) == 200


@pytest.mark.parametrize("count", [61, 62])
def test_exactly_128_entries_need_no_spill(built, count):
    out = built(*options(ISLANDS[:count]))
    spilled = [name for name, *_ in entries_of(out) if name != "boot_params.bin"]
    assert len(spilled) == max(0, len(ROWS) + 2 * count - 128)


def test_whichever_deposit_is_made_ram_there_is_no_pool(run, built):
    """Both in the zero page and in the SETUP_E820_EXT node."""
    ranges = [*ISLANDS[:3], *ISLANDS[100:103], ISLANDS[-1]]
    out = built(*options(ISLANDS))
    seen = set()
    for text in ranges:
        addr = int(text.partition("+")[0], 16)
        seen |= {name for name, _, a, _, _ in entries_of(out) if a == addr}
        set_type(out, addr, 1)
        done = run("rebuild", out, "--format", "json")
        assert (done.code, extents(done), done.err) == (1, None, "")
        assert "extent-is-ram" in {f["id"] for f in done.json["findings"]}
        assert run("check", out, "--kernel", "6.1").code == 1
        set_type(out, addr, 2)
    assert seen == {"boot_params.bin", "setup_data-0.bin"}
    assert run("rebuild", out).code == 0


def test_a_refusal_names_the_pages_in_words_too(run, built):
    out = built("--deposit", "1G+8K")
    set_type(out, GIB, 1)
    done = run("rebuild", out)
    assert done.code == 1
    assert done.out.startswith("no pool: refused\n!! extent-is-ram: 0x2 page(s)")
    assert "[0x40000, 0x40002)" in done.out


@pytest.mark.parametrize("kind", [3, 4, 5, 7, 12, 128, 0xEFFFFFFF])
def test_a_deposit_of_another_type_is_no_pool_either(run, built, kind):
    out = built("--deposit", "1G+8K")
    set_type(out, GIB, kind)
    assert run("rebuild", out).code == 1


def test_without_a_record_the_firmware_map_tells_the_pool(run, ok, built, machine):
    out = built("--deposit", "1G+8K", "--deposit", "5G+4K")
    drop_record(out)
    done = run("rebuild", out, "--format", "json")
    assert (done.code, done.json["extents"]) == (1, None)
    told = run("rebuild", out, "--firmware-map", machine, "--format", "json")
    assert (told.code, told.err) == (0, "")
    assert told.json["extents"] == [[0x40000, 2], [0x140000, 1]]
    assert told.json["carrier"] == "inference"
    assert [f["id"] for f in told.json["findings"]] == ["inferred"]
    set_type(out, 5 * GIB, 1)
    told = ok("rebuild", out, "--firmware-map", machine, "--format", "json")
    assert told.json["extents"] == [[0x40000, 2]]


def test_a_handoff_without_a_carrier_is_inferred_as_well(ok, built, machine):
    out = built("--deposit", "1G+8K", "--carrier", "none")
    assert not list(out.glob("setup_data*"))
    told = ok("rebuild", out, "--firmware-map", machine, "--format", "json")
    assert extents(told) == [[0x40000, 2]]


def test_a_record_may_be_left_out_of_account(ok, refused, built, machine):
    out = built("--deposit", "1G+8K", "--owner", 6)
    told = ok(
        "rebuild", out, "--no-record", "--firmware-map", machine, "--format", "json"
    )
    assert told.json["carrier"] == "inference"
    assert [d["owner"] for d in told.json["deposits"]] == [0]
    assert "--firmware-map" in refused(2, "rebuild", out, "--no-record")


def test_a_map_of_another_machine_is_refused(run, built, tmp_path):
    out = built("--deposit", "1G+8K")
    other = map_file(tmp_path / "other.json", [*ROWS, (1 << 40, 1 << 30, 1)])
    done = run("rebuild", out, "--firmware-map", other)
    assert done.code == 1
    assert "record-other-machine" in done.out


RECORD = rawbytes.pool_record([(0x40000, 2, 0, 1)], generation=1)


def without_crc(record):
    return rawbytes.patched(record, {0x14: bytes(4)})


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (without_crc(RECORD), "CRC is 0x00000000, its bytes give 0x"),
        (rawbytes.pool_record([(0x40000, 2, 0, 1)], major=2), "version 2.0"),
        (rawbytes.pool_record([(0x40000, 2, 0, 1)], flags=0x4), "flags 0x4"),
        (b"NOTAPOOL" + RECORD[8:], "magic is 4e4f5441504f4f4c, not 45383230504f4f4c"),
        (RECORD[:-1], "record_bytes is 0x60, but only 0x5f"),
        (RECORD[:10], "10 bytes (0xa), but its header has 64"),
        (rawbytes.pool_record([(0x40000, 0, 0, 1)]), "extent 0 of 0x0 pages"),
        (rawbytes.pool_record([(1 << 40, 1, 0, 1)]), "beyond the limit 0x10000000000"),
        (
            rawbytes.pool_record([(0x40000, 2, 0, 1), (0x40001, 2, 0, 1)]),
            "extent 1 of 0x2 pages at PFN 0x40001 begins before",
        ),
        (
            rawbytes.pool_record([(0x40000, 2, 0, 1)], nr_extents=1 << 31),
            "2147483648 extents (0x80000000) need",
        ),
        (b"", "0 bytes (0x0), but its header has 64"),
    ],
    ids=[
        "crc",
        "newer",
        "flags",
        "magic",
        "cut",
        "stub",
        "empty extent",
        "beyond",
        "overlap",
        "absurd count",
        "nothing",
    ],
)
def test_a_broken_record_is_bad_input(run, tmp_path, record, message):
    pages = [(0x40000, 2)]
    out = RawHandoff(
        rows=with_reserved(ROWS, pages),
        deposits=pages,
        nodes=[(0x102000, 0x6C703865, record)],
    ).write(tmp_path / "h")
    done = run("rebuild", out)
    assert done.code == 3
    assert done.err.count("\n") == 1
    assert message in done.err
    assert done.out.startswith("no pool: refused\n")
    told = run("rebuild", out, "--format", "json")
    assert (told.code, told.json["extents"]) == (3, None)
    assert message in json.loads(told.err)["error"]


def test_an_independent_record_is_believed(ok, tmp_path):
    pages = [(0x40000, 2)]
    out = RawHandoff(
        rows=with_reserved(ROWS, pages),
        nodes=[(0x102000, 0x6C703865, RECORD)],
    ).write(tmp_path / "h")
    assert extents(ok("rebuild", out, "--format", "json")) == [[0x40000, 2]]


def test_a_newer_minor_version_is_believed_with_a_note(run, tmp_path):
    record = rawbytes.pool_record(
        [(0x40000, 2, 0, 1)], minor=3, header_more=b"more" * 2, extent_more=b"e" * 8
    )
    out = RawHandoff(
        rows=with_reserved(ROWS, [(0x40000, 2)]),
        nodes=[(0x102000, 0x6C703865, record)],
    ).write(tmp_path / "h")
    done = run("rebuild", out, "--format", "json")
    assert (done.code, extents(done)) == (0, [[0x40000, 2]])
    assert [f["id"] for f in done.json["findings"]] == ["record-newer-minor"]


def test_built_pages_are_what_their_pointers_say(built):
    out = built("--deposit", "1G+8K", "--cmdline", "quiet")
    page = (out / "boot_params.bin").read_bytes()
    segments = json.loads((out / "manifest.json").read_text())["segments"]
    addrs = {s["file"]: s["addr"] for s in segments}
    assert struct.unpack_from("<I", page, 0x228)[0] == addrs["cmdline.txt"]
    assert struct.unpack_from("<Q", page, 0x250)[0] == addrs["setup_data-0.bin"]
    assert page[0x1EF] == 0
    assert page[0x1E0:0x1E4] == bytes(4)
    assert page[0x02:0x04] == bytes(2)
    assert (out / "cmdline.txt").read_bytes() == b"quiet"


def test_the_pool_is_told_in_words(ok, built):
    out = built("--deposit", "1G+8K", "--owner", 3)
    assert ok("rebuild", out).out.splitlines() == [
        "pool: 2 pages in 1 extent (carrier: setup_data, generation 1)",
        "base_pfn      nr_pages  owner",
        "0x40000              2  0x3",
    ]


def test_a_long_pool_is_cut_and_says_so(ok, built):
    lines = ok("rebuild", built(*options(ISLANDS))).out.splitlines()
    assert lines[0].startswith("pool: 400 pages in 200 extents (")
    assert len(lines) == 2 + 40 + 1
    assert lines[-1] == "... 160 more"
