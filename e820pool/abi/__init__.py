"""Bytes to values and back: every binary layout, and the only users of construct."""
