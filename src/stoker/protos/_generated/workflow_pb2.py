"""Written by scripts/protos: the messages of workflow.proto."""

from stoker.protos.pool import load_file

globals().update(load_file("workflow.proto"))
