"""Stands in for torch where a test is about processes: what the worker asks of it, and nothing to wait for."""

import os

_threads = int(os.environ.get("OMP_NUM_THREADS", "2"))


def set_num_threads(count):
    global _threads
    _threads = count


def get_num_threads():
    return _threads
