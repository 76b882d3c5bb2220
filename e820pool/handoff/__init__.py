"""Build a handoff and place its parts."""
