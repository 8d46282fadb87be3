"""The models of the suite, as archives and, for servers that run none, unpacked: the same files for all."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import yaml

from stoker.archive import builder, workflow_builder
from stoker.bench.contender import Model

ROOT = Path(__file__).resolve().parent.parent
VISION = ("torch==2.13.0", "numpy", "pillow", "efficientnet-lite-pytorch==0.1.0")
TEXT = ("torch==2.13.0", "numpy", "tokenizers", "safetensors")
REQUIREMENTS = tuple(dict.fromkeys([*VISION, *TEXT]))
"""Packages that the handlers of all models import; every contender's venv has them."""
HANDLERS = ROOT / "benchmarks" / "handlers"


def synthetic(
    name: str, home: Path, *, handler: str, handler_class: str, extra: tuple[str, ...] = (), config: str = ""
) -> Model:
    """Makes a model that is only a handler. ``config``: its model-config.yaml."""
    home.mkdir(parents=True, exist_ok=True)
    config_file = home / f"{name}.yaml"
    if config:
        config_file.write_text(config)
    request = builder.BuildRequest(
        model_name=name,
        version="1.0",
        handler=str(HANDLERS / handler),
        extra_files=",".join(str(HANDLERS / file) for file in extra) or None,
        config_file=str(config_file) if config else None,
        export_path=str(home),
        force=True,
    )
    return _unpacked(builder.build(request), home, handler_class)


def digest_one(home: Path) -> Model:
    return synthetic("digest_one", home, handler="digest_one.py", handler_class="DigestOne", extra=("digest.py",))


def digest_tensors(home: Path) -> Model:
    """Makes the digest model with metadata for the open inference protocol; for others it is the same."""
    return synthetic(
        "digest_tensors",
        home,
        handler="digest_one.py",
        handler_class="DigestOne",
        extra=("digest.py",),
        config="openInference:\n  inputs: [{name: data, datatype: BYTES, shape: [-1]}]\n",
    )


def digest(home: Path) -> Model:
    return synthetic("digest", home, handler="digest.py", handler_class="Digest")


def ample(home: Path) -> Model:
    return synthetic("ample", home, handler="ample.py", handler_class="Ample")


def parts(home: Path) -> Model:
    return synthetic("parts", home, handler="parts.py", handler_class="Parts")


def chain(home: Path) -> Model:
    """Makes a workflow of two functions. To the suite it is a model of that name."""
    folder = home / "chain"
    folder.mkdir(parents=True, exist_ok=True)
    (home / "chain.war").unlink(missing_ok=True)
    spec = folder / "workflow.yaml"
    spec.write_text("models: {}\ndag: {first: [second]}\n")
    handler = HANDLERS / "chain.py"
    request = workflow_builder.WorkflowBuildRequest(
        workflow_name="chain", spec_file=str(spec), handler=str(handler), export_path=str(home)
    )
    return Model(
        name="chain",
        archive=workflow_builder.build(request),
        handler_file=handler,
        handler_class=None,
        folder=folder,
    )


def example(name: str, home: Path, *, handler_class: str, requirements: tuple[str, ...]) -> Model:
    """Builds a model of examples/; quick if it is up to date."""
    home.mkdir(parents=True, exist_ok=True)
    build = [sys.executable, "-m", f"examples.{name}.build_archive", "--output", str(home)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"examples/{name} could not be built: {(done.stderr or done.stdout).strip()[-300:]}")
    return _unpacked(home / f"{name}.mar", home, handler_class, requirements)


def vision(home: Path) -> Model:
    return example("image_classifier", home, handler_class="ImageClassifier", requirements=VISION)


def text(home: Path) -> Model:
    return example("text_generation", home, handler_class="TextGenerator", requirements=TEXT)


def text_continuous(home: Path) -> Model:
    handler_class = "ContinuousTextGenerator"
    return example("text_generation_continuous", home, handler_class=handler_class, requirements=TEXT)


def text_shared(home: Path) -> Model:
    """Makes the text model with ``shareWeights: true``: the same files except model-config.yaml."""
    plain = text(home)
    archive = home / "text_generation_shared.mar"
    if not archive.exists() or archive.stat().st_mtime < plain.archive.stat().st_mtime:
        _copy_with_config(plain.archive, archive, "shareWeights: true\n")
    return _unpacked(archive, home, plain.handler_class, plain.requirements)


def _copy_with_config(source: Path, target: Path, more: str) -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename == "model-config.yaml":
                content += more.encode()
            if entry.filename == "MAR-INF/MANIFEST.json":
                content = content.replace(b'"text_generation"', b'"text_generation_shared"')
            new.writestr(entry, content)


def _unpacked(archive: Path, home: Path, handler_class: str | None, requirements: tuple[str, ...] = ()) -> Model:
    folder = home / archive.stem
    if not folder.exists() or folder.stat().st_mtime < archive.stat().st_mtime:
        shutil.rmtree(folder, ignore_errors=True)
        with zipfile.ZipFile(archive) as file:
            file.extractall(folder)
        folder.touch()
    manifest: dict[str, Any] = json.loads((folder / "MAR-INF" / "MANIFEST.json").read_text())
    handler = Path(manifest["model"]["handler"]).name
    return Model(
        name=manifest["model"]["modelName"],
        archive=archive,
        handler_file=folder / handler,
        handler_class=handler_class,
        folder=folder,
        manifest=manifest,
        config=_config(folder),
        requirements=requirements,
    )


def _config(folder: Path) -> dict[str, Any]:
    file = folder / "model-config.yaml"
    return yaml.safe_load(file.read_text()) if file.exists() else {}
