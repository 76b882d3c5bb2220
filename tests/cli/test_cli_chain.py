"""chain: what is refused before a machine is started, and how a record is told."""

import json
from dataclasses import replace

import pytest

from e820pool.compat import Difference, verdict_of
from e820pool.compat.verdict import judged_on_of
from e820pool.deposits import DepositLedger
from e820pool.extents import ByteRangeSet, ExtentSet
from e820pool.kernel.profiles import profile_for
from e820pool.kernel.view import KernelView
from e820pool.lab.chain_model import ChainOptions, ChainRecord, Dump, Hop
from e820pool.lab.guest_report import GuestReport
from e820pool.memory_map import MemoryMap
from e820pool.pool.rebuild import rebuild
from e820pool.report.chain_text import chain_json, chain_text, hop_line
from e820pool.report.chapters import read_result
from e820pool.report.mail import mail_report
from e820pool.report.page import html_report
from e820pool.report.summary import summary

MIB = 1 << 20
ROWS = ((0, 0x9_F000, 1), (MIB, 255 * MIB, 1))
LOG = "BIOS-e820: [mem 0x0000000000100000-0x000000001fffffff] usable\n" * 2
LEDGER = DepositLedger.of_ranges([(MIB, 2 * MIB)])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--kernel", "a", "--kernel", "b", "--loader", "magic"], "loader 'magic'"),
        (["--kernel", "/dev/null/x", "--kernel", "b"], "/dev/null/x"),
        (
            ["--kernel", "a", "--carrier", "pmpool", "--withdraw", "64"],
            "64 pages to withdraw: with carrier pmpool the limit is 0",
        ),
    ],
)
def test_a_chain_that_cannot_be_run_is_one_line(run, tmp_path, words, said):
    path = tmp_path / "machine.txt"
    path.write_text(LOG)
    done = run("chain", path, *words)
    assert done.code == 3
    assert done.out == ""
    assert said in done.err


def hop(**parts):
    view = KernelView(kernel="6.1", engine="machine", touched_deposits=ExtentSet())
    whole = {
        "kernel": "6.1",
        "entered": "boot",
        "given": DepositLedger(),
        "nr_entries": 2,
        "view": view,
        "model": None,
        "predicted": verdict_of("6.1", ()),
        "differences": (),
        "rebuilt": None,
        "report": GuestReport(),
        "console": b"",
        "seconds": 1.5,
    }
    return Hop(**(whole | parts))


def record(*hops, stopped=""):
    return ChainRecord(
        firmware_map=MemoryMap.of(ROWS),
        options=ChainOptions(),
        hops=hops,
        stopped=stopped,
    )


def rebuilt():
    """Return a pool that is inferred: RAM of the firmware is RESERVED now."""
    table = [(0, 0x9_F000, 1), (MIB, MIB, 2), (2 * MIB, 254 * MIB, 1)]
    return rebuild(table, None, MemoryMap.of(ROWS))


def test_a_chain_that_kept_everything_says_so():
    whole = record(
        hop(made=LEDGER.extents, nr_made=1),
        hop(entered="ours", given=LEDGER, nr_entries=4, rebuilt=rebuilt()),
    )
    assert whole.is_intact
    text = chain_text(whole)
    assert "equal (inference)" in text
    assert text.splitlines()[-1].startswith("intact over 2 kernels")


def test_what_the_model_judged_on_is_said_once_for_all_hops_that_share_it():
    known = judged_on_of(profile_for("6.1"), kernel_window="given")
    known = replace(known, memory_devices="known")
    hops = [hop(predicted=verdict_of("6.1", (), judged_on=known)) for _ in range(2)]
    lines = chain_text(record(*hops)).splitlines()
    (line,) = (line for line in lines if line.startswith("judged on"))
    assert line.endswith("configuration assumed; memory devices known")


