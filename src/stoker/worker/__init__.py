"""Runs one model's handler in a process of its own: one batch at a time, or many where the handler says so."""
