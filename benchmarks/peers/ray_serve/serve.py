"""Ray Serve: one replica behind its gRPC proxy; a `BytesValue` in, a `BytesValue` out, one per part."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import hosted
import ray
from google.protobuf.wrappers_pb2 import BytesValue
from ray import serve
from ray.serve.config import gRPCOptions


@serve.deployment(
    num_replicas=hosted.TASK["workers"],
    max_ongoing_requests=128,  # more than the load has: otherwise the proxy backs off before a replica that could queue
    ray_actor_options={"num_cpus": 0},
    logging_config={"log_level": "WARNING", "enable_access_log": False},
)
class Hosted:
    def __init__(self) -> None:
        self._host = hosted.load()
        self._one_at_a_time = asyncio.Lock()

    async def Predict(self, request: BytesValue) -> BytesValue:
        return BytesValue(value=self._host.answers([request.value])[0])

    async def Stream(self, request: BytesValue) -> AsyncIterator[BytesValue]:
        async for part in hosted.parts(self._host, request.value, self._one_at_a_time):
            yield BytesValue(value=part)


if __name__ == "__main__":
    task = hosted.TASK
    ray.init(
        address="local",
        include_dashboard=False,
        log_to_driver=False,
        _node_ip_address=task["host"],
        _temp_dir=task["short_folder"],
        object_store_memory=128 << 20,  # payloads of this size travel beside it
    )
    serve.start(
        proxy_location="HeadOnly",
        http_options={"host": task["host"], "port": task["more_ports"][0]},
        grpc_options=gRPCOptions(port=task["port"], grpc_servicer_functions=["servicer.add_to_server"]),
        logging_config={"log_level": "WARNING", "enable_access_log": False},
    )
    serve.run(Hosted.bind(), blocking=True)
