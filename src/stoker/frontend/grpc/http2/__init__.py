"""A small HTTP/2 server for gRPC calls that answer in parts.

Its only peer is the native engine's own front, which forwards such calls over a private Unix socket: the front's event
API carries one message at a time, with a thread to be woken for each; here all parts that wait leave in one DATA frame.
What the front forwards comes from strangers, so the limits hold all the same.
"""
