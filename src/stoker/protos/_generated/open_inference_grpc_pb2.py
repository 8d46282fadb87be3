"""Written by scripts/protos: the messages of open_inference_grpc.proto."""

from stoker.protos.pool import load_file

globals().update(load_file("open_inference_grpc.proto"))
