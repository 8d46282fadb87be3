"""MLServer: the model in the server's own process; one BYTES tensor in, one out, a response per part."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import hosted
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput


class Hosted(MLModel):
    async def load(self) -> bool:
        self._host = hosted.load()
        self._one_at_a_time = asyncio.Lock()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        return self._response(self._host.answers([bytes(payload.inputs[0].data[0])])[0])

    async def predict_stream(self, payloads: AsyncIterator[InferenceRequest]) -> AsyncIterator[InferenceResponse]:
        async for payload in payloads:
            async for part in hosted.parts(self._host, bytes(payload.inputs[0].data[0]), self._one_at_a_time):
                yield self._response(part)

    def _response(self, answer: bytes) -> InferenceResponse:
        output = ResponseOutput(name="answer", shape=[1], datatype="BYTES", data=[answer])
        return InferenceResponse(model_name=self.name, outputs=[output])
