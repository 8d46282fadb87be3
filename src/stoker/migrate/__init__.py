"""Finds out what would change if a TorchServe deployment moved to stoker.

Reads only; executes nothing of an archive.
"""
