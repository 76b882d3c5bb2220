"""Fuzz whole commands, by coverage: python tools/fuzz.py [SECONDS] [READER ...].

Every reader of `tests/fuzzing.py` has its share of the time, in a process of its own
that atheris instruments. A find is kept as tests/data/fuzz/fuzz_READER-..., where
tests/cli/test_fuzz_finds.py runs it again; the rest of the reader's time goes on behind
it. Exit status 1 where there were finds.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "tests" / "data" / "fuzz"
# Of one input; the programs' own limits are lower. The seconds are the processor's own:
# on a busy machine anything takes long by the clock, which ends what hangs for good.
SECONDS, HANGS, MEGABYTES = 20, 300, 2048


def main(seconds, names):
    """Share the time out; return whether there were finds."""
    sys.path.insert(0, str(ROOT / "tests"))
    import fuzzing

    names = names or list(fuzzing.BY_NAME)
    before = set(FOLDER.glob("fuzz_*"))
    FOLDER.mkdir(exist_ok=True)
    for name in names:
        end = time.monotonic() + seconds / len(names)
        with tempfile.TemporaryDirectory() as corpus:
            for at, seed in enumerate(fuzzing.BY_NAME[name].seeds):
                Path(corpus, str(at)).write_bytes(seed)
            while (left := int(end - time.monotonic())) > 0:
                if not run(name, corpus, left):
                    break
    finds = sorted(set(FOLDER.glob("fuzz_*")) - before)
    print(f"{len(finds)} finds", *(str(path.relative_to(ROOT)) for path in finds))
    return bool(finds)


def run(name, corpus, seconds):
    """Return whether a reader's process ended with a find."""
    words = [
        *(
            sys.executable,
            __file__,
            "--reader",
            name,
            corpus,
            "-timeout=" + str(HANGS),
            # It keeps as a find what is slow by the clock.
            "-report_slow_units=" + str(HANGS),
        ),
        *(f"-max_total_time={seconds}", f"-rss_limit_mb={MEGABYTES}", "-max_len=65536"),
        *(f"-artifact_prefix={FOLDER}/fuzz_{name}-", "-print_final_stats=1"),
    ]
    done = subprocess.run(words, check=False, stderr=subprocess.PIPE, text=True)
    said = [
        line for line in done.stderr.splitlines() if "DONE" in line or "Error" in line
    ]
    print(f"{name}: status {done.returncode}", *said[-2:], sep="\n  ", flush=True)
    return done.returncode != 0


def reader(name, words):
    """Give one reader whatever atheris makes, until its time is over."""
    import atheris

    sys.path.insert(0, str(ROOT / "tests"))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        # Commands import what they need when they run: those, too, are instrumented.
        with atheris.instrument_imports(include=["e820pool"]):
            import fuzzing

            chosen = fuzzing.BY_NAME[name]
            fuzzing.prepare(place)
            for seed in chosen.seeds:
                # That it does so it says on stderr, which is an error's place.
                with contextlib.suppress(AssertionError):
                    chosen.run(place, seed)

        def run_input(data):
            begin = time.process_time()
            chosen.run(place, data)
            spent = time.process_time() - begin
            if spent > SECONDS:
                raise RuntimeError(f"{spent:.1f} s of processor time for one input")

        atheris.Setup([sys.argv[0], *words], run_input)
        # libFuzzer ends the process by itself.
        atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--reader"]:
        reader(sys.argv[2], sys.argv[3:])
    else:
        given = sys.argv[1:] or [os.environ.get("FUZZ_SECONDS", "3600")]
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        try:
            sys.exit(main(int(given[0]), given[1:]))
        except KeyboardInterrupt:
            sys.exit("stopped; what was found is kept")
