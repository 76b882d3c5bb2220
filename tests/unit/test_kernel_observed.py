"""What a real kernel printed for adversarial tables, against the model.

`data/early_boot/*.jsonl`: one boot a line; see data/SOURCES.md.
"""

import json
from pathlib import Path

import pytest

from e820pool.kernel.predict_records import predict_line

FOLDER = Path(__file__).parents[1] / "data" / "early_boot"
BOOTS = [
    json.loads(line)
    for path in sorted(FOLDER.glob("*.jsonl"))
    for line in path.read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize("boot", BOOTS, ids=lambda boot: boot["in"]["id"])
def test_the_model_says_what_the_kernel_printed(boot):
    answer = json.loads(predict_line(json.dumps(boot["in"])))
    assert {key: answer[key] for key in boot["out"]} == boot["out"]


def test_the_boots_cover_what_can_go_wrong():
    answers = [boot["out"] for boot in BOOTS]
    assert len(BOOTS) >= 40
    assert any(a["fatal"] for a in answers)
    assert any(a["map_source"] == "BIOS-e801" for a in answers)
    assert any(a["extended_map"] for a in answers)
    assert any(a["user_map"] for a in answers)
    types = {row[2] for boot in BOOTS for row in boot["in"]["e820"]}
    assert {0, 1, 2, 3, 12, 13, 128, 0xEFFFFFFF} <= types
