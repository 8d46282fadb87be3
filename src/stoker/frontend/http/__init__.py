"""The HTTP frontend: TorchServe's REST APIs over HTTP/1.1 in the server's own loop.

Starlette routes everything except predictions.
"""
