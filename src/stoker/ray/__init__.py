"""The driver of a Ray cluster: a process of its own, the only one of a server that imports ray."""
