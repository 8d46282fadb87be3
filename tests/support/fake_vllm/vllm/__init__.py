"""NOT vLLM: a small fake with the names and signatures that `vllm_handler` uses. It counts upwards instead of thinking.

``/v1/models`` also tells what the engine was given and how many requests were aborted, an answer what was asked.
"""

import argparse
import asyncio
import json
import sys
import types

from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route


class FlexibleArgumentParser(argparse.ArgumentParser):
    pass


def make_arg_parser(parser):
    parser.add_argument("--model", default="facebook/opt-125m")
    parser.add_argument("--served-model-name", nargs="+")
    parser.add_argument("--max-model-len", type=int)
    parser.add_argument("--enable-lora", action="store_true")
    parser.add_argument("--lora-modules", nargs="+")
    parser.add_argument("--chat-template")
    return parser


class AsyncEngineArgs:
    def __init__(self, model, max_model_len):
        self.model, self.max_model_len = model, max_model_len

    @classmethod
    def from_cli_args(cls, args):
        return cls(args.model, args.max_model_len)


class AsyncLLM:
    def __init__(self, args):
        self.model_config = types.SimpleNamespace(model=args.model, max_model_len=args.max_model_len)
        self.aborted = 0

    @classmethod
    def from_engine_args(cls, args):
        return cls(args)

    async def get_supported_tasks(self):
        return ("generate",)

    async def generate(self, count):
        try:
            for number in range(count):
                await asyncio.sleep(0.005)
                yield f"{number} "
        except (asyncio.CancelledError, GeneratorExit):
            self.aborted += 1
            raise


class LoRAModulePath:
    def __init__(self, name, path, base_model_name=None):
        self.name, self.path = name, path


def build_app(args, supported_tasks, model_config):
    assert supported_tasks == ("generate",)
    return Starlette(
        routes=[
            Route("/v1/models", models),
            Route("/v1/completions", complete, methods=["POST"]),
            Route("/v1/chat/completions", complete, methods=["POST"]),
            Route("/metrics", models),
        ]
    )


async def init_app_state(engine, state, args, supported_tasks):
    state.engine = engine
    lora = [(module.name, module.path) for module in args.lora_modules or ()]
    state.facts = {"max_model_len": args.max_model_len, "template": args.chat_template, "lora": lora}
    state.names = [*(args.served_model_name or [args.model]), *(name for name, _ in lora)]


async def models(request):
    state = request.app.state
    data = [{"id": name, "object": "model", "created": 1, "owned_by": "vllm"} for name in state.names]
    return JSONResponse({"object": "list", "data": data, "facts": state.facts, "aborted": state.engine.aborted})


async def complete(request):
    state, chat = request.app.state, request.url.path.endswith("chat/completions")
    try:
        asked = json.loads(await request.body())
        assert asked["messages" if chat else "prompt"]
    except (ValueError, KeyError, TypeError, AssertionError):
        return error(400, "BadRequestError", "the request is not valid")
    if asked.get("model") not in state.names:
        return error(404, "NotFoundError", f"The model `{asked.get('model')}` does not exist.")
    pieces = state.engine.generate(asked.get("max_tokens", 3))
    facts = {"id": "chatcmpl-1" if chat else "cmpl-1", "created": 1, "model": asked["model"]}
    if asked.get("stream"):
        return StreamingResponse(events(pieces, facts, chat), media_type="text/event-stream")
    text = "".join([piece async for piece in pieces])
    content = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    facts["object"] = "chat.completion" if chat else "text_completion"
    facts["asked"] = asked
    return JSONResponse({**facts, "choices": [{"index": 0, "finish_reason": "length", **content}]})


async def events(pieces, facts, chat):
    facts["object"] = "chat.completion.chunk" if chat else "text_completion"
    async for piece in pieces:
        content = {"delta": {"content": piece}} if chat else {"text": piece}
        yield f"data: {json.dumps({**facts, 'choices': [{'index': 0, 'finish_reason': None, **content}]})}\n\n"
    yield "data: [DONE]\n\n"


def error(status, kind, message):
    return JSONResponse({"error": {"message": message, "type": kind, "param": None, "code": status}}, status)


MODULES = {
    "vllm.utils": (),
    "vllm.utils.argparse_utils": (FlexibleArgumentParser,),
    "vllm.engine": (),
    "vllm.engine.arg_utils": (AsyncEngineArgs,),
    "vllm.v1": (),
    "vllm.v1.engine": (),
    "vllm.v1.engine.async_llm": (AsyncLLM,),
    "vllm.entrypoints": (),
    "vllm.entrypoints.common": (),
    "vllm.entrypoints.common.cli_args": (make_arg_parser,),
    "vllm.entrypoints.launchers": (),
    "vllm.entrypoints.launchers.app": (build_app,),
    "vllm.entrypoints.launchers.api_server": (),
    "vllm.entrypoints.launchers.api_server.app_state": (init_app_state,),
    "vllm.entrypoints.openai": (),
    "vllm.entrypoints.openai.models": (),
    "vllm.entrypoints.openai.models.protocol": (LoRAModulePath,),
}
for name, members in MODULES.items():
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__ = []
    vars(module).update({member.__name__: member for member in members})
