"""litserve: `adapter` runs in the suite; the other file in the venv of the peer."""
