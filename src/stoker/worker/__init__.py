"""The process that runs one model's handler: blocking, synchronous, one batch at a time."""
