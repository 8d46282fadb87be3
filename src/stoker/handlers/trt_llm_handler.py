"""`TRTLLMHandler`: says why TensorRT-LLM is not served."""

from __future__ import annotations

from typing import Any


class TRTLLMHandler:
    def initialize(self, context: Any) -> None:
        raise ImportError(
            "stoker has no trt_llm_handler: TensorRT-LLM builds an engine per type of GPU, for a runtime of its own. "
            "Use vllm_handler, or a handler of your own with asyncCommunication around tensorrt_llm.llmapi."
        )

    async def handle(self, data: list[dict[str, Any]], context: Any) -> list[Any]:
        raise NotImplementedError("initialize refuses before")
