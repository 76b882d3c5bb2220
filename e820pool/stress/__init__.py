"""How deposits spread over a host, and when a table of entries is full."""
