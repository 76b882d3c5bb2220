"""Names of types in /proc/iomem and /sys/firmware/memmap, by release."""

import pytest

from e820pool.kernel.profiles import profile_for
from e820pool.kernel.resources import iomem_rows, named_rows, named_type
from e820pool.type_words import TYPE_WITHOUT_NUMBER

M = 1 << 20
SOFT = 0xEFFF_FFFF


@pytest.mark.parametrize(
    ("kind", "release", "named"),
    [
        *((kind, "6.1", kind) for kind in (1, 2, 3, 4, 5, 7, 12, SOFT)),
        (128, "6.12", 1),
        (128, "6.18", TYPE_WITHOUT_NUMBER),
        (13, "6.1", TYPE_WITHOUT_NUMBER),
        (13, "4.4", 2),
        (SOFT, "5.4", TYPE_WITHOUT_NUMBER),
        (SOFT, "4.4", 2),
        *((kind, "4.4", kind) for kind in (7, 12)),
        *((kind, "3.10", 2) for kind in (7, 12)),
    ],
)
def test_a_type_is_told_by_its_name(kind, release, named):
    assert named_type(kind, profile_for(release)) == named
    row = (M, M, kind)
    assert named_rows([row], profile_for(release)) == [(M, M, named)]


def test_iomem_leaves_out_what_is_empty_or_beyond_the_cpu():
    rows = [(M, M, 1), (4 * M, 0, 2), ((1 << 40) - M, M, 2), (1 << 40, M, 2)]
    shown = iomem_rows(rows, profile_for("6.1"), 40)
    assert shown == [rows[0], rows[2]]


def test_soft_reserved_has_a_tree_of_its_own_from_7_0_on():
    rows = [(0x3_0000, 0x1000, SOFT), (M, M, 1), (4 * M, M, SOFT)]
    assert iomem_rows(rows, profile_for("6.19"), 40) == rows
    assert iomem_rows(rows, profile_for("7.0"), 40) == rows[:2]


# 2.6.32.69, 3.10.108.
@pytest.mark.parametrize(("release", "shown"), [("2.6.32", 2), ("3.10", 1)])
def test_iomem_ends_where_the_cpus_addresses_do(release, shown):
    rows = [(M, M, 1), (1 << 40, M, 2)]
    assert len(iomem_rows(rows, profile_for(release), 40)) == shown
