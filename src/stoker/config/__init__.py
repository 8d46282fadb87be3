"""What the operator wants: one table of settings, and the readers that fill it."""
