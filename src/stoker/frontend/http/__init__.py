"""The HTTP frontend: TorchServe's REST APIs on uvicorn's HTTP/1.1, routed by Starlette, in the server's own loop."""
