"""BentoML: one service process; bytes in, bytes out, parts as JSON lines.

The handler runs in the event loop: switching to a thread would cost a short handler more, and one worker computes one
request at a time either way. Streams run in BentoML's thread, so that parts leave as they come.
"""

from collections.abc import Generator  # no `from __future__ import annotations`: BentoML reads types at run time
from typing import Annotated

import bentoml
import hosted
from bentoml.validators import ContentType

Binary = Annotated[bytes, ContentType("application/octet-stream")]


@bentoml.service(
    workers=hosted.TASK["workers"],
    threads=1,
    traffic={"timeout": hosted.TASK["response_timeout_s"]},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class Hosted:
    def __init__(self) -> None:
        self.host = hosted.load()

    @bentoml.api(route="/predict")
    async def predict(self, payload: Binary, /) -> Binary:
        answer: bytes = self.host.answers([payload])[0]
        return answer

    @bentoml.api(route="/stream")
    def stream(self, payload: Binary, /) -> Generator[str, None, None]:
        for part in self.host.stream(payload):
            yield hosted.line(part)
