"""This machine's own next kernel: plan its handoff, check it, load it, start it."""
