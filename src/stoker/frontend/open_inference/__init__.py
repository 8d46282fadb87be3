"""The open inference protocol (KServe v2), for gRPC and REST: what a request means, and what its answer is."""
