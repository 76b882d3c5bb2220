"""judge() and judge_boot(): one answer for one question, whoever asks."""

import struct
from dataclasses import replace

import pytest
import rawbytes
from compat_cases import check
from rawhandoff import GIB, MIB

from e820pool.abi.boot_params import encode_boot_params
from e820pool.abi.e820 import table_of
from e820pool.compat import (
    check_input,
    judge,
    judge_boot,
    judge_each,
    judge_machine,
)
from e820pool.compat.check_records import check_record
from e820pool.compat.verdict_documents import VerdictDocument
from e820pool.deposits import DepositLedger
from e820pool.extents import ExtentSet, Span
from e820pool.handoff.build import BuildOptions, build_handoff
from e820pool.handoff.placement import ASSUMED_WINDOW
from e820pool.kernel.boot_input import BootInput, boot_input
from e820pool.kernel.early_boot import predict_input
from e820pool.kernel.profiles import known_releases, profile_for
from e820pool.lab.boot import BootOutcome
from e820pool.lab.chain_hop import HopFacts, hop_of
from e820pool.lab.chain_port import NextKernel
from e820pool.lab.guest_ram import GuestRam, RamLayout
from e820pool.lab.guest_report import GuestReport
from e820pool.lab.machine_view import SeenBoot
from e820pool.loading.bind import bind_kernel
from e820pool.loading.kernel_file import KernelFile
from e820pool.memory_map import MemoryMap
from e820pool.pool.designs import design_cell
from e820pool.report.compare import booted_of

MACHINE = MemoryMap.of(
    ((0, 0x9_F000, 1), (0x9_F000, 0x6_1000, 2), (MIB, 2047 * MIB, 1))
)
LEDGER = DepositLedger.of_ranges([(1 * GIB, 1 * GIB + 256 * MIB)])
WINDOW = Span(16 * MIB, 80 * MIB)
PROFILE = profile_for("6.1")


def overlaid():
    """Return a handoff whose deposit is RESERVED on top of RAM, bound to a kernel."""
    handoff = build_handoff(MACHINE, LEDGER, BuildOptions(encoding="overlaid"))
    return replace(handoff, kernel_window=WINDOW)


def booted(handoff, profile, start):
    """Return a boot in which KASLR chose an address, as its console would show it."""
    place = Span.at(start, 32 * MIB)
    inp = replace(boot_input(handoff), kernel_range=place)
    view = predict_input(inp, profile)
    hit = ExtentSet([place.pages_inside()]) & handoff.ledger.extents
    view = replace(view, engine="machine", kaslr=None, touched_deposits=hit)
    return SeenBoot(handoff=handoff, view=view)


class TestBoots:
    def test_where_kaslr_went_is_no_difference(self):
        record = booted(overlaid(), PROFILE, GIB)
        found = judge_boot(record, PROFILE)
        assert found.differences == ()
        assert found.verdict.verdict == "unsafe"
        ids = {one.id for one in found.model.findings}
        assert {"touched-by-decompressor", "forced-to-ram-by-kernel-image"} <= ids
        assert "model-differs" not in {one.id for one in found.verdict.findings}

    def test_compare_says_the_same_of_the_same_boot(self):
        record = booted(overlaid(), PROFILE, GIB)
        cell = design_cell(MACHINE, LEDGER, "overlaid", PROFILE)
        kernel = KernelFile(name="6.1", image=rawbytes.bzimage())
        seen = booted_of(cell, BootOutcome(kernel=kernel, record=record), PROFILE)
        assert seen.reasons == judge_boot(record, PROFILE).differences == ()
        assert seen.verdict == VerdictDocument.of(judge_boot(record, PROFILE).machine)
        assert seen.agrees
        alone = judge_machine(record, PROFILE)
        assert alone == judge_boot(record, PROFILE).machine
        assert alone.judged_on.by == "machine"

    def test_other_memory_is_one(self):
        record = booted(overlaid(), PROFILE, 512 * MIB)
        assert judge_boot(record, PROFILE).differences == ()
        less = replace(record.view, memory=record.view.memory[:-1])
        found = judge_boot(replace(record, view=less), PROFILE)
        assert [one.field for one in found.differences] == ["memory[2]"]
        assert found.verdict.findings[-1].id != "no-verdict"
        assert "model-differs" in {one.id for one in found.verdict.findings}


