"""The package openai, unmodified, against the server whose address is the first argument; the model is the second."""

import asyncio
import json
import sys

import openai

address, name = sys.argv[1:3]
REFUSED = {
    "stop": {"stop": [1]},
    "stops": {"stop": ["a", "b", "c", "d", "e"]},
    "n": {"n": 2},
    "logprobs": {"logprobs": True},
    "limit": {"max_completion_tokens": 0},
    "tool": {"messages": [{"role": "tool", "content": "1", "tool_call_id": "a"}]},
    "picture": {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
    "no content": {"messages": [{"role": "assistant", "content": None}]},
}
HARMLESS = {
    "n": 1,
    "logprobs": False,
    "frequency_penalty": 0,
    "response_format": {"type": "text"},
    "temperature": 0.2,
    "user": "u",
    "stop": None,
}
PARIS = [{"role": "user", "content": "What is the capital of France?"}]


def tell(case, result):
    print(json.dumps({"case": case, "result": result}), flush=True)


def refused(call):
    try:
        call()
    except openai.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.body["message"] if error.body else None]
    return None


def cases(prefix, client):
    tell(f"{prefix} models", [model.id for model in client.models.list()])
    chat = client.chat.completions.create(model=name, messages=PARIS, max_tokens=20)
    tell(f"{prefix} chat", [chat.object, chat.choices[0].message.content, chat.choices[0].finish_reason])
    tell(f"{prefix} usage", [chat.usage.completion_tokens, chat.usage.total_tokens - chat.usage.prompt_tokens])
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(client.chat.completions.create(model=name, messages=PARIS, **options))
    text = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    ends = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    tell(f"{prefix} chat stream", ["".join(text), len(text) > 3, ends[-1], set(ends[:-1]) == {None}])
    tell(f"{prefix} stream usage", chunks[-1].usage.completion_tokens)
    done = client.completions.create(model=name, prompt="Once upon a time", max_tokens=5)
    tell(f"{prefix} completion", [done.object, done.choices[0].text, done.choices[0].finish_reason])
    parts = client.completions.create(model=name, prompt="Once upon a time", max_tokens=5, stream=True)
    tell(f"{prefix} completion stream", "".join(part.choices[0].text for part in parts))
    tell(f"{prefix} unknown model", refused(lambda: client.chat.completions.create(model="x", messages=PARIS)))
    tell(f"{prefix} no messages", refused(lambda: client.chat.completions.create(model=name, messages=[])))
    stopped = client.chat.completions.create(model=name, messages=PARIS, stop=" Paris")
    tell(f"{prefix} stop", [stopped.choices[0].message.content, stopped.choices[0].finish_reason])
    parts = list(client.chat.completions.create(model=name, messages=PARIS, stop=["never", "tal of Fr"], stream=True))
    text = "".join(part.choices[0].delta.content for part in parts)
    tell(f"{prefix} stop in a stream", [text, parts[-1].choices[0].finish_reason])
    for case, members in REFUSED.items():
        more = {"messages": PARIS, **members}
        tell(f"{prefix} refused {case}", refused(lambda more=more: client.chat.completions.create(model=name, **more)))
    plain = client.chat.completions.create(model=name, messages=PARIS, max_tokens=2, **HARMLESS)
    tell(f"{prefix} harmless", plain.usage.completion_tokens)
    turns = [{"role": "system", "content": "Be brief."}, *PARIS, {"role": "assistant", "content": "Paris."}]
    more = [*turns, {"role": "user", "content": [{"type": "text", "text": "And of Italy?"}]}]
    answer = client.chat.completions.create(model=name, messages=more, max_completion_tokens=12)
    tell(f"{prefix} turns", bool(answer.choices[0].message.content))


async def together():
    async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        ask = client.chat.completions.create
        answers = await asyncio.gather(*(ask(model=name, messages=PARIS, max_tokens=20) for _ in range(4)))
        tell("together", sorted({answer.choices[0].message.content for answer in answers}))


for prefix, base_url in (("model", f"{address}/predictions/{name}/1.0/v1"), ("plain", f"{address}/v1")):
    with openai.OpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=120) as client:
        cases(prefix, client)
asyncio.run(together())
