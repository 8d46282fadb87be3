"""Written by scripts/protos: the messages of inference.proto."""

from stoker.protos.pool import load_file

globals().update(load_file("inference.proto"))