def test_a_touched_page_and_a_lost_pool_are_told():
    touched = KernelView(
        kernel="5.10", engine="machine", touched_deposits=ExtentSet([(0x100, 0x103)])
    )
    bad = hop(
        entered="kexec-file",
        given=LEDGER,
        view=touched,
        differences=(Difference(field="memory[0]", model="a", machine="b"),),
    )
    whole = record(hop(), bad, stopped="no pool")
    assert not whole.is_intact
    text = chain_text(whole)
    assert "refused" in text
    assert "model and machine differ in memory[0]" in text
    assert text.splitlines()[-1] == "stopped: no pool"
    assert "3 touched" in hop_line(bad)


def test_a_pool_that_is_not_given_back_is_why_a_chain_is_not_intact():
    whole = record(hop(), hop(kernel="6.12", entered="ours", given=LEDGER))
    why = "6.12 has not the pool that was deposited"
    end = chain_text(whole).splitlines()[-1]
    assert end == f"not intact: {why}; no deposited page was touched"
    content = read_result(chain_json(whole), "chain.json").content
    assert summary(content).endswith(f"no page was touched, but {why}.")


def test_a_pool_that_a_live_update_brought_is_equal_in_every_form():
    """Its pages are in no table, so that none is inferred."""
    back = hop(
        entered="kexec-file",
        given=LEDGER,
        rebuilt=rebuild(ROWS, None, MemoryMap.of(ROWS)),
        returned=LEDGER.extents,
    )
    whole = record(hop(), back)
    assert "equal (live update)" in chain_text(whole)
    chapter = read_result(chain_json(whole), "chain.json")
    told = chapter.content.hops[1]
    assert (told.pool.extents, told.pool_word) == (None, "equal")
    assert "pool equal (live update)" in " ".join(mail_report([chapter]).split())
    assert "returned equal (live update)" in html_report([chapter])


def test_a_page_that_was_deposited_late_and_touched_breaks_the_hop_in_the_page():
    pages = ExtentSet([(0x200, 0x203)])
    kept = {"entered": "ours", "given": LEDGER, "rebuilt": rebuilt(), "late": pages}
    for parts, broken in ((kept, 0), ({**kept, "touched_late": pages}, 1)):
        page = html_report(
            [read_result(chain_json(record(hop(), hop(**parts))), "chain.json")]
        )
        assert page.count('class="hop broken"') == broken


def test_a_capture_kernel_says_what_its_dump_holds_or_that_there_is_none():
    held = ByteRangeSet([(MIB, 2 * MIB + 4096)])
    dump = Dump(held=held, expected=held, nr_bytes=MIB + 4096)
    whole = record(hop(), hop(entered="panic-file", given=LEDGER, dump=dump))
    assert "its dump holds 257 pages of RAM, 256 of them deposited" in chain_text(whole)
    assert "refused" not in chain_text(whole)
    chapter = read_result(chain_json(whole), "chain.json")
    assert chapter.content.hops[1].pool_word == "none"
    value = json.loads(chain_json(whole))["hops"][1]["dump"]
    assert value == {
        "pages": [[0x100, 257]],
        "expected_pages": [[0x100, 257]],
        "nr_bytes": MIB + 4096,
    }
    died = KernelView(kernel="6.1", fatal="it died", touched_deposits=ExtentSet())
    none = Dump(held=ByteRangeSet(), expected=held)
    text = chain_text(record(hop(entered="panic-file", dump=none, view=died)))
    assert "no dump: it died" in text
    assert text.splitlines()[-1].startswith("not intact: 6.1 died; no deposited page")


def test_the_json_twin_has_every_hop():
    told = json.loads(
        chain_json(record(hop(), hop(given=LEDGER, rebuilt=rebuilt(), nr_entries=4)))
    )
    assert (told["schema"], told["kind"], told["intact"]) == (1, "chain", True)
    first, second = told["hops"]
    assert first["pool"] is None
    assert second["pool"]["equal"] is True
    assert second["deposits"] == second["pool"]["extents"] == [[0x100, 0x100]]
    assert told["touched_deposits"] == []
