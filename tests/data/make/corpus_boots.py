"""Boot the conformance corpus on real kernels: specs/corpus/outcomes-*.jsonl.

Run from the root of the repository, with images fetched and QEMU installed:

    python tests/data/make/corpus_boots.py run 5.10 6.1 6.12 6.18 7.3
    python tests/data/make/corpus_boots.py run --subset 6.16 7.0 ...
    python tests/data/make/corpus_boots.py pack [RELEASE ...]

A release that no archive has is looked for as corpus_built.py says.

What was observed is kept in the cache folder, boot by boot: an interrupted run goes on
where it was, and a changed case is booted anew. `pack` writes the corpus from there.
"""

import argparse
import gzip
import hashlib
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)]

import corpus_format  # noqa: E402  found through the line above
import corpus_machine  # noqa: E402
from corpus_built import image_of, images, origin  # noqa: E402

from e820pool.abi.bzimage import parse_bzimage  # noqa: E402
from e820pool.kernel.profiles import profile_for  # noqa: E402
from e820pool.lab.cache import cache_folder  # noqa: E402
from e820pool.lab.machine import Deadlines  # noqa: E402
from e820pool.sources.kernel_config import parse_config_text  # noqa: E402
from e820pool.sources.kernel_console import read_console  # noqa: E402

lock = threading.Lock()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("releases", nargs="+")
    run.add_argument("--subset", action="store_true")
    run.add_argument("--case", nargs="*")
    run.add_argument("--again", action="store_true")
    run.add_argument("--jobs", type=int, default=2)
    commands.add_parser("pack").add_argument("releases", nargs="*")
    wanted = parser.parse_args()
    if wanted.command == "pack":
        pack(wanted.releases)
    else:
        run_all(wanted)


def digest(case):
    known = {
        k: v for k, v in case.items() if k not in ("id", "what", "subset", "until")
    }
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]


def kept(release):
    """Return the records by the digests of their cases; a later one counts."""
    path = cache_folder("corpus") / f"{release}.jsonl"
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {record["digest"]: record for record in map(json.loads, lines)}


def run_all(wanted):
    cases = corpus_format.read_cases().values()
    if wanted.case:
        cases = [c for c in cases if c["id"] in wanted.case]
    elif wanted.subset:
        cases = [c for c in cases if c.get("subset")]
    # Each family's first cases come first, so that a cut run is of use.
    cases = sorted(cases, key=lambda c: (not c.get("subset"), c["id"][-2:], c["id"]))
    kernels = {release: image_of(release).read() for release in wanted.releases}
    done = {release: kept(release) for release in wanted.releases}
    initrd = corpus_machine.initramfs()
    waiting = [
        (case, release)
        for case in cases
        for release in wanted.releases
        if wanted.again or digest(case) not in done[release]
    ]
    with ThreadPoolExecutor(wanted.jobs) as pool:
        for case, release in waiting:
            pool.submit(guarded, case, release, kernels[release], initrd)


def guarded(case, release, image, initrd):
    try:
        boot(case, release, image, initrd)
    except Exception as exc:  # noqa: BLE001  the run goes on, and this case is missing
        say(f"{release:6} {case['id']:20} {exc!r}"[:300])


