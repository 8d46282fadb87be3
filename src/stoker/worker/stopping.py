"""Asks a handler's stopping criterion what a part of an answer is.  PURE.

A handler that is called again for requests which are not finished sets ``context.stopping_criteria``: for each row a
function of the row's output.  True: the answer ends with it.  False: more parts come.  None: it is the whole answer.
Without criteria each output is a whole answer.
"""

from __future__ import annotations

from typing import Any


def is_last(criteria: Any, row: int, output: Any) -> bool | None:
    """``criteria``: anything that is indexed by row; nothing, or an empty one: no criteria.

    Raises: Exception: there is none for this row, or it raises.
    """
    if not criteria:
        return None
    verdict = criteria[row](output)
    return None if verdict is None else bool(verdict)
