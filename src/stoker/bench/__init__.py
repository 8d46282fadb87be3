"""Measuring servers side by side: contenders, load generators, what a process tree costs, statistics, tables, pictures.

Used by ``stoker bench`` (a user's own model) and by the suite in ``benchmarks/``. A load generator never shares a
process with a server; what is published are ratios of contenders that took turns in one run.
"""
