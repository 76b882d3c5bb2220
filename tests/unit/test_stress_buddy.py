"""The buddy allocator's own rules; against sets of pages it is held in property/."""

from e820pool.stress.buddy import Buddy


def test_a_block_above_the_highest_order_is_refused_and_nothing_changes():
    buddy = Buddy(4)
    buddy.free(0, 16)
    assert buddy.alloc_order(5) is None
    assert buddy.nr_free == 16
    assert buddy.alloc_order(4) == 0


def test_the_fallback_takes_the_largest_foreign_block():
    """As mm/page_alloc.c __rmqueue_fallback() does in 6.1: fewer blocks are mixed."""
    buddy = Buddy(4)
    buddy.seed_blocks([0], 1, own=False)
    buddy.seed_blocks([8], 3, own=False)
    buddy.seed_blocks([32], 2, own=False)
    assert 8 <= buddy.alloc_order(0) < 16
