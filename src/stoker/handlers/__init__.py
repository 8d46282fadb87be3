"""Default handlers and what they share. Import rule: core and the handler-facing part of the worker, nothing else."""
