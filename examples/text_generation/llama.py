"""The Llama network in plain torch, for batches of prompts of different lengths, with a key-value cache.

Rows are padded on the left, so that the newest token of every row is in the last column.  Takes token numbers and
returns logits; requests and text are handled elsewhere.  Keys and queries are rotated in *adjacent* pairs, as GGUF
stores them.
"""

from __future__ import annotations

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
    """Keys and values of all columns so far."""

    def __init__(self, shape: Shape, *, padding: Tensor, columns: int) -> None:
        self.padding = padding  # number of padding columns at the left of each row
        self.used = 0
        rows = len(padding)
        self._kept = torch.empty(shape.layers, 2, rows, shape.kv_heads, columns, shape.head_width)

    def put(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Stores those of the newest columns; returns those of all columns."""
        end = self.used + keys.shape[2]
        for kept, new in zip(self._kept[layer], (keys, values), strict=True):
            kept[:, :, self.used : end] = new
        all_keys, all_values = self._kept[layer, :, :, :, :end]
        return all_keys, all_values


class Llama:
    """The network with its weights (names as `convert` writes them), in float32."""

    def __init__(self, shape: Shape, weights: dict[str, Tensor]) -> None:
        self.shape = shape
        self._weights = weights
        pairs = torch.arange(0, shape.head_width, 2) / shape.head_width
        self._frequencies = shape.rope_base**-pairs

    def new_cache(self, lengths: list[int], *, new_tokens: int) -> Cache:
        longest = max(lengths)
        padding = torch.tensor([longest - length for length in lengths])
        return Cache(self.shape, padding=padding, columns=longest + new_tokens)

    @torch.inference_mode()
    def step(self, tokens: Tensor, cache: Cache) -> Tensor:
        """Reads ``tokens`` (rows x new columns) after the columns in ``cache``; returns the logits of each row's next
        token."""
        columns = torch.arange(cache.used, cache.used + tokens.shape[1])
        turns = self._turns(columns, cache)
        mask = _mask(columns, cache)
        x = F.embedding(tokens, self._weights["embedding"])
        for layer in range(self.shape.layers):
            x = x + self._attention(layer, x, turns, mask, cache)
            x = x + self._mlp(layer, x)
        cache.used += tokens.shape[1]
        return self._norm("norm", x[:, -1]) @ self._weights["embedding"].T  # input and output embedding are one

    def _turns(self, columns: Tensor, cache: Cache) -> Tensor:
        """Returns the rotation of each position and pair, as complex numbers: rows x 1 x columns x pairs."""
        positions = (columns[None, :] - cache.padding[:, None]).clamp(min=0)
        angles = positions[:, None, :, None] * self._frequencies
        return torch.polar(torch.ones_like(angles), angles)

    def _attention(self, layer: int, x: Tensor, turns: Tensor, mask: Tensor, cache: Cache) -> Tensor:
        heads, kv_heads = self.shape.heads, self.shape.kv_heads
        joined = F.linear(self._norm(f"{layer}.attention_norm", x), self._weights[f"{layer}.qkv"])
        split = joined.unflatten(-1, (-1, self.shape.head_width)).transpose(1, 2)
        queries, keys, values = split.split([heads, kv_heads, kv_heads], dim=1)
        keys, values = cache.put(layer, _rotate(keys, turns), values)
        found = F.scaled_dot_product_attention(_rotate(queries, turns), keys, values, attn_mask=mask, enable_gqa=True)
        return F.linear(found.transpose(1, 2).flatten(-2), self._weights[f"{layer}.out"])

    def _mlp(self, layer: int, x: Tensor) -> Tensor:
        gate, up = F.linear(self._norm(f"{layer}.mlp_norm", x), self._weights[f"{layer}.gate_up"]).chunk(2, dim=-1)
        return F.linear(F.silu(gate) * up, self._weights[f"{layer}.down"])

    def _norm(self, name: str, x: Tensor) -> Tensor:
        return F.rms_norm(x, (self.shape.width,), self._weights[name], self.shape.epsilon)


def _rotate(x: Tensor, turns: Tensor) -> Tensor:
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * turns).flatten(-2)


def _mask(columns: Tensor, cache: Cache) -> Tensor:
    """Returns which columns each new column may attend to: rows x 1 x new columns x all columns.

    Tokens attend to the tokens of their row up to themselves.  Padding attends to itself, because a softmax over
    nothing is not a number and would spread.
    """
    every = torch.arange(int(columns[-1]) + 1)
    before = every[None, :] <= columns[:, None]
    itself = every[None, :] == columns[:, None]
    real = every[None, None, :] >= cache.padding[:, None, None]
    return ((before & real) | itself)[:, None]
