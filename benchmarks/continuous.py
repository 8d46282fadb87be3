"""stoker with the text model's other handler, which batches continuously: the same weights, requests and right texts.

TorchServe batches this model by its own means: it gathers requests for a while, then decodes all of them to the end
of the longest.
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks import models
from benchmarks.workload import Workload
from stoker.bench.contender import Deployment
from stoker.bench.contenders import Stoker
from stoker.bench.torchserve_api import TorchServeApi


class StokerContinuous(Stoker):
    def __init__(self) -> None:
        super().__init__("nghttp2")
        self.name = "stoker-continuous"
        self.note = "as stoker-nghttp2, with the handler of examples/text_generation_continuous"

    def offers(self, workload: Workload) -> bool:
        return workload is Workload.TEXT

    def start(self, deployment: Deployment) -> TorchServeApi:
        model = models.text_continuous(deployment.model.archive.parent)
        return super().start(replace(deployment, model=model))
