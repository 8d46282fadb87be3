"""The nouns of requests with named tensors: what a model takes, one tensor, what a worker must know of a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from stoker.core.buffer import Buffer

DEFAULT_PLATFORM = "pytorch_torchserve"

Parameters = Mapping[str, bool | int | float | str]

NONE: Parameters = {}


class TensorSpec(NamedTuple):
    """``shape``: with the batch dimension; -1 stands for a size that varies."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class TensorInterface(NamedTuple):
    """Tensor interface of a model: the section ``openInference`` of its config.

    ``rows``: the handler gets values by input name; otherwise TorchServe's document in ``body``. ``batched``: the first
    dimension of every tensor counts rows, each of them a request to the handler. ``values``: what it gets for a
    tensor, ``list``, ``numpy`` or ``torch``.
    """

    rows: bool = False
    batched: bool = True
    values: str = "list"
    platform: str = DEFAULT_PLATFORM
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()


PLAIN = TensorInterface()
"""The interface of a model whose config names no tensors."""


class Tensor(NamedTuple):
    """``data``: the elements, little-endian, in row order; each of BYTES after its length in four bytes.
    ``text``: BYTES that came as strings."""

    name: str
    datatype: str
    shape: Sequence[int]
    data: Buffer
    parameters: Parameters = NONE
    text: bool = False


class NamedHead(NamedTuple):
    """A tensor without its data. ``text``: as in `Tensor`."""

    name: str
    datatype: str
    shape: Sequence[int]
    parameters: Parameters | None = None
    text: bool = False


class Form(Enum):
    """Source of the handler's row."""

    JSON = "json"  # the client's document, in the input ``body``
    DOCUMENT = "document"  # a document like it, of the tensors
    ROW = "row"  # a value of each tensor, which is without the batch dimension
    WHOLE = "whole"  # a value of each tensor


class TensorHead(NamedTuple):
    """A tensor without name and data, which travel as an input of the job."""

    datatype: str
    shape: Sequence[int]
    parameters: Parameters | None = None
    text: bool = False


class TensorJob(NamedTuple):
    """Tensor part of a job, for its worker. ``tensors``: in the order of the inputs. ``names``: of the
    tensors, where the inputs are not the tensors."""

    form: Form
    id: str = ""
    tensors: Sequence[TensorHead] = ()
    parameters: Parameters | None = None
    outputs: Sequence[tuple[str, Parameters]] = ()
    names: Sequence[str] = ()
