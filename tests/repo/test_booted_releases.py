"""What README says was booted is what the corpus and the data on kernels say."""

import re
import tomllib
from pathlib import Path

import corpus_format

ROOT = Path(__file__).parents[2]
RELEASES = tomllib.loads((ROOT / "specs/kernels/releases.toml").read_text())["release"]
BOOTED = {one["name"] for one in RELEASES if one["checked"] == "booted"}


def test_the_kernels_of_the_corpus_are_the_ones_that_were_booted():
    assert set(corpus_format.read_kernels()) == BOOTED


def test_the_limits_name_the_booted_releases():
    limits = (ROOT / "README.md").read_text().split("\n## Limits")[1].split("\n## ")[0]
    said = re.sub(r"\s+", " ", limits)
    words = re.search(r"Booted were (.*?)\. Others", said)[1]
    named = set(re.findall(r"\b\d\.\d+(?:\.\d+)?\b", words))
    # "6.16 to 7.3" stands for every release from the one to the other.
    names = [one["name"] for one in RELEASES]
    first, last = re.search(r"(\S+) to (\S+)", words).groups()
    named |= set(names[names.index(first) : names.index(last) + 1])
    assert named == BOOTED
