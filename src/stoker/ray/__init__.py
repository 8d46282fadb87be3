"""The driver of a Ray cluster, a separate process: the only one of a server's that imports ray."""
