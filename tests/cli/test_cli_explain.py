"""explain: the text of a finding, wherever the package is installed."""

import json


def test_a_finding_is_explained_by_its_id_as_it_was_printed(ok):
    done = ok("explain", "usable-as-ram")
    assert done.out.startswith("usable-as-ram (unsafe)\n\nCause:\n")
    assert ok("explain", "[usable-as-ram]").out == done.out


def test_without_an_id_all_are_listed(ok):
    done = ok("explain")
    assert done.out.startswith("Unsafe:\n  usable-as-ram  ")
    listed = json.loads(ok("explain", "--format", "json").out)["findings"]
    assert all(one["id"] in done.out for one in listed)


def test_an_id_that_is_nearly_right_is_corrected(refused):
    message = refused(3, "explain", "ram-los")
    assert "did you mean 'ram-lost'?" in message


def test_columns_are_obeyed(ok, monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    assert max(map(len, ok("explain", "ram-lost").out.splitlines())) <= 50
