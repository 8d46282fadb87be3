"""Says why there is no TensorRT-LLM handler."""

raise ImportError(
    "stoker has no trt_llm_handler: TensorRT-LLM engines are built for one GPU type and served by their own runtime. "
    "Use vllm_handler, or a handler of your own with asyncCommunication around tensorrt_llm.llmapi."
)
