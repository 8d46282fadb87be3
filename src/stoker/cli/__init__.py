"""The commands `torchserve`, `torch-model-archiver` and `stoker`."""
