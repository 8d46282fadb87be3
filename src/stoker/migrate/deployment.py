"""Finds the parts of a TorchServe deployment on disk, and checks each.

Invariant: reads only, and executes nothing of what it reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stoker.archive.names import shown
from stoker.config import properties
from stoker.config.load import CONFIG_FILE_VARIABLE, DEFAULT_FILE, read_text
from stoker.errors import ConfigurationError, InvalidArchive
from stoker.migrate import archives, models, settings, snapshots, workflows
from stoker.migrate.archives import MODEL_SUFFIXES, WORKFLOW_SUFFIX
from stoker.migrate.findings import Finding, Verdict
from stoker.migrate.settings import Checked
from stoker.snapshots import files as snapshot_files

_STORES = ("model_store", "model-store", "models")
_LOG4J = "log4j2*.xml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """``folder``: where TorchServe was started. ``file``: its properties. ``model_store``: by the command line."""

    folder: Path
    file: Path | None
    model_store: Path | None = None

    @classmethod
    def at(cls, path: Path, *, environment: Mapping[str, str], model_store: Path | None = None) -> Deployment:
        """Finds a deployment in a folder, or by its properties file. Raises ConfigurationError."""
        if path.is_file():
            return cls(folder=path.absolute().parent, file=path, model_store=model_store)
        if not path.is_dir():
            raise ConfigurationError(f"{path} is neither a file nor a folder.")
        named = environment.get(CONFIG_FILE_VARIABLE)
        file = path / (named or DEFAULT_FILE)
        if named and not file.is_file():
            raise ConfigurationError(f"{CONFIG_FILE_VARIABLE} names {named}, which does not exist.")
        return cls(folder=path.absolute(), file=file if file.is_file() else None, model_store=model_store)


def check(deployment: Deployment, *, environment: Mapping[str, str]) -> list[Finding]:
    """Returns the findings in display order. Blocking."""
    try:
        checked = _settings(deployment, environment)
    except ConfigurationError as error:
        reason = str(error).removeprefix("Invalid configuration: ")
        return [Finding("settings", str(deployment.file), Verdict.UNREADABLE, f"{reason}.")]
    store = _store(deployment, checked)
    names = _entries(store) | _folders_to_load(store, checked)
    return [
        *checked.findings,
        *_log_config(deployment),
        *_snapshots(deployment, environment, names),
        *_startup_models(deployment, checked, names),
        *_archives(store, names, checked),
        *_workflows(deployment, checked, store, names),
    ]


def _settings(deployment: Deployment, environment: Mapping[str, str]) -> Checked:
    file = deployment.file
    entries = [] if file is None else properties.parse(read_text(file), file=file.name)
    return settings.check(entries, file=None if file is None else file.name, environment=environment)


def _store(deployment: Deployment, checked: Checked) -> Path | None:
    """Returns the given model store, else a folder with a usual name, else the deployment's own."""
    if deployment.model_store is not None:
        return deployment.model_store
    given = checked.given.get("model_store")
    if given is not None and given.text.strip():
        return deployment.folder / Path(given.text.strip()).expanduser()
    usual = (deployment.folder / name for name in _STORES)
    return next((folder for folder in (*usual, deployment.folder) if _entries(folder)), None)


def _entries(store: Path | None) -> dict[str, Path]:
    """Returns archives and model folders, sorted by name. A folder is a model if it has a manifest."""
    try:
        found = sorted(store.iterdir()) if store is not None else []
        return {path.name: path for path in found if not path.name.startswith(".") and _is_model(path)}
    except OSError:
        return {}


