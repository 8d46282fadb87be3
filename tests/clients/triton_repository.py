"""What tritonclient sees of the repository, over gRPC and REST: one JSON line each. The argument: where things are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tritonclient.grpc
import tritonclient.http
from reporting import PLACE, say
from triton_errors import error_of
from tritonclient.utils import InferenceServerException


def ready(client: Any) -> bool:
    """Over gRPC an unknown model is an error, over REST it is not ready."""
    try:
        return bool(client.is_model_ready("spare"))
    except InferenceServerException:
        return False


def states(found: Any) -> list[str]:
    models = found if isinstance(found, list) else found.get("models", [])
    return [f"{one.get('version', '')} {one['state']}" for one in models if one["name"] == "spare"]


def seen(inference: Any, management: Any, index: Callable[[], Any]) -> dict[str, Any]:
    found = {
        "before": states(index()),
        "not_here": error_of(lambda: inference.load_model("spare")),
        "unknown": error_of(lambda: management.load_model("nobody")),
        "config": error_of(lambda: management.load_model("spare", config="{}")),
    }
    management.load_model("spare")
    management.load_model("spare")
    found["loaded"] = [states(index()), ready(inference)]
    management.unload_model("spare")
    found["unloaded"] = [states(index()), ready(inference)]
    found["again"] = error_of(lambda: management.unload_model("spare"))
    return found


def main() -> None:
    over_grpc = tritonclient.grpc.InferenceServerClient
    here, there = over_grpc(PLACE["inference"]), over_grpc(PLACE["management"])
    found = seen(here, there, lambda: there.get_model_repository_index(as_json=True))
    say("grpc", found)
    over_http = tritonclient.http.InferenceServerClient
    first, second = over_http(PLACE["rest"]), over_http(PLACE["rest_management"], network_timeout=60)
    found = seen(first, second, second.get_model_repository_index)
    say("http", found)


main()
