"""What it costs to ask for help, beside an interpreter that does nothing.

pytest tests/benchmarks/test_cli_bench.py --benchmark-only

Both start the same Python, so that the ratio of the two is what the command adds; it
imports neither numpy nor construct for that (tests/cli/test_cli_usage.py).
"""

import subprocess
import sys

import pytest
from rawhandoff import GIB, map_file

from e820pool.cli import main

NOTHING = (sys.executable, "-c", "pass")
E820POOL = (sys.executable, "-m", "e820pool")


@pytest.mark.benchmark(group="start-up")
@pytest.mark.parametrize(
    "words",
    [NOTHING, (*E820POOL, "--help"), (*E820POOL, "build", "--help")],
    ids=["python -c pass", "e820pool --help", "e820pool build --help"],
)
def test_start_up(benchmark, words):
    done = benchmark.pedantic(
        subprocess.run,
        (words,),
        {"check": True, "capture_output": True},
        rounds=7,
        warmup_rounds=1,
    )
    assert bool(done.stdout) == (words != NOTHING)


@pytest.mark.benchmark(group="a whole command in process")
@pytest.mark.parametrize("command", ["show", "build", "check", "rebuild"])
def test_a_command(benchmark, capsys, tmp_path, command):
    machine, out = map_file(tmp_path / "machine.json"), tmp_path / "out"
    deposits = [f"--deposit={8 * GIB + (i << 21):#x}+4K" for i in range(100)]
    build = ["build", str(machine), "-o", str(out), *deposits]
    assert main(build) == 0
    words = {
        "show": ["show", str(out)],
        "build": build,
        "check": ["check", str(out), "--kernel", "6.1"],
        "rebuild": ["rebuild", str(out)],
    }[command]
    code = benchmark.pedantic(main, (words,), rounds=5, warmup_rounds=1)
    assert code == 0
    capsys.readouterr()
