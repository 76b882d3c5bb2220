"""Every way to tell the next kernel, on every kernel: the model foresees each cell.

Each cell is booted once. Where only KASLR endangers deposits a boot may miss them; all
else is certain, and a difference between model and machine fails.
"""

import pytest
from labbench import MIB, PATIENT, ROWS, deposits

from e820pool.abi.bzimage import parse_bzimage
from e820pool.deposits import DepositLedger
from e820pool.handoff.encodings import ENCODINGS
from e820pool.kernel.profiles import profile_for
from e820pool.lab.boot import BootOptions, boot_pairs
from e820pool.loading.kernel_file import KernelFile
from e820pool.memory_map import MemoryMap
from e820pool.pool.designs import design_cell
from e820pool.report.compare import booted_of
from e820pool.sources.kernel_config import parse_config_text

MACHINE = MemoryMap.of(ROWS)
LEDGER = DepositLedger.of_ranges(deposits(20))

# What no kernel may touch whatever dice KASLR throws, and what every one without the
# design must touch: the thread's objection, made visible.
NEVER_TOUCHED = (
    "guarded",
    "split",
    "hybrid",
    "hole",
    "unusable",
    "new-type",
    "crash-window",
    "up-front",
    "efi-map-added",
)
ALWAYS_TOUCHED = ("efi-map", "series-v2", "kho", "kho-v4")


@pytest.fixture(scope="module")
def cell_of(image_of):
    """Return a function that models and boots one cell, once."""
    made = {}

    def get(encoding, release):
        if (encoding, release) not in made:
            made[encoding, release] = booted(encoding, image_of(release))
        return made[encoding, release]

    return get


def booted(encoding, image):
    config = image.read_config()
    profile = profile_for(image.release, parse_config_text(config) if config else None)
    data = image.read()
    cell = design_cell(MACHINE, LEDGER, encoding, profile, parse_bzimage(data))
    file = KernelFile(name=image.version, image=data, config=config)
    options = BootOptions(accelerator="tcg", deadlines=PATIENT)
    (outcome,) = boot_pairs([(cell.handoff, file)], options)
    return cell, booted_of(cell, outcome, profile), outcome


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_model_foresees_what_the_kernel_does(encoding, release, cell_of):
    if encoding in {"series-v2", "kho", "kho-v4"}:
        pytest.importorskip("libfdt", reason="pip install pylibfdt")
    cell, seen, _ = cell_of(encoding, release)
    assert seen.reasons == ()
    if encoding in NEVER_TOUCHED:
        assert seen.nr_touched == 0
    if encoding in ALWAYS_TOUCHED:
        assert cell.verdict.verdict == "unsafe"
        assert seen.nr_touched > 0.8 * LEDGER.extents.nr_pages


def test_type_128_is_touched_up_to_6_12_and_not_later(release, cell_of):
    _, seen, outcome = cell_of("kern-128", release)
    old = tuple(map(int, outcome.record.view.kernel.split(".")[:2])) < (6, 16)
    assert bool(seen.nr_touched) == old


def test_the_series_node_is_exported_by_a_kernel_that_cannot_read_it(release, cell_of):
    """It is carried, shown to user space, and protects nothing."""
    pytest.importorskip("libfdt", reason="pip install pylibfdt")
    from rivals.device_tree import find_pmpool_node

    _, seen, outcome = cell_of("series-v2", release)
    trees = [data for kind, data in outcome.record.report.setup_data() if kind == 2]
    node = find_pmpool_node(trees[0])
    first = next(iter(LEDGER)).start_pfn << 12
    assert node.base <= first < node.base + node.size
    assert node.base % (2 * MIB) == 0
    assert seen.nr_touched > 0
