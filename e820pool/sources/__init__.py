"""Readers of real inputs, one file a format, told apart by content."""
