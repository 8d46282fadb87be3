"""Baselines besides other servers: a hand-written gRPC server, and a loop without any server."""
