"""The gRPC listener: methods written once, which run on either of two engines.

Importing this package imports nothing: take `GrpcServer` from `server`, and the methods from `inference`, `management`,
`health`, `open_inference` and `workflows`.
"""
