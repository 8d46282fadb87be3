"""Unpacked model directories as clients register them, with real workers: which one is served, and what stays."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from registry_kit import ask, running

from stoker import errors
from stoker.config.model_snapshot import ModelSnapshot, decode, encode
from stoker.core.ports import Health, RegisterRequest
from stoker.registry.registry import Registry

HANDLER = "def handle(data, context):\n    return None if data is None else ['WORD'] * len(data)\n"


class Written:
    """Takes the snapshots, the newest last."""

    def __init__(self) -> None:
        self.snapshots: list[ModelSnapshot] = []

    def write(self, kind: str, snapshot: ModelSnapshot) -> Path:
        self.snapshots.append(snapshot)
        return Path(kind)


def directory(path: Path, *, word: str = "ok", manifest: bool = False) -> Path:
    path.mkdir(parents=True)
    (path / "h.py").write_text(HANDLER.replace("WORD", word))
    if manifest:
        (path / "MAR-INF").mkdir()
        model = {"modelName": "m", "modelVersion": "1.0", "handler": "h.py"}
        (path / "MAR-INF" / "MANIFEST.json").write_text(json.dumps({"runtime": "python", "model": model}))
    return path


async def register(registry: Registry, url: Path | str, **request: Any) -> str:
    return await registry.register(RegisterRequest(url=str(url), initial_workers=1, synchronous=True, **request))


@pytest.mark.parametrize("manifest", [False, True])
async def test_a_multi_model_endpoint_registers_directories_anywhere(folder: Path, manifest: bool) -> None:
    """What SageMaker does: the store is ``/``, and directories come and go by their absolute paths."""
    model = directory(folder / "models" / "abc" / "model", manifest=manifest)
    (model / "code").mkdir()
    async with running(folder, model_store=Path("/"), default_service_handler="h.py:handle") as registry:
        for name in ("abc", "abd"):
            assert "1 initial workers" in await register(registry, model, model_name=name)
            assert await ask(registry, name) == "ok"
        assert registry.describe("abc", None)[0]["modelUrl"] == str(model)
        await registry.unregister("abc", None)
        assert await ask(registry, "abd") == "ok"
        await registry.unregister("abd", None)
    assert (model / "h.py").exists()
    assert not [path for path in (folder / "temp").rglob("*") if path.is_symlink()]


async def test_the_directory_that_is_named_is_served_or_none(folder: Path) -> None:
    directory(folder / "store" / "m", word="the store's", manifest=True)
    elsewhere = directory(folder / "elsewhere" / "m", word="elsewhere", manifest=True)
    async with running(folder) as registry:
        with pytest.raises(errors.PathRefused, match="allowed_model_paths"):
            await register(registry, elsewhere)
        assert registry.list_models(100, 0)["models"] == []
    async with running(folder, allowed_model_paths=(folder / "elsewhere",)) as registry:
        await register(registry, elsewhere)
        assert await ask(registry, "m") == "elsewhere"


async def test_a_directory_is_resumed_from_where_it_lies(folder: Path) -> None:
    directory(folder / "store" / "m", word="the store's", manifest=True)
    elsewhere = directory(folder / "elsewhere" / "m", word="elsewhere", manifest=True)
    written = Written()
    async with running(folder, snapshots=written, allowed_model_paths=(folder / "elsewhere",)) as registry:
        await registry.load_at_startup()
        await register(registry, f"{elsewhere}/")
    saved = decode(encode(written.snapshots[-1], file_name="f", created_ms=0))
    assert saved.models[0].mar_name == "m"
    async with running(folder, model_snapshot=saved) as registry:
        await registry.load_at_startup()
        await asyncio.wait_for(_served(registry, "m"), 30)
        assert await ask(registry, "m") == "elsewhere"


async def _served(registry: Registry, model: str) -> None:
    while registry.health(model) is not Health.SERVING:
        await asyncio.sleep(0.02)


async def test_a_handler_imports_its_directory_as_a_package_of_that_name(folder: Path) -> None:
    model = directory(folder / "store" / "pkg", manifest=True)
    (model / "words.py").write_text("WORD = 'from the package'")
    (model / "h.py").write_text("from pkg.words import WORD\n" + HANDLER.replace("'WORD'", "WORD"))
    async with running(folder) as registry:
        await register(registry, "pkg")
        assert await ask(registry, "m") == "from the package"


@pytest.mark.parametrize("handler", [None, "h.py", "h.py:handle", "h"])
async def test_a_link_in_a_directory_brings_no_code_from_outside(folder: Path, handler: str | None) -> None:
    outside = directory(folder / "outside")
    model = directory(folder / "store" / "m", manifest=True)
    (model / "h.py").unlink()
    (model / "h.py").symlink_to(outside / "h.py")
    async with running(folder) as registry:
        with pytest.raises(errors.InvalidArchive, match=r"A link leads out of the model's directory: h\.py"):
            await register(registry, "m", handler=handler)
    async with running(folder, allowed_model_paths=(outside,)) as registry:
        await register(registry, "m", handler=handler)
        assert await ask(registry, "m") == "ok"
