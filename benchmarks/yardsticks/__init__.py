"""What a server is compared with besides other servers: a hand-written gRPC server, a loop without any server."""
