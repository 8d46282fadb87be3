"""The operator's configuration: one table of settings, and the readers that fill it."""
