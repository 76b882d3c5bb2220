"""What a kernel needs to be started with a handoff, whoever starts it."""
