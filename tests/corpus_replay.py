"""Ask the model about a case of the conformance corpus; compare with what was seen."""

import re
from dataclasses import replace
from functools import lru_cache

from corpus_bytes import node_data, zero_page_of
from corpus_format import INITRD_BYTES, PLACES

from e820pool.abi.boot_params import parse_boot_params
from e820pool.abi.setup_data import (
    NODE_HEADER_BYTES,
    SETUP_INDIRECT,
    SETUP_RNG_SEED,
    SetupDataNode,
)
from e820pool.compat.pci_gap import pci_gap
from e820pool.extents import ByteRangeSet, Span
from e820pool.handoff.model import Handoff, PlacedNode
from e820pool.kernel.boot_input import EfiMemmap, boot_input
from e820pool.kernel.early_boot import predict_input
from e820pool.kernel.early_memory import max_pfn
from e820pool.kernel.memblock import early_reservations
from e820pool.kernel.profiles import profile_for
from e820pool.kernel.resources import iomem_rows, named_rows
from e820pool.kernel.state import EarlyBoot

# How a kernel puts the end that the model gives a name to.
ENDINGS = {
    "Invalid user supplied memory map": "Invalid user supplied memory map",
    "SETUP_E820_EXT node too large to map": "hung",
    "BUG: memmap= changes a type into itself": "kernel BUG at arch/x86/kernel/e820.c",
    "crash in free_area_init: memory beyond max_pfn": (
        "NULL pointer|page fault|paging request|hung"
    ),
    "BUG in extend_brk: no room for reservations": (
        "kernel BUG at arch/x86/kernel/setup.c"
    ),
    "BUG in fortified strlen(): the command line has no end": (
        "kernel BUG at lib/string_helpers.c|hung"
    ),
    "BUG in firmware_map_add_entry": (
        "kernel BUG at drivers/firmware/memmap.c|"
        "early exception 0x06 in firmware_map_add_entry"
    ),
    "crash in setup_arch: the kernel image is no memory": (
        "page fault|paging request|exception|hung|reset"
    ),
    "initrd too large to handle: half of memory or more": "initrd too large to handle",
}
ENDINGS["Out of memory: no 4 MiB in one piece"] = "Out of memory"
# The BUG comes before the kernel can print.
ENDINGS["BUG: more than 128 entries in the zero page"] = "hung|reset"
ENDINGS["Real mode trampoline was not allocated"] = (
    "Real mode trampoline was not allocated|Cannot allocate trampoline"
)
ENDINGS["stuck in reserve_bootmem_region: too much is reserved"] = "hung|memory"
ENDINGS["alloc_low_pages: can not alloc memory"] = (
    "alloc_low_pages?: (can not alloc|ran out of) memory|Failed to allocate|"
    "Cannot find space for the kernel page tables"
)
# Words of the model that a kernel prints, and the other way round.
PRINTED = {"too-many-entries", "kernel-range-not-ram", "memblock-full", "fallback-map"}
ADDRESS_BITS = 40
STARVED_BYTES = 17 << 20
BOUNCE_BYTES = 64 << 20
_LOW_END = 1 << 32
# e820_device_region(): RESERVED, PMEM, PRAM, SOFT_RESERVED.
SHARED = (2, 7, 12, 0xEFFF_FFFF)
# Reserved early by some kernels and late by others; no RAM in any case. Page 0 is
# reserved early since 4.19, and in stable updates of its time.
PAGE_0 = (0, 0x1000)
BIOS = (0x9_F000, 1 << 20)
MAPS = ("bios_map", "extended_map", "setup_data_map", "user_map")


@lru_cache(maxsize=64)
def profile_of(release, config, version):
    return profile_for(release, dict(config), version)


def profile_of_kernel(kernel):
    # Of a kernel that was built, the version is the update: the newest may differ.
    version = kernel["version"] if kernel.get("built") else ""
    return profile_of(
        kernel["release"], tuple(sorted(kernel["config"].items())), version
    )


def handoff_of(case):
    """Return the case as a handoff, parsed from its bytes."""
    places = PLACES | case.get("place", {})
    nodes = case.get("nodes") or []
    nexts = [n["addr"] for n in nodes[1:]] + [0]
    return Handoff(
        boot_params=parse_boot_params(zero_page_of(case)),
        boot_params_addr=places["boot_params"],
        nodes=tuple(
            PlacedNode(
                addr=node["addr"],
                node=SetupDataNode(type=node["type"], data=node_data(node), next=next_),
            )
            for node, next_ in zip(nodes, nexts, strict=False)
        ),
        cmdline=case["cmdline"].encode("latin-1"),
        cmdline_addr=places["cmdline"],
    )


