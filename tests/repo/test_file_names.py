"""A file's name says which room it is of, so that "go to file" finds one."""

from collections import Counter
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "e820pool"


def test_no_two_rooms_have_a_file_of_one_name():
    """But for the commands, which have the names that people type."""
    commands = PACKAGE / "cli" / "commands"
    counts = Counter(
        path.name
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py" and path.parent != commands
    )
    alike = {name for name, count in counts.items() if count > 1}
    assert alike == set()
