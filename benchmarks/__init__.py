"""The side-by-side suite: ``scripts/bench``."""
