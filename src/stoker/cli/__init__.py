"""The commands: `torchserve`, `torch-model-archiver`, `stoker`."""
