"""TorchServe's package of this name; its module is stoker's."""

from ts.model_service import model_service

__all__ = ["model_service"]
