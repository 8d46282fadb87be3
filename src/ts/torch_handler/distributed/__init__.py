"""TorchServe's package of this name; its modules are stoker's."""
