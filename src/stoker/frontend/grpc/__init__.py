"""The gRPC listener: methods written once, on two engines.

Importing this package imports nothing; take `GrpcServer` from `server`, the method tables from `inference`,
`management` and `health`.
"""
