"""Measures servers side by side: contenders, load generators, cost of a process tree, statistics, tables, pictures.

``stoker bench`` uses it for a user's own model, ``benchmarks/`` for the suite.  A load generator never shares a process
with a server; published figures are ratios of contenders that took turns in one run.
"""
