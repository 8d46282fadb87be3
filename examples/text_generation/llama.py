"""The Llama network in plain torch, for sequences of different lengths, each with a key-value cache of its own.

New tokens of all sequences go through the layers together, as rows of one matrix: nothing is padded, and sequences may
come and go between two steps.  Takes token numbers and returns logits; requests and text are handled elsewhere.  Keys
and queries are rotated in *adjacent* pairs, as GGUF stores them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The dimensions of a Llama; written by `convert`, read from the archive's shape.json."""

    layers: int
    heads: int
    kv_heads: int
    width: int
    context: int
    rope_base: float
    epsilon: float

    @property
    def head_width(self) -> int:
        return self.width // self.heads


class Cache:
    """Keys and values of one sequence so far, with room for ``tokens`` in all."""

    def __init__(self, shape: Shape, tokens: int) -> None:
        self.used = 0
        self._kept = torch.empty(shape.layers, 2, shape.kv_heads, tokens, shape.head_width).unbind()

    def begin_as(self, other: Cache, tokens: int) -> None:
        """Copies the first ``tokens`` of another sequence that begins with the same."""
        for kept, known in zip(self._kept, other._kept, strict=True):
            kept[:, :, :tokens] = known[:, :, :tokens]
        self.used = tokens

    def put(self, layer: int, keys_and_values: Tensor) -> Tensor:
        """Stores those of the newest tokens (2 x heads x tokens x width); returns those of all tokens."""
        kept, new = self._kept[layer], keys_and_values.shape[2]
        kept.narrow(2, self.used, new).copy_(keys_and_values)
        return kept.narrow(2, 0, self.used + new)


class Llama:
    """The network with its weights (names as `convert` writes them), in float32."""

    def __init__(self, shape: Shape, weights: dict[str, Tensor]) -> None:
        self.shape = shape
        self._weights = weights
        self._linear = {name: Linear(weight) for name, weight in weights.items() if weight.ndim == 2}
        pairs = torch.arange(0, shape.head_width, 2) / shape.head_width
        self._frequencies = shape.rope_base**-pairs

    @torch.inference_mode()
    def step(self, tokens: Sequence[list[int]], caches: Sequence[Cache]) -> Tensor:
        """Reads the new ``tokens`` of each sequence, at least one, after those in its cache; returns the logits of each
        sequence's next token."""
        counts = [len(new) for new in tokens]
        x = F.embedding(torch.tensor([token for new in tokens for token in new]), self._weights["embedding"])
        turns = self._turns(counts, caches)
        for layer in range(self.shape.layers):
            x = x + self._attention(layer, x, turns, counts, caches)
            x = x + self._mlp(layer, x)
        for cache, count in zip(caches, counts, strict=True):
            cache.used += count
        newest = torch.tensor(counts).cumsum(0) - 1
        return self._linear["embedding"](self._norm("norm", x[newest]))  # input and output embedding are one

    def _turns(self, counts: list[int], caches: Sequence[Cache]) -> Tensor:
        """Returns the rotation of each token and pair, as complex numbers: tokens x 1 x pairs."""
        positions = [torch.arange(cache.used, cache.used + n) for cache, n in zip(caches, counts, strict=True)]
        angles = torch.cat(positions)[:, None, None] * self._frequencies
        return torch.polar(torch.ones_like(angles), angles)

    def _attention(self, layer: int, x: Tensor, turns: Tensor, counts: list[int], caches: Sequence[Cache]) -> Tensor:
        heads, kv_heads = self.shape.heads, self.shape.kv_heads
        joined = self._linear[f"{layer}.qkv"](self._norm(f"{layer}.attention_norm", x))
        split = joined.unflatten(-1, (-1, self.shape.head_width))
        turned, values = _rotate(split[:, : heads + kv_heads], turns), split[:, heads + kv_heads :]
        queries, keys = turned.split([heads, kv_heads], dim=1)
        asking = queries.transpose(0, 1).split(counts, 1)
        new = torch.stack((keys, values)).transpose(1, 2).split(counts, 2)  # each 2 x heads x tokens x width
        found = [_attend(a, cache.put(layer, n)) for a, n, cache in zip(asking, new, caches, strict=True)]
        return self._linear[f"{layer}.out"](torch.cat(found))

    def _mlp(self, layer: int, x: Tensor) -> Tensor:
        gate, up = self._linear[f"{layer}.gate_up"](self._norm(f"{layer}.mlp_norm", x)).chunk(2, dim=-1)
        return self._linear[f"{layer}.down"](F.silu(gate) * up)

    def _norm(self, name: str, x: Tensor) -> Tensor:
        return F.rms_norm(x, (self.shape.width,), self._weights[name], self.shape.epsilon)


class Linear:
    """Multiplies by a matrix that is kept in oneDNN's order, where torch has that: a third faster for a few rows."""

    def __init__(self, weight: Tensor) -> None:
        self._packs = torch.backends.mkldnn.is_available()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, 8) if self._packs else weight

    def __call__(self, x: Tensor) -> Tensor:
        if not self._packs:
            return F.linear(x, self._weight)
        found: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, None, "none", [], "")
        return found


def _rotate(x: Tensor, turns: Tensor) -> Tensor:
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * turns).flatten(-2)


def _attend(queries: Tensor, stored: Tensor) -> Tensor:
    """Lets each of the newest tokens of a sequence attend to those up to itself; returns tokens x width."""
    keys, values = stored
    new, every = queries.shape[1], keys.shape[1]
    mask = torch.ones(new, every, dtype=torch.bool).tril(every - new) if new > 1 else None
    found = F.scaled_dot_product_attention(queries[None], keys[None], values[None], attn_mask=mask, enable_gqa=True)[0]
    return found.transpose(0, 1).flatten(1)
