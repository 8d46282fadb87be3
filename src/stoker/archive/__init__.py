"""Model archives: reading, checking, unpacking, fetching and building them.

Nothing in this package ever imports, evaluates or unpickles anything that lies in an archive.
"""
