"""Which snapshot a start takes, and what of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stoker.config import model_snapshot, properties, security
from stoker.config.load import Given, Loaded
from stoker.config.model_snapshot import ModelSnapshot, SnapshotModel
from stoker.errors import ConfigurationError
from stoker.snapshots.resuming import load_for_start
from stoker.snapshots.settings import properties_of

ONE = SnapshotModel(name="one", version="1.0", default=True, mar_name="one.mar", min_workers=2, max_workers=3)
TWO = SnapshotModel(name="one", version="2.0", default=False, mar_name="two.mar", handler="h.py", parallel_level=2)
SAVED = ModelSnapshot((ONE, TWO))
TORCHSERVES = """#Saving snapshot
#Thu Jun 18 13:13:28 UTC 2020
inference_address=http\\://127.0.0.1\\:9080
load_models=resnet.mar
version=0.12.0
tsConfigFile=logs/config/20200618131328123-startup.cfg
model_snapshot={\\n  "name"\\: "20200618131328123-startup.cfg",\\n\
  "modelCount"\\: 1,\\n  "created"\\: 1592487208123,\\n\
  "models"\\: {\\n    "resnet"\\: {\\n      "1.0"\\: {\\n        "defaultVersion"\\: true,\\n\
        "marName"\\: "resnet.mar",\\n        "minWorkers"\\: 4,\\n        "maxWorkers"\\: 4,\\n\
        "batchSize"\\: 8,\\n\
        "maxBatchDelay"\\: 20\\n      }\\n    }\\n  }\\n}
vmargs=-Xmx1g
"""


def file_text(snapshot: ModelSnapshot, **settings: str) -> str:
    encoded = model_snapshot.encode(snapshot, file_name="f", created_ms=1)
    return "".join(properties.line(k, v) for k, v in {**settings, "model_snapshot": encoded}.items())


def start(folder: Path, ts_config: str | None = None, *, resume: bool = True, **arguments: str) -> Loaded:
    given = {key: Given(value, f"--{key}") for key, value in arguments.items()}
    return load_for_start(arguments=given, environment={}, ts_config=ts_config, resume=resume, directory=folder)


def put(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / "logs" / "config" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


# ------------------------------------------------------------------------------------- resumed unasked


def test_the_newest_snapshot_gives_its_models_and_the_settings_stay_those_of_the_file(tmp_path: Path) -> None:
    put(tmp_path, "20250101000000000-startup.cfg", file_text(ModelSnapshot(()), job_queue_size="1"))
    newest = put(tmp_path, "20250102000000000-shutdown.cfg", file_text(SAVED, job_queue_size="7"))
    (tmp_path / "config.properties").write_text("job_queue_size=5")

    found = start(tmp_path)

    assert found.settings.model_snapshot == SAVED
    assert (found.snapshot, found.settings.job_queue_size) == (newest, 5)
    assert found.file == tmp_path / "config.properties"
    assert "other settings (job_queue_size)" in found.warnings[0]


def test_a_snapshot_that_was_resumed_unasked_is_no_properties_file_in_use(tmp_path: Path) -> None:
    """The quick start stays as open, and everything else as closed, as without it."""
    text = file_text(SAVED, disable_token_authorization="true", inference_address="http://0.0.0.0:1")
    put(tmp_path, "20250102000000000-shutdown.cfg", text)
    found = start(tmp_path)
    assert found.file is None and not found.settings.disable_token_authorization
    access = security.decide(
        found.settings,
        mentioned=security.mentioned_topics(found.given.keys(), {}),
        file_in_use=found.file is not None,
    )
    assert access.open_by_default

    (tmp_path / "config.properties").write_text("")
    assert start(tmp_path).file is not None, "an empty file brings TorchServe's defaults back"


def test_models_named_at_the_command_line_are_ignored_loudly(tmp_path: Path) -> None:
    snapshot = put(tmp_path, "20250102000000000-shutdown.cfg", file_text(SAVED))
    (warning,) = start(tmp_path, load_models="other.mar").warnings
    assert warning.startswith(f"--load_models: load_models is ignored, the models of the snapshot {snapshot} are")


def test_nothing_is_resumed_where_nobody_wants_it(tmp_path: Path) -> None:
    put(tmp_path, "20250102000000000-shutdown.cfg", file_text(SAVED))
    (tmp_path / "named.properties").write_text("job_queue_size=5")
    assert start(tmp_path, resume=False).settings.model_snapshot is None
    assert start(tmp_path, "named.properties").settings.model_snapshot is None


def test_a_start_that_had_nothing_to_resume_is_not_resumed(tmp_path: Path) -> None:
    put(tmp_path, "20250101000000000-shutdown.cfg", file_text(SAVED))
    put(tmp_path, "20250102000000000-shutdown.cfg", file_text(ModelSnapshot((), resume=False)))
    assert start(tmp_path).settings.model_snapshot is None


def broken_at_every_byte(whole: bytes) -> list[bytes]:
    """All beginnings but the one that lacks nothing but the last line's end."""
    return [whole[:length] for length in range(len(whole) - 1)]


