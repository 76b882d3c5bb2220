"""Bulk forms of values: the same as the forms for a few."""

import numpy as np
import pytest

from e820pool.abi.pool_record import (
    RECORD_EXTENT_DTYPE,
    encode_record,
)
from e820pool.deposits import Deposit, DepositLedger
from e820pool.errors import InputError

DIGEST = bytes(range(16))


def test_a_ledgers_rows_are_its_deposits():
    ledger = DepositLedger(
        [
            Deposit(start_pfn=9, end_pfn=12, owner=1 << 40),
            Deposit(start_pfn=2, end_pfn=4, owner=7, firmware_type=3),
        ]
    )
    assert ledger.rows.tolist() == [(2, 4, 7, 3), (9, 12, 1 << 40, 1)]


def test_a_ledgers_rows_cannot_be_changed():
    ledger = DepositLedger([Deposit(start_pfn=1, end_pfn=2)])
    with pytest.raises(ValueError, match="read-only"):
        ledger.rows["start"] = 0


def test_rows_that_no_reader_would_believe_are_refused():
    rows = np.zeros(2, RECORD_EXTENT_DTYPE)
    rows["nr_pages"] = 1
    with pytest.raises(InputError, match="before the end of the one before"):
        encode_record(rows)
