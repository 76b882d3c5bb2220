"""Hand deposited memory to the next kernel as E820_TYPE_RESERVED, and prove it."""

__version__ = "0.1.0"
