"""Requests with tensors in a worker: their rows, and the answers to them. Others never come here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stoker.core.tensors import TensorInterface
from stoker.ipc.to_server import Failure
from stoker.ipc.to_worker import JobHeader
from stoker.tensors import replies
from stoker.worker.exceptions import PredictionException
from stoker.worker.tensor_results import NotATensor, answer
from stoker.worker.tensor_rows import RowMaker


class TensorForms:
    """The forms of one model."""

    def __init__(self, interface: TensorInterface, model_name: str) -> None:
        self._interface = interface
        self.row = RowMaker(interface, model_name).row

    def answers(self, jobs: Iterable[JobHeader], outputs: list[Any]) -> list[Any]:
        """Replaces the results of requests with tensors by their bytes, or by why there are none."""
        return [
            output if job.tensors is None else self._answer(job, output)
            for job, output in zip(jobs, outputs, strict=True)
        ]

    def _answer(self, job: JobHeader, output: Any) -> Any:
        assert job.tensors is not None
        if isinstance(output, PredictionException | Failure):
            return output
        names = job.tensors.names or [name for name, _, _ in job.inputs]
        try:
            return replies.encode(answer(output, job.tensors, self._interface, names))
        except NotATensor as error:
            return Failure("output", 503, str(error))