def _folders_to_load(store: Path | None, checked: Checked) -> dict[str, Path]:
    """Returns folders without a manifest that the start loads as models."""
    wanted = checked.settings.load_models
    if store is None or "model_store" not in checked.given:
        return {}
    try:
        folders = [path for path in sorted(store.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    except OSError:
        return {}
    named = {entry.rpartition("=")[2] for entry in wanted}
    return {path.name: path for path in folders if "all" in wanted or path.name in named}


def _is_model(path: Path) -> bool:
    if path.is_dir():
        return any(path.glob("MAR-INF/MANIFEST.json")) or any(path.glob("*/MAR-INF/MANIFEST.json"))
    return path.name.endswith(MODEL_SUFFIXES) and path.is_file()


def _archives(store: Path | None, names: Mapping[str, Path], checked: Checked) -> Iterator[Finding]:
    if store is None or not store.is_dir():
        place = "none was named" if store is None else f"{store} is not there"
        text = f"The archives could not be checked: {place}. Name it with --model-store."
        yield Finding(models.AREA, "model store", Verdict.UNREADABLE, text)
    elif not names:
        yield Finding(models.AREA, "model store", Verdict.SAME, "It holds no archive.")
    for name, path in names.items():
        yield from _archive(name, path, checked)


def _archive(name: str, path: Path, checked: Checked) -> list[Finding]:
    try:
        contents = archives.read(path)
    except InvalidArchive as error:
        return [Finding(models.AREA, name, Verdict.UNSUPPORTED, f"It cannot be loaded: {error} Pack it again.")]
    except OSError as error:
        return [Finding(models.AREA, name, Verdict.UNREADABLE, f"It cannot be read: {error.strerror}.")]
    return models.check(name, contents, checked.settings)


def _startup_models(deployment: Deployment, checked: Checked, names: Mapping[str, Path]) -> Iterator[Finding]:
    for entry in checked.settings.load_models:
        location = entry.rpartition("=")[2]
        if entry == "all" or "://" in entry or location in names:
            continue
        verdict, text = _not_by_name(deployment.folder / location, location, names)
        if text:
            yield Finding(models.AREA, f"load_models: {entry}", verdict, text)


def _not_by_name(path: Path, location: str, names: Mapping[str, Path]) -> tuple[Verdict, str]:
    """Describes a location that is not a name in the model store: a path, or nothing."""
    by_path = "/" in location.rstrip("/")
    namesake = names.get(path.name)
    archive_in_store = by_path and namesake is not None and namesake.is_file()
    if not path.exists() or not (by_path or path.is_dir()):
        if archive_in_store:
            text = f"There is nothing at that path; TorchServe takes {path.name} from the model store: use that name."
            return Verdict.UNSUPPORTED, text
        return Verdict.SAME, "It is not in the model store: skipped with an error in the log, as in TorchServe."
    if archive_in_store and namesake is not None and not path.samefile(namesake):
        return Verdict.CHANGED, f"The file at that path is loaded; TorchServe takes {path.name} from the model store."
    return Verdict.SAME, ""


def _log_config(deployment: Deployment) -> Iterator[Finding]:
    for path in sorted(deployment.folder.glob(_LOG4J)):
        text = f"--log-config {path.name} is read: only its levels take effect, not its appenders, files and patterns."
        yield Finding("logs", path.name, Verdict.CHANGED, text)


def _snapshots(deployment: Deployment, environment: Mapping[str, str], names: Mapping[str, Path]) -> Iterator[Finding]:
    folder = snapshot_files.folder_of(deployment.folder / (environment.get("LOG_LOCATION") or "logs"))
    try:
        written = snapshot_files.newest_first(path.name for path in folder.iterdir() if path.is_file())
    except OSError:
        return
    newest = True
    for name in written:
        try:
            text = read_text(folder / name)
        except ConfigurationError as error:
            yield Finding(snapshots.AREA, name, Verdict.CHANGED, f"It cannot be read, and is skipped: {error}.")
            continue
        yield snapshots.check(name, text, store=names, newest=newest, environment=environment)
        newest = False


def _workflows(
    deployment: Deployment, checked: Checked, store: Path | None, names: Mapping[str, Path]
) -> Iterator[Finding]:
    given = checked.given.get("workflow_store")
    folder = deployment.folder / given.text.strip() if given is not None and given.text.strip() else store
    try:
        found = sorted(path for path in folder.iterdir() if path.name.endswith(WORKFLOW_SUFFIX)) if folder else []
    except OSError:
        found = []
    for path in found:
        try:
            yield from workflows.check(shown(path.name), archives.read(path), names)
        except InvalidArchive as error:
            yield Finding(workflows.AREA, shown(path.name), Verdict.UNSUPPORTED, f"It cannot be registered: {error}")
        except OSError as error:
            yield Finding(workflows.AREA, shown(path.name), Verdict.UNREADABLE, f"It cannot be read: {error.strerror}.")
