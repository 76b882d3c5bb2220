"""What other commands found, read back from their JSON for a report."""

from e820pool.report.results.read import KINDS, read_result

__all__ = ("KINDS", "read_result")
