"""Raw bytes and Python values of tensors, compared with numpy."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stoker.core.buffer import Buffer
from stoker.tensors import elements
from stoker.tensors.datatypes import DATATYPES

ARRAYS = {
    "BOOL": np.array([True, False]),
    "UINT8": np.array([0, 255], dtype="u1"),
    "UINT16": np.array([0, 65535], dtype="<u2"),
    "UINT32": np.array([0, 2**32 - 1], dtype="<u4"),
    "UINT64": np.array([0, 2**64 - 1], dtype="<u8"),
    "INT8": np.array([-128, 127], dtype="i1"),
    "INT16": np.array([-(2**15), 1], dtype="<i2"),
    "INT32": np.array([-(2**31), 1], dtype="<i4"),
    "INT64": np.array([-(2**63), 1], dtype="<i8"),
    "FP16": np.array([0.5, -65504], dtype="<f2"),
    "FP32": np.array([0.1, np.inf], dtype="<f4"),
    "FP64": np.array([0.1, -np.inf], dtype="<f8"),
}


def check(name: str, shape: list[int], data: Buffer) -> None:
    datatype = DATATYPES[name]
    elements.check(datatype, shape, data, elements.elements_in(datatype, data))


@pytest.mark.parametrize("name", ARRAYS)
def test_numbers_are_numpys_both_ways(name: str) -> None:
    array, datatype = ARRAYS[name], DATATYPES[name]
    assert elements.values_of(datatype, array.tobytes()) == array.tolist()
    assert elements.values_of(datatype, memoryview(array.tobytes())) == array.tolist()
    assert elements.raw_of(datatype, array.tolist()) == array.tobytes()


def test_nan_stays_nan() -> None:
    for name in ("FP16", "BF16", "FP32", "FP64"):
        (value,) = elements.values_of(DATATYPES[name], elements.raw_of(DATATYPES[name], [math.nan]))
        assert math.isnan(value)


@settings(deadline=None)
@given(st.lists(st.floats(width=32), max_size=10))
def test_a_bf16_is_the_nearest_to_an_fp32(numbers: list[float]) -> None:
    torch = pytest.importorskip("torch")
    raw = elements.raw_of(DATATYPES["BF16"], numbers)
    wanted = torch.tensor(numbers, dtype=torch.float32).to(torch.bfloat16)
    assert str(elements.values_of(DATATYPES["BF16"], raw)) == str(wanted.float().tolist())


def test_a_nan_of_ones_leaves_its_neighbour_as_it_is() -> None:
    (nan,) = struct.unpack("<d", b"\xff" * 8)
    assert str(elements.values_of(DATATYPES["BF16"], elements.raw_of(DATATYPES["BF16"], [nan, 0.0]))) == "[nan, 0.0]"


@pytest.mark.parametrize("name", ["UINT8", "INT16", "INT64", "FP32", "FP16"])
def test_more_numbers_than_are_converted_at_once_keep_their_order(name: str) -> None:
    array = (np.arange(200_000) % 251 % 100).astype(ARRAYS[name].dtype)
    assert elements.raw_of(DATATYPES[name], array.tolist()) == array.tobytes()


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40)))
def test_elements_of_bytes_keep_every_byte(values: list[bytes]) -> None:
    raw = elements.joined(values)
    assert elements.values_of(DATATYPES["BYTES"], raw) == values
    check("BYTES", [len(values)], raw)


@pytest.mark.parametrize("cut", [1, 3, 4, 5])
def test_bytes_that_end_within_an_element_are_refused(cut: int) -> None:
    with pytest.raises(ValueError, match="ends within"):
        check("BYTES", [1], elements.joined([b"ab"])[:cut])


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("INT8", [128]),
        ("UINT8", [-1]),
        ("INT32", [1.5]),
        ("INT64", [2**63]),
        ("FP32", ["1"]),
        ("FP16", ["1"]),
        ("FP16", [1e6]),
        ("FP32", [1.0, 1e39]),
        ("FP32", [float("inf"), -1e39]),
        ("BF16", [float("nan"), 1e39]),
        ("BOOL", [2]),
        ("BOOL", ["a"]),
        ("BYTES", [1]),
        ("BYTES", ["\ud800"]),
        ("INT8", [None]),
    ],
)
def test_values_that_a_datatype_lacks_are_refused(name: str, values: list[object]) -> None:
    with pytest.raises(ValueError, match=f"not {name}"):
        elements.raw_of(DATATYPES[name], values)


@pytest.mark.parametrize("name", ["FP16", "BF16", "FP32", "FP64"])
def test_infinity_is_a_number_and_an_overflow_is_none(name: str) -> None:
    values = [float("inf"), -float("inf"), 1.5]
    assert elements.values_of(DATATYPES[name], elements.raw_of(DATATYPES[name], values)) == values


def test_a_byte_that_is_no_boolean_is_refused() -> None:
    check("BOOL", [3], memoryview(b"\0\1\0"))
    with pytest.raises(ValueError, match="not BOOL"):
        check("BOOL", [3], memoryview(b"\0\1\2"))


@pytest.mark.parametrize(
    ("name", "shape", "values", "closed"),
    [
        ("INT16", [-1], [1, 2, 3], [3]),
        ("INT16", [2, -1], [1, 2, 3, 4], [2, 2]),
        ("INT16", [-1, 3], [], [0, 3]),
        ("BYTES", [-1], [b"a", b""], [2]),
    ],
)
def test_a_size_left_open_is_the_one_that_the_data_has(
    name: str, shape: list[int], values: list[object], closed: list[int]
) -> None:
    data = elements.raw_of(DATATYPES[name], values)
    assert elements.closed(shape, elements.elements_in(DATATYPES[name], data)) == closed


@pytest.mark.parametrize("shape", [[2, -1], [-1, 0], [4, -1]])
def test_a_size_left_open_must_fit_the_data(shape: list[int]) -> None:
    with pytest.raises(ValueError, match="has 3 elements, which do not fit the shape"):
        elements.closed(shape, 3)


@pytest.mark.parametrize(
    ("shape", "words"),
    [([-1], "negative"), ([1] * 33, "more than 32"), ([10**9, 0], "too large"), ([0, 10**9], "too large")],
)
def test_absurd_shapes_are_refused(shape: list[int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        elements.count_of(shape)


def test_a_shape_that_its_data_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="has 3 bytes where its shape has 8"):
        check("INT32", [2], b"abc")
    with pytest.raises(ValueError, match="has 1 elements where its shape has 2"):
        check("BYTES", [2], elements.joined([b"a"]))


@pytest.mark.parametrize("shape", [[], [3], [1, 3], [2, 2, 2], [0], [2, 0], [0, 2], [2, 0, 3], [2, 3, 0], [2, 0, 0]])
def test_lists_are_nested_as_numpy_nests_them(shape: list[int]) -> None:
    array = np.arange(math.prod(shape)).reshape(shape)
    assert elements.nested(array.ravel().tolist(), shape) == array.tolist()


@pytest.mark.parametrize("data", [[1, 2, 3, 4], [[1, 2], [3, 4]], [[[1], [2]], [[3], [4]]]])
def test_nested_and_flat_data_are_the_same(data: list[object]) -> None:
    assert elements.flat(data, 4) == [1, 2, 3, 4]


@pytest.mark.parametrize("data", [[1], [[1, 2], 3], [[1], [2, 3]]])
def test_data_of_another_count_or_of_mixed_depth_is_refused(data: list[object]) -> None:
    with pytest.raises(ValueError, match=r"elements|mixture|lengths"):
        elements.flat(data, 2)


@pytest.mark.parametrize("name", ["INT16", "BYTES"])
@pytest.mark.parametrize("shape", [[3], [2, 2], [3, 0], [2, 1, 2]])
def test_rows_are_the_entries_of_the_first_dimension(name: str, shape: list[int]) -> None:
    datatype, count = DATATYPES[name], math.prod(shape)
    values = [bytes([number]) * number for number in range(count)] if name == "BYTES" else list(range(count))
    rows = list(elements.rows_of(datatype, shape, elements.raw_of(datatype, values)))
    each = math.prod(shape[1:])
    wanted = [values[row * each : (row + 1) * each] for row in range(shape[0])]
    assert [elements.values_of(datatype, row) for row in rows] == wanted
