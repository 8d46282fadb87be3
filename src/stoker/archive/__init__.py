"""Model archives: reads, checks, unpacks, fetches and builds them.

Nothing in this package imports, evaluates or unpickles what an archive contains.
"""