class TestConfiguration:
    """What a kernel was built with decides, in every command."""

    NO_KASLR = profile_for("6.1", {"RANDOMIZE_BASE": False})

    @pytest.mark.parametrize("encoding", ["memmap-list", "memmap-args"])
    def test_without_kaslr_no_limit_of_its_memmap_list_counts(self, encoding):
        ledger = DepositLedger.of_ranges(
            (at * MIB, at * MIB + 4096) for at in range(128, 512, 64)
        )

        def ids(profile):
            found = design_cell(MACHINE, ledger, encoding, profile).verdict.findings
            return {one.id for one in found}

        assert "memmap-limit" in ids(PROFILE)
        assert "memmap-limit" not in ids(self.NO_KASLR)

    @pytest.mark.parametrize(
        ("encoding", "release", "on", "touches"),
        [
            ("kho", "6.18", True, False),
            ("kho", "6.18", False, True),
            ("kho", "7.3", True, True),
            ("kho-v4", "7.3", True, False),
            ("kho-v4", "7.2", True, False),
            ("kho-v4", "7.2", False, True),
            ("kho-v4", "6.18", True, True),
        ],
    )
    def test_a_kernel_keeps_what_a_handover_of_its_own_abi_preserves(
        self, encoding, release, on, touches
    ):
        """One of kho-v1 is refused by 7.2 and later, which want kho-v4."""
        pytest.importorskip("libfdt", reason="pip install pylibfdt")
        profile = profile_for(release, {"KEXEC_HANDOVER": on})
        verdict = design_cell(MACHINE, LEDGER, encoding, profile).verdict
        found = {one.id for one in verdict.findings}
        assert ("usable-as-ram" in found) is touches
        assert verdict.verdict == ("unsafe" if touches else "safe")
        assert ("not-monotone" in found) is touches
        assert "kho-scratch-overlap" not in found

    @pytest.mark.parametrize("kaslr", ["y", "n"])
    def test_a_hop_of_a_chain_is_judged_as_the_kernel_was_built(self, kaslr):
        hop = hop_of(facts_with(f"CONFIG_RANDOMIZE_BASE={kaslr}\n"))
        ids = {one.id for one in hop.predicted.findings}
        assert ("memmap-limit" in ids) == (kaslr == "y")

    @pytest.mark.parametrize("has_handover", [False, True])
    def test_a_kernel_without_handover_is_judged_beside_a_node_that_is_none_to_it(
        self, has_handover
    ):
        """It has overwritten what the node names; segments went to scratch areas."""
        first = facts_with("")
        frames = {"boot_params": first.report.frames["boot_params"]}
        if has_handover:
            payload = struct.pack("<4Q", 0x20_0000, 64, 0x30_0000, 32)
            frames |= {"setup_data/0/type": b"10\n", "setup_data/0/data": payload}
        layout = RamLayout(low_bytes=64 * MIB)
        with GuestRam(layout) as now, GuestRam(layout) as left:
            now.restore(0x30_0000, b"\x96" * 4096)
            hop = hop_of(
                replace(
                    first,
                    entered="kexec-file",
                    before=hop_of(first),
                    starter=first.kernel,
                    report=GuestReport(frames=frames),
                    memory=(now, left),
                )
            )
        found = {one.id for one in hop.predicted.findings}
        assert hop.predicted.verdict == "unsafe"
        assert ("part-in-deposit" in found) == (not has_handover)


def facts_with(config):
    """Return what a chain saw of a 6.1 that was given deposits as memmap= words."""
    ledger = DepositLedger.of_ranges(
        (at * MIB, at * MIB + 4096) for at in range(128, 512, 64)
    )
    handoff = build_handoff(MACHINE, ledger, BuildOptions(encoding="memmap-args"))
    image = rawbytes.bzimage()
    bound = bind_kernel(handoff, image)
    frames = {"boot_params": encode_boot_params(bound.handoff.boot_params)}
    return HopFacts(
        kernel=KernelFile(name="6.1", image=image, config=config),
        entered="boot",
        starter=None,
        started=NextKernel(bound=bound, image=image, initrd=b""),
        before=None,
        report=GuestReport(frames=frames),
        console=b"",
        touched=ExtentSet(),
        changed=ExtentSet(),
        withdrawn=ExtentSet(),
        touched_withdrawn=ExtentSet(),
        late=ExtentSet(),
        touched_late=ExtentSet(),
        firmware_map=MACHINE,
        seconds=1.0,
    )


class TestModel:
    def test_a_place_for_the_kernel_is_assumed_where_none_is_known(self):
        handoff = build_handoff(MACHINE, LEDGER, BuildOptions(encoding="overlaid"))
        verdict = judge(handoff, PROFILE)
        assert verdict.view.load_window == ASSUMED_WINDOW
        assert {"touched-by-decompressor", "window-assumed"} <= {
            one.id for one in verdict.findings
        }
        bare = check(handoff, PROFILE)
        assert bare.view.load_window is None
        bound = judge(replace(handoff, kernel_window=WINDOW), PROFILE)
        assert bound.view.load_window == WINDOW
        assert "window-assumed" not in {one.id for one in bound.findings}

    def test_each_of_many_is_what_it_is_alone(self):
        handoff = build_handoff(MACHINE, LEDGER)
        profiles = [profile_for(release) for release in known_releases()]
        assert list(judge_each(handoff, profiles)) == [
            judge(handoff, profile) for profile in profiles
        ]

    def test_a_record_of_the_bulk_form_is_judged_as_its_handoff_is(self):
        rows = [*MACHINE.rows(), (GIB, 256 * MIB, 2)]
        record = {"kernel": "6.1", "e820": rows, "deposits": [[GIB >> 12, 1 << 16]]}
        handoff = build_handoff(MACHINE, DepositLedger())
        page = handoff.boot_params.with_table(table_of(rows))
        handoff = replace(handoff, boot_params=page, ledger=LEDGER, nodes=())
        assert check_record(record) == judge(handoff, PROFILE)

    def test_what_the_machine_did_is_judged_in_place_of_the_model(self):
        handoff = build_handoff(MACHINE, LEDGER)
        view = check(handoff, PROFILE).view
        taken = replace(view, memory=(Span.at(MIB, 2047 * MIB),))
        assert check(handoff, PROFILE, view).verdict == "safe"
        assert check(handoff, PROFILE, taken).findings[0].id == "usable-as-ram"

    def test_a_kernel_without_a_model_is_judged_by_what_it_touched(self):
        from e820pool.kernel.profiles import profile_without_model

        profile = profile_without_model("9.9")
        rows = (*MACHINE.rows(), (GIB, 256 * MIB, 128))
        inp = BootInput(table=table_of(rows))
        view = replace(check(overlaid(), PROFILE).view, kernel="9.9")
        ids = {
            one.id for one in check_input(LEDGER.extents, inp, profile, view).findings
        }
        assert "type-128" not in ids
        touched = replace(view, touched_deposits=LEDGER.extents)
        found = check_input(LEDGER.extents, inp, profile, touched)
        assert (found.kernel, found.findings[0].id) == ("9.9", "touched")
