"""Decodes requests with tensors into rows, and encodes the answers to them. Other requests do not come here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stoker.core.tensors import TensorInterface
from stoker.ipc.to_server import Failure
from stoker.ipc.to_worker import JobHeader
from stoker.tensors import jobs, replies
from stoker.tensors.datatypes import BYTES
from stoker.worker.exceptions import PredictionException
from stoker.worker.tensor_results import NotATensor, answer
from stoker.worker.tensor_rows import RowMaker

_NOT_SENT = "The handler's result has an id, a name or a parameter that cannot be sent"
_TEXTS = (bytes, bytearray, str)  # a tuple, because ``bytes | str`` builds a union at each call


class TensorCodec:
    """Decodes the requests of one model and encodes its results. ``row``: `RowMaker.row`."""

    def __init__(self, interface: TensorInterface, model_name: str) -> None:
        self._interface = interface
        self.row = RowMaker(interface, model_name).row
        self._text_head = _text_head(interface)

    def answers(self, of: Iterable[JobHeader], outputs: list[Any]) -> list[Any]:
        """Replaces the results of requests with tensors by their bytes, or by the failure to convert them."""
        return [self._answer(job, output) if job.tensors else output for job, output in zip(of, outputs, strict=True)]

    def _answer(self, header: JobHeader, output: Any) -> Any:
        if self._text_head and isinstance(output, _TEXTS):
            return replies.encode_text(self._text_head, output)
        if isinstance(output, PredictionException | Failure):
            return output
        job = jobs.decode(header.tensors)
        names = job.names or [name for name, _, _ in header.inputs]
        try:
            found = answer(output, job, self._interface, names)
        except NotATensor as error:
            return Failure("output", 503, str(error))
        try:
            return replies.encode(found)
        except (ValueError, OverflowError):  # an unpaired surrogate, or a number of more than 64 bits
            return Failure("output", 503, _NOT_SENT)


def _text_head(interface: TensorInterface) -> bytes:
    """Returns the head of every answer that is a text; empty if the head depends on the request."""
    if not interface.rows or (interface.outputs and interface.outputs[0].datatype != BYTES):
        return b""
    name = interface.outputs[0].name if interface.outputs else "output"
    return replies.text_head(name, () if interface.batched else (1,))
