"""The public names of `ts.protocol.otf_message_handler`: TorchServe's wire format, and streaming's old address."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from stoker.worker import streaming
from stoker.worker.classic import (
    END_OF_LIST,
    LOAD_MSG,
    PREDICT_MSG,
    RESPONSE,
    bool_size,
    create_load_model_response,
    create_predict_response,
    encode_response_headers,
    int_size,
    retrieve_msg,
)
from stoker.worker.context import Context

__all__ = [
    "END_OF_LIST",
    "LOAD_MSG",
    "PREDICT_MSG",
    "RESPONSE",
    "bool_size",
    "create_load_model_response",
    "create_predict_response",
    "encode_response_headers",
    "int_size",
    "retrieve_msg",
    "send_intermediate_predict_response",
]


def send_intermediate_predict_response(
    ret: Any, req_id_map: Mapping[int, str], message: str, code: int, context: Context | None = None
) -> None:
    """Does as in `ts.handler_utils.utils`, which is where new handlers import it from."""
    text = (
        "ts.protocol.otf_message_handler.send_intermediate_predict_response is deprecated, "
        "import it from ts.handler_utils.utils"
    )
    warnings.warn(text, PendingDeprecationWarning, stacklevel=2)
    streaming.send_intermediate_predict_response(ret, req_id_map, message, code, context)
