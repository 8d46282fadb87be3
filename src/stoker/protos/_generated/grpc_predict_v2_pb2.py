"""Written by scripts/protos: the messages of grpc_predict_v2.proto."""

from stoker.protos.pool import load_file

globals().update(load_file("grpc_predict_v2.proto"))