def test_truncated_at_any_byte_the_last_good_one_is_resumed_and_both_are_named(tmp_path: Path) -> None:
    good = put(tmp_path, "20250101000000000-snapshot.cfg", file_text(ModelSnapshot((ONE,))))
    for content in broken_at_every_byte(file_text(ModelSnapshot((ONE,)), python="/p").encode()):
        broken = put(tmp_path, "20250102000000000-shutdown.cfg", content)
        found = start(tmp_path)
        assert found.settings.model_snapshot == ModelSnapshot((ONE,))
        (warning,) = (text for text in found.warnings if "cannot be used" in text)
        assert str(broken) in warning and f"{good} is used in its place" in warning


@pytest.mark.parametrize("content", [b"", b"\0" * 300, b"\xff\xfe model_snapshot=", b"model_snapshot=\\u00"])
def test_where_no_snapshot_is_whole_the_server_starts_without(tmp_path: Path, content: bytes) -> None:
    put(tmp_path, "20250102000000000-shutdown.cfg", content)
    found = start(tmp_path, load_models="a.mar")
    assert found.settings.model_snapshot is None and found.settings.load_models == ("a.mar",)
    assert "There is no other: the server starts without a snapshot." in found.warnings[0]


# --------------------------------------------------------------------------------------- named by somebody


def test_a_snapshot_that_is_named_is_a_full_properties_file(tmp_path: Path) -> None:
    file = put(tmp_path, "20250102000000000-shutdown.cfg", file_text(SAVED, job_queue_size="7"))
    (tmp_path / "config.properties").write_text("job_queue_size=5")
    found = start(tmp_path, str(file), resume=False)
    assert (found.file, found.snapshot, found.settings.job_queue_size) == (file, file, 7)
    assert found.settings.model_snapshot == SAVED


def test_torchserves_own_snapshots_are_resumed(tmp_path: Path) -> None:
    file = put(tmp_path, "20200618131328123-startup.cfg", TORCHSERVES)
    found = start(tmp_path, str(file))
    assert found.settings.model_snapshot == ModelSnapshot(
        (
            replace(
                ONE,
                name="resnet",
                mar_name="resnet.mar",
                min_workers=4,
                max_workers=4,
                batch_size=8,
                max_batch_delay_s=0.02,
            ),
        )
    )
    assert found.settings.inference_address.port == 9080
    assert not [text for text in found.warnings if "load_models is ignored" in text], "its own list is what it replaces"
    assert start(tmp_path).settings.model_snapshot == found.settings.model_snapshot


def test_an_older_snapshot_that_is_named_is_resumed_and_no_newer_one(tmp_path: Path) -> None:
    older = put(tmp_path, "20250101000000000-snapshot.cfg", file_text(ModelSnapshot((ONE,)), job_queue_size="7"))
    put(tmp_path, "20250102000000000-shutdown.cfg", file_text(SAVED, job_queue_size="8"))
    for named in (str(older), str(older.relative_to(tmp_path))):
        found = start(tmp_path, named)
        assert found.settings.model_snapshot == ModelSnapshot((ONE,))
        assert (found.snapshot, found.settings.job_queue_size) == (older, 7)
    variable = {"TS_CONFIG_FILE": str(older)}
    found = load_for_start(arguments={}, environment=variable, ts_config="other.cfg", directory=tmp_path)
    assert found.snapshot == older


def test_a_named_snapshot_truncated_at_any_byte_stops_the_start(tmp_path: Path) -> None:
    """Going on without the rest of the file would drop its tokens; going on with another would serve other models."""
    put(tmp_path, "20250101000000000-snapshot.cfg", file_text(ModelSnapshot((ONE,)), job_queue_size="7"))
    file = tmp_path / "20250103000000000-shutdown.cfg"
    for content in broken_at_every_byte(file_text(ModelSnapshot((ONE,)), job_queue_size="8").encode()):
        file.write_bytes(content)
        with pytest.raises(ConfigurationError, match=str(file)):
            start(tmp_path, file.name)


@pytest.mark.parametrize("name", ["20250103000000000-shutdown.cfg", "copy.cfg"])
def test_a_named_snapshot_that_cannot_be_used_stops_the_start_with_file_line_and_key(tmp_path: Path, name: str) -> None:
    put(tmp_path, "20250101000000000-snapshot.cfg", file_text(SAVED))
    (tmp_path / name).write_text(file_text(SAVED, inference_token="secret-secret")[:-5])
    with pytest.raises(ConfigurationError, match=f"{name}, line 2: model_snapshot: not valid JSON") as refused:
        start(tmp_path, name)
    assert "secret-secret" not in refused.value.message


def test_a_bad_value_of_the_command_line_stops_the_start_all_the_same(tmp_path: Path) -> None:
    file = put(tmp_path, "20250103000000000-shutdown.cfg", file_text(SAVED))
    with pytest.raises(ConfigurationError, match="job_queue_size"):
        start(tmp_path, str(file), job_queue_size="many")


# ---------------------------------------------------------------------------------- what stands beside them


def test_effective_settings_have_absolute_paths_and_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.properties").write_text("keystore_pass=secret\nmodel_store=models\nload_models=a.mar\n")
    found = start(tmp_path, python="/p")
    assert properties_of(found) == {"model_store": str(tmp_path / "models"), "python": "/p"}
