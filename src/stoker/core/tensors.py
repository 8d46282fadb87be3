"""Defines tensors in requests: a model's tensor interface, a tensor, and what a worker must know about a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from stoker.core.buffer import Buffer

DEFAULT_PLATFORM = "pytorch_torchserve"

Parameters = Mapping[str, bool | int | float | str]

NONE: Parameters = {}


class TensorSpec(NamedTuple):
    """``shape``: includes the batch dimension; -1: any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class TensorInterface(NamedTuple):
    """The tensor interface of a model: the section ``openInference`` of its config.

    ``rows``: the handler gets values by input name; otherwise it gets TorchServe's document in ``body``. ``batched``:
    the first dimension of every tensor counts rows, each of which is a request to the handler. ``values``: the type of
    a tensor in the handler: ``list``, ``numpy`` or ``torch``.
    """

    rows: bool = False
    batched: bool = True
    values: str = "list"
    platform: str = DEFAULT_PLATFORM
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()


PLAIN = TensorInterface()
"""The interface of a model whose config declares no tensors."""


class Tensor(NamedTuple):
    """``data``: the elements, little-endian, in row-major order; elements of BYTES follow their length in four bytes.
    ``text``: the elements are BYTES that the client sent as strings."""

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
    """The form in which the handler gets a request."""

    JSON = "json"  # the client's document, in the input ``body``
    DOCUMENT = "document"  # such a document, made from the tensors
    ROW = "row"  # a value for each tensor, without its batch dimension
    WHOLE = "whole"  # a value for each tensor


class TensorHead(NamedTuple):
    """A tensor without name and data: those are an input of the job."""

    datatype: str
    shape: Sequence[int]
    parameters: Parameters | None = None
    text: bool = False


class TensorJob(NamedTuple):
    """Tells a worker about the tensors of a job. ``tensors``: in the order of the inputs. ``names``: of the tensors, if
    the inputs are not the tensors."""

    form: Form
    id: str = ""
    tensors: Sequence[TensorHead] = ()
    parameters: Parameters | None = None
    outputs: Sequence[tuple[str, Parameters]] = ()
    names: Sequence[str] = ()