def input_of(case):
    """Return what any kernel reads of the case."""
    inp = boot_input(handoff_of(case))
    rows = case.get("efi")
    efi = inp.efi and EfiMemmap(rows=rows and tuple(tuple(row) for row in rows))
    start = (PLACES | case.get("place", {}))["initrd"]
    return replace(inp, efi=efi, initrd=Span(start, start + INITRD_BYTES))


def input_for(inp, case, kernel, outcome, profile):
    """Return the same with what differs from kernel to kernel."""
    step = kernel["kernel_alignment"]
    at = (PLACES | case.get("place", {}))["kernel"]
    start = -(-at // step) * step
    if profile.has("decompress-floor"):
        start = max(start, kernel["pref_address"])
    landed = outcome.get("kernel")
    return replace(
        inp,
        load_window=Span(start, start + kernel["init_size"]),
        image_size=max(kernel["memory_bytes"], kernel["output_bytes"]),
        payload_start=start + kernel["init_size"] - kernel["payload_to_end"],
        kernel_range=Span(*landed) if landed else None,
    )


def replay(inp, case, kernel, outcome, profile=None):
    """Return the differences between the model and one boot."""
    profile = profile or profile_of_kernel(kernel)
    inp = input_for(inp, case, kernel, outcome, profile)
    view = predict_input(inp, profile)
    return list(differences(inp, view, outcome, profile))


def differences(inp, view, outcome, profile):
    """Yield ``(field, model, kernel)`` for each that is not as predicted."""
    yield from _ending(view, outcome)
    if outcome["end"] == "hung":
        return
    yield from _maps(view, outcome, profile)
    yield from _words(outcome, profile)
    yield from _landing(view, outcome)
    yield from _warnings(view, outcome)
    yield from _early(inp, view, outcome, profile)
    if outcome["end"] == "init":
        yield from _exports(view, outcome, profile)
        gap = pci_gap(
            view.table,
            upwards=profile.has("pci-gap-searched-upwards"),
            counts_acpi=profile.has("max-pfn-counts-acpi"),
        )
        if gap != (outcome.get("pci_gap") and tuple(outcome["pci_gap"])):
            yield "pci_gap", gap, outcome.get("pci_gap")
        if outcome.get("nodes") is not None:
            yield from _differ("nodes", shown_nodes(inp, profile), outcome["nodes"])


def _ending(view, outcome):
    seen = outcome.get("fatal") or outcome["end"]
    if view.fatal is None:
        expected = _fell_off(view, seen) or _starved(view, seen)
        if outcome["end"] not in ("init", "memory") and not expected:
            yield "end", "init", seen
        return
    if not re.search(ENDINGS.get(view.fatal, re.escape(view.fatal)), seen):
        yield "end", view.fatal, seen


# How much more than nothing a kernel needs to get through its start is not modelled:
# a line that leaves it hardly more than itself. 4.14 takes 10 MiB to know its sections.
def _starved(view, seen):
    left = sum(span.size for span in view.memory)
    left -= view.kernel_range.size if view.kernel_range else 0
    if left < STARVED_BYTES:
        return re.search("Failed to allocate|Out of memory", seen)
    # With memory above 4 GiB 2.6.32 wants 64 MiB in one piece below it for DMA.
    low = sum(span.below(_LOW_END).size for span in view.memory)
    return left > low and low < BOUNCE_BYTES * 2 and seen == "Out of memory"


# A slot that was drawn by chance, and has no memory: one that a region which wraps
# brings along. The kernel dies while it is unpacked.
def _fell_off(view, seen):
    told = re.fullmatch(r"page fault at (0x[0-9a-f]+) in the decompressor", seen)
    if told is None or view.kaslr is None:
        return False
    at, slots = int(told[1], 16), view.kaslr
    return any(
        a <= at < a + (n - 1) * slots.step + slots.image_size for a, n in slots.areas
    ) and not any(a <= at < a + s for a, s, _ in view.table)


# The first messages of a long map are overwritten before there is a console.
def _maps(view, outcome, profile):
    whole = not outcome.get("lost_messages")
    if whole and outcome.get("map_source") and view.map_source != outcome["map_source"]:
        yield "map_source", view.map_source, outcome["map_source"]
    for name in MAPS if whole else ("user_map",):
        said, seen = getattr(view, name), outcome.get(name)
        if outcome["end"] != "init" and seen is None:
            continue
        yield from _differ(name, said and printed(said, profile), seen)
    if outcome.get("memory"):
        yield from _differ("memory", _sizes(view.memory), outcome["memory"])


def _sizes(spans):
    return [(span.start, span.size) for span in spans]


def printed(rows, profile):
    """Return rows as a kernel prints them: type 128 is usable to older ones."""
    if not profile.has("type-128-is-memory"):
        return list(rows)
    return [(a, s, 1 if kind == 128 else kind) for a, s, kind in rows]


def _words(outcome, profile):
    seen = outcome.get("ram_word")
    if seen is None:
        return
    said = "System RAM" if profile.has("prints-system-ram") else "usable"
    if profile.has("prints-bytes"):
        said = "(usable)"
    if said != seen:
        yield "ram_word", said, seen


def _early(inp, view, outcome, profile):
    boot = EarlyBoot.of(inp, profile)
    boot.table.rows = list(view.table)
    last_pfn = outcome.get("last_pfn")
    counts_acpi = profile.has("max-pfn-counts-acpi")
    end_pfn = max_pfn(view.table, counts_acpi=counts_acpi)
    if last_pfn is not None and end_pfn != last_pfn:
        yield "last_pfn", hex(end_pfn), hex(last_pfn)
    if outcome.get("reserved") is not None:
        seen = ByteRangeSet((a, a + s) for a, s in outcome["reserved"])
        said = ByteRangeSet(early_reservations(boot))
        apart = ByteRangeSet([PAGE_0, BIOS, inp.kernel_range or (0, 0)])
        if said - apart != seen - apart:
            yield "reserved", list(said - apart - seen), list(seen - apart - said)


def shown_nodes(inp, profile):
    """Return ``(type, bytes)`` of each node in /sys/kernel/boot_params."""
    if not profile.has("setup-data-sysfs"):
        return None
    return [_shown_node(span, profile) for span in inp.setup_data]


def _shown_node(span, profile):
    kind, size = span.type, span.size - NODE_HEADER_BYTES
    if kind == SETUP_RNG_SEED and profile.has("rng-seed-wiped"):
        return kind, 0
    if span.indirect and profile.has("setup-indirect-reserved"):
        _, length, inner = span.indirect
        return inner, size if inner == SETUP_INDIRECT else length
    return kind, size


def _landing(view, outcome):
    landed = outcome.get("kernel")
    if not landed:
        return
    start, slots = landed[0], view.kaslr
    if not slots.enabled:
        if start != view.load_window[0]:
            yield "kernel", view.load_window[0], start
        return
    step = slots.step
    if not any(
        a <= start <= a + (n - 1) * step and (start - a) % step == 0
        for a, n in slots.areas
    ):
        yield "kernel", slots.areas, start


def _warnings(view, outcome):
    seen = set(outcome.get("warnings", ()))
    if "messages-lost" in seen:
        return
    said = set(view.warnings) & PRINTED
    if said != seen & PRINTED:
        yield "warnings", sorted(said), sorted(seen & PRINTED)
    nowhere = (
        view.kaslr is not None and view.kaslr.reason == "no suitable memory region"
    )
    if nowhere and "physical-kaslr-off" not in seen:
        yield "warnings", "physical-kaslr-off", sorted(seen)
    lost = {row[:2] for row in view.dropped}
    for row in outcome.get("ignored", ()):
        if tuple(row) not in lost:
            yield "ignored", "not dropped", row


def _exports(view, outcome, profile):
    firmware = view.firmware_map and named_rows(view.firmware_map, profile)
    yield from _differ("firmware_map", firmware, outcome.get("firmware_map"))
    if _cuts_image(view) and not profile.has("kernel-range-forced"):
        return
    iomem = iomem_rows(view.table, profile, ADDRESS_BITS)
    seen = outcome.get("iomem")
    if seen is not None and len(seen) == len(iomem):
        iomem = [_widened(one, two) for one, two in zip(iomem, seen, strict=True)]
    yield from _differ("iomem", iomem, seen)


# Rows that part the image are widened until each of its resources is in one of them.
def _cuts_image(view):
    image = view.kernel_range
    edges = {edge for addr, size, _ in view.table for edge in (addr, addr + size)}
    return image is not None and any(image.start < e < image.end for e in edges)


# A row that drivers may share is widened to hold a PCI window that it cuts.
def _widened(row, seen):
    (addr, size, kind), (seen_addr, seen_size, seen_kind) = row, seen
    holds = seen_addr <= addr and addr + size <= seen_addr + seen_size
    if kind == seen_kind and kind in SHARED and holds and addr >= BIOS[1]:
        return tuple(seen)
    return row


def _differ(name, said, seen):
    said = None if said is None else [tuple(row) for row in said]
    seen = None if seen is None else [tuple(row) for row in seen]
    if said == seen:
        return
    if said is None or seen is None:
        yield name, said and len(said), seen and len(seen)
        return
    at = next(
        (n for n, (one, two) in enumerate(zip(said, seen, strict=False)) if one != two),
        min(len(said), len(seen)),
    )
    yield f"{name}[{at}]", _row(said, at), _row(seen, at)


def _row(rows, at):
    return [hex(number) for number in rows[at]] if at < len(rows) else None
