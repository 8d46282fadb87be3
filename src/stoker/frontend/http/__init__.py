"""The HTTP frontend: TorchServe's REST APIs over HTTP/1.1, served from the server's own event loop.

Starlette routes everything except predictions.
"""
