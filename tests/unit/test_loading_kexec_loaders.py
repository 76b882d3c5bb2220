"""What a loader hands on: the cap of 128, the tools' own reading of a tree."""

from pathlib import Path

import pytest

from e820pool.errors import MachineError
from e820pool.kernel.early_boot import predict_input
from e820pool.kernel.profiles import profile_for
from e820pool.kernel.view import KernelView
from e820pool.loading.kexec_loaders import by_kexec_file, by_kexec_tools, find_kexec

PAGE = 4096
LOW = ((0, 0x9_F000, 1), (0x9_F000, 0x6_1000, 2))


def rows(count):
    return tuple((n * 2 * PAGE, PAGE, 1 + n % 2) for n in range(count))


def test_a_machine_without_kexec_is_at_fault_and_not_the_laboratory(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(Path, "is_file", lambda _: False)
    with pytest.raises(MachineError, match="kexec is not installed: install kexec-t"):
        find_kexec()


def test_kexec_file_load_hands_on_what_the_kernel_keeps_for_it():
    view = KernelView(kernel="6.1", table=rows(3), kexec_map=rows(5))
    assert by_kexec_file(view).table == rows(5)


def test_kexec_file_load_cuts_the_table_at_128():
    for count, lost in ((127, 0), (128, 0), (129, 1), (300, 172)):
        handed = by_kexec_file(KernelView(kernel="6.1", kexec_map=rows(count)))
        assert len(handed.table) == min(count, 128)
        assert handed.ext == ()
        assert len(handed.lost) == lost
        assert handed.table + handed.lost == rows(count)


def test_a_view_of_a_machine_does_not_tell_what_kexec_file_load_hands_on():
    assert by_kexec_file(KernelView(kernel="6.1", engine="machine")) is None


def test_kexec_tools_put_what_is_beyond_128_into_a_node():
    handed = by_kexec_tools(rows(130)[1:])
    assert len(handed.table) == 128
    assert handed.table + handed.ext == rows(130)[1:]
    given = handed.boot_input("quiet")
    assert given.table.size == 128
    assert given.ext[0].size == 1
    assert given.cmdline == "quiet"


def test_kexec_tools_sort_and_keep_the_interrupt_table_out_of_ram():
    handed = by_kexec_tools([LOW[1], LOW[0]])
    assert handed.table == ((0x400, 0x9_EC00, 1), LOW[1])
    only = by_kexec_tools([(0x1000, PAGE, 1)])
    assert only.table == ((0x1000, PAGE, 1),)


@pytest.mark.parametrize("start", [0x3FF, 0x400, 0x401])
def test_kexec_tools_leave_ram_alone_from_0x400_on(start):
    """The end stays, and so does every row but the first that lies below."""
    rows = [(start, 0x1000, 1), (0x10_0000, PAGE, 1)]
    handed = by_kexec_tools(rows).table
    assert handed[0] == (max(start, 0x400), 0x1000 - max(0x400 - start, 0), 1)
    assert handed[1] == rows[1]


def test_kexec_tools_turn_ram_below_the_interrupt_table_s_end_into_a_size_that_wraps():
    """A kernel refuses the whole table for it."""
    handed = by_kexec_tools([(0, 0x200, 1), (0x10_0000, PAGE, 1)])
    assert handed.table[0] == (0x400, (1 << 64) - 0x200, 1)
    view = predict_input(handed.boot_input(), profile_for("6.1"))
    assert view.map_source == "BIOS-e801"
    just = by_kexec_tools([(0, 0x400, 1), (0x10_0000, PAGE, 1)])
    assert just.table[0] == (0x400, 0, 1)


def test_kexec_tools_make_reserved_of_what_they_have_no_word_for():
    kinds = {1: 1, 2: 2, 3: 3, 4: 4, 5: 2, 7: 7, 12: 12, 13: 2, 0x6C6F_6F70: 2}
    tree = [((n + 1) * PAGE, PAGE, kind) for n, kind in enumerate(kinds)]
    assert [row[2] for row in by_kexec_tools(tree).table] == list(kinds.values())


def test_kexec_tools_make_ram_of_type_128_which_the_tree_calls_system_ram():
    assert by_kexec_tools([(PAGE, PAGE, 128)]).table == ((PAGE, PAGE, 1),)


def test_kexec_tools_make_reserved_of_type_128_where_the_tree_has_no_name_for_it():
    handed = by_kexec_tools([(PAGE, PAGE, 128)], frozenset({128}))
    assert handed.table == ((PAGE, PAGE, 2),)


def test_kexec_tools_take_2048_ranges():
    handed = by_kexec_tools(rows(2100))
    assert len(handed.table) + len(handed.ext) == 2048
    assert len(handed.lost) == 52
