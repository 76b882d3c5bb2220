"""Much work at a time: simulations, fleets of hosts, and series of real boots."""
