"""Simulations of the scheduler and the autoscaling policy on a virtual clock, for ``stoker simulate`` and for tests."""
