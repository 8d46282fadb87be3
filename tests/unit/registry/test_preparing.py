"""Which interpreter workers get, and when pip runs: what the archive asks for and what the operator allows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from registry_fakes import FakeStore

from stoker.config.model_config import ModelConfig
from stoker.config.settings import Settings
from stoker.core.ports import RegisterRequest
from stoker.registry import preparing
from stoker.registry.merge import Machine
from stoker.registry.preparing import Preparer


class FakeInstaller:
    calls: list[tuple[str, str | None, Path | None]]

    def __init__(self, *, python: str) -> None:
        pass

    async def install(self, *, model: str, manifest: Any, model_dir: Path) -> None:
        self.calls.append(("install", manifest.requirements_file, None))

    async def make_venv(self, *, model: str, manifest: Any, model_dir: Path, venv_dir: Path) -> str:
        self.calls.append(("venv", manifest.requirements_file, venv_dir.relative_to(model_dir)))
        return str(venv_dir / "bin" / "python")


@pytest.mark.parametrize(
    ("allowed", "use_venv", "calls"),
    [
        (False, False, []),
        (True, False, [("install", "requirements.txt", None)]),
        (False, True, [("venv", None, Path(".stoker-venv"))]),
        (True, True, [("venv", "requirements.txt", Path(".stoker-venv"))]),
    ],
)
async def test_pip_runs_only_where_the_operator_allows_it_and_a_venv_is_the_models_own(
    monkeypatch: pytest.MonkeyPatch, allowed: bool, use_venv: bool, calls: list[Any]
) -> None:
    FakeInstaller.calls = []
    monkeypatch.setattr(preparing, "Installer", FakeInstaller)
    settings = Settings(python="/usr/bin/python", install_py_dep_per_model=allowed)
    monkeypatch.setattr(ModelConfig, "load", lambda path: ModelConfig.of({"useVenv": use_venv}))
    store: Any = FakeStore()
    store.extra = {"requirements_file": "requirements.txt", "config_file": "model-config.yaml"}
    preparer = Preparer(settings=settings, store=store, machine=Machine(gpus=0, cpus=1))
    made = await preparer.prepare(RegisterRequest(url="m@1.0"), at_startup=False, check=lambda key: None)
    assert FakeInstaller.calls == calls
    assert made.python.endswith("/.stoker-venv/bin/python") if use_venv else made.python == "/usr/bin/python"
