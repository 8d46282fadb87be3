"""Lists the datatypes of the open inference protocol, in one table. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Datatype(NamedTuple):
    """``size``: bytes of an element; 0: each element after its length. ``code``: of `array`; empty where it has none.
    ``contents``: the field of typed contents; empty: raw only. ``number``: in a model config of Triton's clients.
    """

    name: str
    size: int
    code: str
    contents: str
    number: int

    @property
    def is_float(self) -> bool:
        return self.name.startswith(("FP", "BF"))


BOOL, BYTES = "BOOL", "BYTES"

DATATYPES: Mapping[str, Datatype] = {
    row.name: row
    for row in (
        Datatype(BOOL, 1, "B", "bool_contents", 1),
        Datatype("UINT8", 1, "B", "uint_contents", 2),
        Datatype("UINT16", 2, "H", "uint_contents", 3),
        Datatype("UINT32", 4, "I", "uint_contents", 4),
        Datatype("UINT64", 8, "Q", "uint64_contents", 5),
        Datatype("INT8", 1, "b", "int_contents", 6),
        Datatype("INT16", 2, "h", "int_contents", 7),
        Datatype("INT32", 4, "i", "int_contents", 8),
        Datatype("INT64", 8, "q", "int64_contents", 9),
        Datatype("FP16", 2, "", "", 10),
        Datatype("FP32", 4, "f", "fp32_contents", 11),
        Datatype("FP64", 8, "d", "fp64_contents", 12),
        Datatype(BYTES, 0, "", "bytes_contents", 13),
        Datatype("BF16", 2, "", "", 14),
    )
}
