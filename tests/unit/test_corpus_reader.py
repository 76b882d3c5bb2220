"""The corpus as others get it: versioned, packed, and read by a program in C."""

import importlib.util
import json
import re
import shutil
import subprocess
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from corpus_format import FOLDER, read_cases, read_kernels, read_outcomes

ROOT = Path(__file__).parents[2]
CASES = sorted(FOLDER.glob("cases-*.jsonl"))
OUTCOMES = sorted(FOLDER.glob("outcomes-*.jsonl"))
FLAGS = ("-std=c11", "-pedantic", "-Wall", "-Wextra", "-Werror", "-O1")
# Keeps what it is given: right only where there is nothing to resolve.
LAZY = """
#include <stddef.h>
#include <stdint.h>
struct row { uint64_t addr, size; uint32_t type; };
long lazy(const struct row *in, size_t nr, struct row *out, size_t room);
long lazy(const struct row *in, size_t nr, struct row *out, size_t room)
{
    size_t n;
    for (n = 0; n < nr && n < room; n++)
        out[n] = in[n];
    return (long)n;
}
"""

needs_gcc = pytest.mark.skipif(
    shutil.which("gcc") is None, reason="needs the Debian package gcc"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return a function that compiles the reader and returns how to run it."""

    def build(*more):
        program = tmp_path_factory.mktemp("reader") / "reader"
        subprocess.run(
            ["gcc", *FLAGS, "-o", program, FOLDER / "reader.c", *more], check=True
        )

        def run(*args):
            return subprocess.run(
                [program, *args], capture_output=True, text=True, check=False
            )

        return run

    return build


@pytest.fixture(scope="module")
def reader(built):
    return built()


def numbers(output):
    rows = re.findall(r"^(\S+) +(\d+) +(\d+)$", output, re.MULTILINE)
    return {name: (int(tables), int(agree)) for name, tables, agree in rows}


def expected():
    """Count, in Python, the tables that the rule of overlap alone decides."""
    cases, found = read_cases(), Counter()
    for ident, release, outcome in read_outcomes():
        case = cases[ident]
        count = case.get("count", len(case["e820"]))
        plain = count <= min(128, len(case["e820"])) and "patches" not in case
        whole = "bios_map" in outcome and not outcome.get("lost_messages")
        found[release] += plain and whole and outcome["map_source"] == "BIOS-e820"
    return found


@pytest.mark.headers
@needs_gcc
def test_the_example_agrees_with_every_kernel_on_every_table(reader):
    done = reader("-v", *CASES, *OUTCOMES)
    assert done.stderr == ""
    shown = numbers(done.stdout)
    total = shown.pop("all")
    assert {name: tables for name, (tables, _) in shown.items()} == expected()
    assert set(shown) == set(read_kernels())
    assert total[0] == total[1] > 1000, done.stdout
    assert done.returncode == 0


@pytest.mark.headers
@needs_gcc
def test_an_implementation_of_one_s_own_is_held_to_it(built, tmp_path):
    (tmp_path / "lazy.c").write_text(LAZY)
    done = built("-DE820_SANITIZE=lazy", tmp_path / "lazy.c")(*CASES, *OUTCOMES)
    tables, agree = numbers(done.stdout)["all"]
    assert 0 < agree < tables
    assert done.returncode == 1


@pytest.mark.headers
@needs_gcc
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"id": "x", "e820": [[1, 2', "JSON"),
        ('{"id": "x', "a string without an end"),
        ('{"id": 1.5}', "JSON"),
        ('{"id": 18446744073709551616}', "a number above 2^64 - 1"),
        ('{"id": "x", "e820": [[1, 2]]}', "a row without three numbers"),
        ('{"id": "x", "e820": [{"times": 5000, "rows": [[1, 2, 3]]}]}', "too many"),
        ("[" * 100, "nested too deeply"),
        ("", "nothing to compare"),
    ],
)
def test_bad_input_is_refused_in_one_line(reader, tmp_path, text, words):
    path = tmp_path / "cases-bad.jsonl"
    path.write_text(text + "\n")
    done = reader(path)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.headers
@needs_gcc
def test_usage_and_missing_files_are_status_2(reader):
    assert (reader().returncode, reader("gone.jsonl").returncode) == (2, 2)


def test_the_manifest_names_every_file_and_the_version():
    manifest = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["schema"], manifest["kind"]) == (1, "e820-corpus")
    assert re.fullmatch(r"\d+\.\d+\.\d+", manifest["version"])
    named = [*manifest["cases"], *manifest["kernels"], *manifest["outcomes"]]
    assert sorted(named) == sorted(path.name for path in FOLDER.glob("*.jsonl"))
    assert (FOLDER / manifest["reader"]).is_file()


def test_the_archive_holds_the_corpus_and_is_the_same_each_time(tmp_path):
    spec = importlib.util.spec_from_file_location(
        "corpus_archive", ROOT / "tools" / "corpus_archive.py"
    )
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    path = tool.write(tmp_path / "dist")
    first = path.read_bytes()
    assert tool.write(tmp_path / "dist").read_bytes() == first
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names == {path.name for path in FOLDER.iterdir()} | {"README.md"}
    assert re.fullmatch(r"e820-corpus-\d+\.\d+\.\d+\.tar\.gz", path.name)
