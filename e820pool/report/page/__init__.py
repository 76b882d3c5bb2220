"""A report as one page of HTML that needs nothing beside it."""

from e820pool.report.page.render import html_report

__all__ = ("html_report",)
