"""Written by scripts/protos: the messages of management.proto."""

from stoker.protos.pool import load_file

globals().update(load_file("management.proto"))