def boot(case, release, image, initrd):
    start = time.monotonic()
    outcome, console = corpus_machine.boot_case(
        case, image, initrd, deadlines=Deadlines(kernel=150, report=120)
    )
    record = {"case": case["id"], "digest": digest(case), "outcome": outcome}
    folder = cache_folder("corpus")
    log = folder / "consoles" / release / f"{digest(case)}.log.gz"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(gzip.compress(console))
    with lock, (folder / f"{release}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    seconds = time.monotonic() - start
    words = outcome["fatal"] or ""
    say(f"{release:6} {case['id']:20} {outcome['end']:6} {seconds:5.1f} {words}")


def say(line):
    print(line, flush=True)  # noqa: T201  a script


# Families whose reservations are of interest.
RESERVED_SHOWN = {"plain", "types", "low", "node", "kind", "indirect"}


# What the console says is read anew: more may be asked than when it was booted.
def full(record, release):
    folder = cache_folder("corpus") / "consoles" / release
    console = gzip.decompress((folder / f"{record['digest']}.log.gz").read_bytes())
    outcome = record["outcome"] | corpus_machine.said_of(console)
    if outcome["fatal"]:
        outcome["fatal"] = read_console(console.decode("utf-8", "replace")).fatal
    return outcome


def pack(releases):
    found = {r: i for r, i in images().items() if not releases or r in releases}
    done = {release: kept(release) for release in found}
    old = corpus_format.read_kernels()
    kernels = {
        release: known_record(old, found[release])
        or kernel_record(found[release], records)
        for release, records in done.items()
        if records
    }
    known = {r: kernels.get(r) or old[r] for r in sorted({*old, *kernels}, key=numbers)}
    before = kept_outcomes(old, kernels)
    corpus_format.write_lines("kernels.jsonl", known.values())
    for path in sorted(corpus_format.FOLDER.glob("cases-*.jsonl")):
        lines = []
        for case in map(corpus_format.with_rows, corpus_format.read_lines(path.name)):
            key = digest(case)
            seen = {
                release: with_end(full(records[key], release), kernels[release], case)
                for release, records in done.items()
                if key in records
            }
            seen = before.get(case["id"], {}) | seen
            if seen:
                seen = {release: seen[release] for release in known if release in seen}
                lines.append(corpus_format.outcome_record(case["id"], seen))
        corpus_format.write_lines(path.name.replace("cases", "outcomes"), lines)


# What stays: a release without boots in the cache is one that was booted elsewhere, as
# is a case that the cache lacks of an image that it knows.
def kept_outcomes(old, kernels):
    found = {}
    for ident, release, outcome in corpus_format.read_outcomes():
        new = kernels.get(release)
        if new is None or new["image_sha256"] == old[release]["image_sha256"]:
            found.setdefault(ident, {})[release] = outcome
    return found


def numbers(release):
    return [int(number) for number in release.split(".")]


# The same image has the same record, which not every set of boots shows.
def known_record(known, image):
    record = known.get(image.release)
    same = record is not None and record["image_sha256"] == image.image_sha256
    return record if same else None


def kernel_record(image, records):
    release = image.release
    data = image.read()
    parsed = parse_bzimage(data)
    ranges = [r["outcome"]["kernel"] or () for r in records.values()]
    sizes = {span[1] - span[0] for span in ranges if len(span) == 2}
    (memory_bytes,) = sizes
    end = parsed.payload_offset + parsed.payload_length
    # The unpacked size stands behind the payload (arch/x86/boot/compressed/mkpiggy.c).
    output_bytes = int.from_bytes(data[end - 4 : end], "little")
    return {
        "release": release,
        "version": image.version,
        **origin(image),
        "image_sha256": image.image_sha256,
        "pref_address": parsed.pref_address,
        "init_size": parsed.init_size,
        "kernel_alignment": parsed.kernel_alignment,
        "memory_bytes": memory_bytes,
        "output_bytes": output_bytes,
        # Where the payload lies at most, counted from the end of the load window: the
        # decompressor's zeroed memory is not in the file.
        "payload_to_end": parsed.protected_mode_size - parsed.hdr.payload_offset,
        "config": options_of(release, image.read_config()),
    }


# What differs from the model's default, where the configuration is at hand.
def options_of(release, text):
    default = profile_for(release).config
    if not text:
        return dict(default)
    return dict(profile_for(release, parse_config_text(text)).config)


def with_end(outcome, kernel, case):
    outcome = dict(outcome)
    reserved = outcome["reserved"]
    if case["id"].rpartition("-")[0] not in RESERVED_SHOWN:
        del outcome["reserved"]
    if outcome["kernel"]:
        start = outcome["kernel"][0]
    else:
        initrd = (corpus_format.PLACES | case.get("place", {}))["initrd"]
        others = [row for row in reserved or () if row[0] != initrd]
        start = reserved_at(others, outcome["memory"], kernel)
    outcome["kernel"] = start and [start, start + kernel["memory_bytes"]]
    return outcome


# Before user space runs, memblock's reservations show the image, if nothing touches it.
# It is in memory always; what 4.19 reserves besides is not.
def reserved_at(reserved, memory, kernel):
    size, step = kernel["memory_bytes"], kernel["kernel_alignment"]
    found = [
        addr
        for addr, length in reserved
        if addr % step == 0
        and size - step < length <= size
        and any(a <= addr and addr + length <= a + s for a, s in memory or ())
    ]
    return found[0] if len(found) == 1 else None


if __name__ == "__main__":
    main()
