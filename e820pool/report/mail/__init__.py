"""A report as plain text, to be pasted into a reply on a mailing list."""

from e820pool.report.mail.render import mail_report

__all__ = ("mail_report",)
