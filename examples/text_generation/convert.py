"""Converts a GGUF file to what the handler loads: weights.safetensors, tokenizer.json, shape.json.

Done once, at build time: reading the quantised file takes several seconds, reading the result a fraction of one.
Weights are kept in float16, which holds every 4-bit weight of the file to within a two-thousandth of its size.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gguf
import torch
from examples.text_generation.llama import Shape
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

CONTROL_TOKEN = 3  # GGUF's type of tokens that stand for no text, e.g. the end of a turn


def convert(source: Path, folder: Path) -> tuple[Path, Path, Path]:
    """Returns the paths of the three files in ``folder``, made from ``source``."""
    reader = gguf.GGUFReader(source)
    shape = _shape(reader)
    targets = folder / "weights.safetensors", folder / "tokenizer.json", folder / "shape.json"
    save_file(_weights(reader, shape.layers), targets[0])
    _tokenizer(reader).save(str(targets[1]))
    targets[2].write_text(json.dumps(asdict(shape), indent=2), encoding="utf-8")
    return targets


def _field(reader: gguf.GGUFReader, name: str) -> Any:
    field = reader.get_field(name)
    if field is None:
        raise ValueError(f"the GGUF file has no {name}")
    return field.contents()


def _shape(reader: gguf.GGUFReader) -> Shape:
    return Shape(
        layers=_field(reader, "llama.block_count"),
        heads=_field(reader, "llama.attention.head_count"),
        kv_heads=_field(reader, "llama.attention.head_count_kv"),
        width=_field(reader, "llama.embedding_length"),
        context=_field(reader, "llama.context_length"),
        rope_base=_field(reader, "llama.rope.freq_base"),
        epsilon=_field(reader, "llama.attention.layer_norm_rms_epsilon"),
    )


def _weights(reader: gguf.GGUFReader, layers: int) -> dict[str, torch.Tensor]:
    """Joins matrices that multiply the same vector into one, which is faster."""
    found = {tensor.name: tensor for tensor in reader.tensors}

    def join(*names: str) -> torch.Tensor:
        parts = [torch.from_numpy(gguf.dequantize(found[n].data, found[n].tensor_type).copy()) for n in names]
        joined = torch.cat(parts)
        return joined.to(torch.float16) if joined.ndim > 1 else joined  # the norms are small and were not quantised

    weights = {"embedding": join("token_embd.weight"), "norm": join("output_norm.weight")}
    for layer in range(layers):
        block = f"blk.{layer}"
        weights[f"{layer}.attention_norm"] = join(f"{block}.attn_norm.weight")
        weights[f"{layer}.qkv"] = join(*(f"{block}.attn_{part}.weight" for part in "qkv"))
        weights[f"{layer}.out"] = join(f"{block}.attn_output.weight")
        weights[f"{layer}.mlp_norm"] = join(f"{block}.ffn_norm.weight")
        weights[f"{layer}.gate_up"] = join(f"{block}.ffn_gate.weight", f"{block}.ffn_up.weight")
        weights[f"{layer}.down"] = join(f"{block}.ffn_down.weight")
    return weights


def _tokenizer(reader: gguf.GGUFReader) -> Tokenizer:
    """Makes a byte-level BPE tokenizer that splits digits, as this model family was trained."""
    tokens: list[str] = _field(reader, "tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ", 1)) for merge in _field(reader, "tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    types: list[int] = _field(reader, "tokenizer.ggml.token_type")
    tokenizer.add_special_tokens([token for token, kind in zip(tokens, types, strict=True) if kind == CONTROL_TOKEN])
    return tokenizer
