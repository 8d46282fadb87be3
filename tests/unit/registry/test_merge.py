"""Who wins, value by value: the table of the contract (config 5.2 and 5.3)."""

from __future__ import annotations

from typing import Any

import pytest

from stoker import errors
from stoker.archive.manifest import Manifest
from stoker.config.model_config import ModelConfig
from stoker.config.model_defaults import parse_models
from stoker.config.settings import Settings
from stoker.core.model import ModelSpec
from stoker.core.ports import RegisterRequest
from stoker.core.ranks import Ranks
from stoker.registry import merge
from stoker.registry.merge import Machine, Sources

HUGE = 2**31 - 1


def spec_of(
    *,
    api: dict[str, Any] | None = None,
    yaml: dict[str, Any] | None = None,
    models: str = "{}",
    settings: dict[str, Any] | None = None,
    manifest: dict[str, Any] | None = None,
    at_startup: bool = False,
    fallback_name: str | None = None,
    gpus: int = 0,
) -> ModelSpec:
    model_settings = f'{{"m": {{"1.0": {models}}}}}'
    request = RegisterRequest(**{"url": "m.mar", **(api or {})})
    merge.check_request(request)
    sources = Sources(
        request=request,
        manifest=Manifest(**{"model_name": "m", "handler": "h.py", **(manifest or {})}),
        config=ModelConfig.of(yaml or {}),
        settings=Settings(models=parse_models(model_settings), **(settings or {})),
        machine=Machine(gpus=gpus, cpus=6),
        at_startup=at_startup,
        fallback_name=fallback_name,
    )
    return merge.model_spec(sources, url="m.mar", model_dir="/models/m")


@pytest.mark.parametrize(
    ("member", "api", "yaml", "models", "settings", "wins"),
    [
        ("batch_size", {"batch_size": 2}, {"batchSize": 3}, '{"batchSize": 4}', {}, 2),
        ("batch_size", {}, {"batchSize": 3}, '{"batchSize": 4}', {}, 3),
        ("batch_size", {"batch_size": 0}, {}, '{"batchSize": 4}', {}, 4),
        ("batch_size", {}, {}, '{"batchSize": -4}', {}, 1),
        ("max_batch_delay_s", {"max_batch_delay_s": 0.0}, {"maxBatchDelay": 30}, '{"maxBatchDelay": 40}', {}, 0.0),
        ("max_batch_delay_s", {}, {"maxBatchDelay": 30}, '{"maxBatchDelay": 40}', {}, 0.03),
        ("max_batch_delay_s", {}, {}, '{"maxBatchDelay": 40}', {}, 0.04),
        ("max_batch_delay_s", {}, {}, "{}", {}, 0.1),
        (
            "response_timeout_s",
            {"response_timeout_s": 1.0},
            {"responseTimeout": 2},
            '{"responseTimeout": 3}',
            {"default_response_timeout_s": 4.0},
            1.0,
        ),
        (
            "response_timeout_s",
            {},
            {"responseTimeout": 2},
            '{"responseTimeout": 3}',
            {"default_response_timeout_s": 4.0},
            2.0,
        ),
        (
            "response_timeout_s",
            {},
            {"batchSize": 1},
            '{"responseTimeout": 3}',
            {"default_response_timeout_s": 4.0},
            3.0,
        ),
        ("response_timeout_s", {}, {"batchSize": 1}, "{}", {"default_response_timeout_s": 4.0}, 4.0),
        ("response_timeout_s", {}, {}, "{}", {}, 120.0),
        ("startup_timeout_s", {"startup_timeout_s": 0.0}, {"startupTimeout": 2}, '{"startupTimeout": 3}', {}, 0.0),
        ("startup_timeout_s", {}, {"startupTimeout": 2}, '{"startupTimeout": 3}', {}, 2.0),
        ("startup_timeout_s", {}, {}, '{"startupTimeout": 3}', {"default_startup_timeout_s": 4.0}, 3.0),
        ("startup_timeout_s", {}, {}, "{}", {"default_startup_timeout_s": 4.0}, 4.0),
        ("job_queue_size", {}, {"jobQueueSize": 7}, "{}", {"job_queue_size": 8}, 7),
        ("job_queue_size", {}, {"jobQueueSize": 0}, "{}", {"job_queue_size": 8}, 8),
        ("client_timeout_s", {}, {"clientTimeoutInMills": 1500}, "{}", {}, 1.5),
        ("client_timeout_s", {}, {}, "{}", {}, 0.0),
        ("share_weights", {}, {"shareWeights": True}, "{}", {}, True),
        ("use_venv", {}, {"useVenv": True}, "{}", {}, True),
        ("batching", {}, {}, '{"batching": "fixed"}', {}, "adaptive"),
        ("use_venv", {}, {}, '{"useVenv": true}', {}, False),
        ("yaml_config", {}, {"handler": 1}, '{"batchSize": 2}', {}, {"handler": 1}),
        ("max_retry_timeout_s", {}, {"maxRetryTimeoutInSec": 9}, "{}", {}, 9.0),
        ("max_retry_timeout_s", {}, {}, "{}", {}, 300.0),
        ("batching", {}, {"batching": "fixed"}, "{}", {}, "fixed"),
        ("batching", {}, {}, "{}", {}, "adaptive"),
        ("stream_batching", {}, {"streamBatching": True}, "{}", {}, True),
        ("continuous", {}, {"continuousBatching": True}, "{}", {}, True),
        ("continuous", {}, {}, "{}", {}, False),
        ("async_jobs", {}, {"asyncCommunication": True}, "{}", {}, 256),
        ("async_jobs", {}, {"asyncCommunication": True, "asyncConcurrency": 8}, "{}", {}, 8),
        ("async_jobs", {}, {"asyncConcurrency": 8}, "{}", {}, 0),
        ("handler", {"handler": "mine"}, {}, "{}", {"default_service_handler": "other"}, "mine"),
        ("runtime", {"runtime": "python3"}, {}, '{"runtimeType": "python"}', {}, "python3"),
        ("runtime", {}, {}, '{"runtimeType": "python3"}', {}, "python3"),
        ("envelope", {}, {}, "{}", {"service_envelope": "json"}, "json"),
    ],
)
def test_the_first_that_says_something_wins(
    member: str, api: dict[str, Any], yaml: dict[str, Any], models: str, settings: dict[str, Any], wins: object
) -> None:
    assert getattr(spec_of(api=api, yaml=yaml, models=models, settings=settings), member) == wins


def test_for_a_debugger_time_stands_still_and_one_worker_is_the_default_at_start() -> None:
    debug = {"debug": True, "default_workers_per_model": 3}
    for yaml in ({}, {"responseTimeout": 1, "startupTimeout": 1}):
        spec = spec_of(api={"response_timeout_s": 2.0}, yaml=yaml, settings=debug, at_startup=True)
        assert (spec.response_timeout_s, spec.startup_timeout_s) == (HUGE, HUGE)
        assert (spec.min_workers, spec.max_workers) == (1, 1)
    chosen = spec_of(yaml={"minWorkers": 2, "maxWorkers": 3}, settings=debug, at_startup=True)
    assert (chosen.min_workers, chosen.max_workers) == (2, 3)
    assert spec_of(settings=debug).min_workers == 3, "models of clients get what they always get"


@pytest.mark.parametrize("at_startup", [False, True])
@pytest.mark.parametrize(
    ("api", "yaml", "models", "settings", "gpus", "by_api", "at_start"),
    [
        ({"initial_workers": 5}, {"minWorkers": 2, "maxWorkers": 3}, '{"minWorkers": 4}', {}, 0, (2, 3), (2, 3)),
        ({"initial_workers": 5}, {"minWorkers": 2}, "{}", {}, 0, (5, 5), (5, 5)),
        ({"initial_workers": 5}, {"maxWorkers": 2}, "{}", {}, 0, (5, 5), (5, 5)),
        ({"initial_workers": 0}, {}, "{}", {"default_workers_per_model": 3}, 0, (0, 0), (0, 0)),
        ({}, {}, '{"minWorkers": 4, "maxWorkers": 6}', {}, 0, (0, 0), (4, 6)),
        ({}, {}, '{"minWorkers": 4}', {"default_workers_per_model": 3}, 0, (3, 3), (4, 4)),
        ({}, {}, "{}", {"default_workers_per_model": 3}, 2, (3, 3), (3, 3)),
        ({}, {}, "{}", {}, 2, (0, 0), (2, 2)),
        ({}, {}, "{}", {}, 0, (0, 0), (6, 6)),
    ],
)
def test_worker_counts(
    api: dict[str, Any],
    yaml: dict[str, Any],
    models: str,
    settings: dict[str, Any],
    gpus: int,
    by_api: tuple[int, int],
    at_start: tuple[int, int],
    at_startup: bool,
) -> None:
    spec = spec_of(api=api, yaml=yaml, models=models, settings=settings, gpus=gpus, at_startup=at_startup)

    assert (spec.min_workers, spec.max_workers) == (at_start if at_startup else by_api)


@pytest.mark.parametrize(
    ("yaml", "gpus", "device_type", "device_ids"),
    [
        ({}, 0, "cpu", None),
        ({}, 2, "gpu", None),
        ({"deviceType": "cpu"}, 2, "cpu", None),
        ({"deviceType": "gpu"}, 0, "cpu", None),
        ({"deviceType": "neuron"}, 2, "gpu", None),
        ({"deviceIds": [1]}, 2, "gpu", (1,)),
        ({"deviceIds": [0, 2]}, 2, "gpu", None),
        ({"deviceIds": [0, -1]}, 2, "gpu", None),
        ({"deviceIds": [0]}, 0, "cpu", None),
        ({"deviceType": "cpu", "deviceIds": [0]}, 2, "cpu", None),
        ({"parallelType": "custom", "parallelLevel": 1}, 1, "gpu", None),
        ({"parallelLevel": 8}, 1, "gpu", None),
    ],
)
def test_devices(yaml: dict[str, Any], gpus: int, device_type: str, device_ids: tuple[int, ...] | None) -> None:
    spec = spec_of(yaml=yaml, gpus=gpus)

    assert (spec.device_type, spec.device_ids) == (device_type, device_ids)


def test_the_name_comes_from_the_request_then_the_manifest_then_the_file() -> None:
    nameless = {"model_name": None}

    assert spec_of(api={"model_name": "asked"}, fallback_name="file").key.name == "asked"
    assert spec_of(fallback_name="file").key.name == "m"
    assert spec_of(manifest=nameless, fallback_name="file").key.name == "file"
    with pytest.raises(errors.InvalidArchive, match=r"^Model name is not defined.$"):
        spec_of(manifest=nameless)


def test_the_handler_comes_from_the_manifest_then_the_default_and_must_come_from_somewhere() -> None:
    silent = {"handler": None}

    assert spec_of(settings={"default_service_handler": "other:serve"}).handler == "h.py"
    assert spec_of(manifest=silent, settings={"default_service_handler": "other:serve"}).handler == "other:serve"
    with pytest.raises(errors.InvalidArchive, match=r"^Model handler is not defined.$"):
        spec_of(manifest=silent)


def test_the_whole_yaml_goes_to_the_handler() -> None:
    assert spec_of(yaml={"handler": {"beams": 4}}).yaml_config == {"handler": {"beams": 4}}


@pytest.mark.parametrize(
    ("error", "text", "case"),
    [
        (errors.BadRequest, "Parameter url is required.", {"api": {"url": ""}}),
        (errors.BadRequest, 'Model name must not contain "/".', {"api": {"model_name": "a/b"}}),
        (errors.BadRequest, "Model name is longer", {"api": {"model_name": "x" * 256}}),
        (errors.BadRequest, "Model name is not valid", {"api": {"model_name": "a\nb"}}),
        (errors.BadRequest, "Model name is not valid", {"api": {"model_name": ".."}}),
        (errors.InvalidArchive, "Model name is not valid", {"manifest": {"model_name": "a/b"}}),
        (errors.InvalidArchive, "Model version is not valid", {"manifest": {"model_version": "a/b"}}),
        (errors.BadRequest, "Invalid RuntimeType value: ruby", {"api": {"runtime": "ruby"}}),
        (errors.BadRequest, "Runtime LSP", {"manifest": {"runtime": "LSP"}}),
        (errors.InvalidArchive, "Runtime is not defined", {"manifest": {"runtime": None}}),
        (errors.BadRequest, "outside the model's directory: /h.py.*default_service", {"api": {"handler": "/h.py"}}),
        (errors.BadRequest, "outside the model's directory", {"api": {"handler": "../../h.py:handle"}}),
        (errors.BadRequest, "batch_size cannot be less than 0.", {"api": {"batch_size": -1}}),
        (errors.BadRequest, "response_timeout cannot be less", {"api": {"response_timeout_s": -0.1}}),
        (errors.BadRequest, "initial_workers cannot be less", {"api": {"initial_workers": -1}}),
        (errors.BadRequest, "cannot have more than 4096 workers", {"api": {"initial_workers": HUGE}}),
        (errors.InvalidArchive, r"maxWorkers \(1\) is less than", {"yaml": {"minWorkers": 2, "maxWorkers": 1}}),
        (errors.InvalidArchive, r"minWorkers: \d+ is out of range", {"yaml": {"minWorkers": HUGE, "maxWorkers": HUGE}}),
        (errors.InvalidArchive, "sequenceBatching needs sequenceMaxIdleMSec", {"yaml": {"sequenceBatching": True}}),
        (
            errors.InvalidArchive,
            "sequenceBatching needs sequenceMaxIdleMSec",
            {"yaml": {"sequenceBatching": True, "sequenceMaxIdleMSec": 0}},
        ),
        (
            errors.InvalidArchive,
            "sequenceBatching and asyncCommunication",
            {"yaml": {"sequenceBatching": True, "sequenceMaxIdleMSec": 9, "asyncCommunication": True}},
        ),
        (
            errors.InvalidArchive,
            "continuousBatching and asyncCommunication",
            {"yaml": {"continuousBatching": True, "asyncCommunication": True}},
        ),
        (
            errors.InvalidArchive,
            "shareWeights and asyncCommunication",
            {"yaml": {"shareWeights": True, "asyncCommunication": True}},
        ),
        *(
            (errors.InvalidArchive, f"warmUp and {next(iter(other))}", {"yaml": {"warmUp": "a.json", **other}})
            for other in (
                {"asyncCommunication": True},
                {"continuousBatching": True},
                {"sequenceBatching": True, "sequenceMaxIdleMSec": 10},
            )
        ),
        *(
            (errors.InvalidArchive, text, {"yaml": {"parallelType": "tp", "parallelLevel": 2, **more}})
            for text, more in (
                ("warmUp and several ranks", {"warmUp": "a.json"}),
                ("asyncCommunication and several ranks", {"asyncCommunication": True}),
                ("continuousBatching and several ranks", {"continuousBatching": True}),
                ("shareWeights and parallelType", {"shareWeights": True}),
                ("nnodes may only be 1", {"torchrun": {"nnodes": 2}}),
                ("parallelLevel 65 is more than 64", {"parallelLevel": 65}),
            )
        ),
        (errors.MissingDevices, "Error while", {"yaml": {"parallelType": "tp", "parallelLevel": 3}, "gpus": 2}),
    ],
)
def test_what_cannot_be_served_is_refused_with_a_clear_text(
    error: type[errors.ServingError], text: str, case: dict[str, Any]
) -> None:
    with pytest.raises(error, match=text) as refusal:
        spec_of(**case)

    assert type(refusal.value) is error


def test_job_tickets_are_off_unless_the_archive_asks_for_them() -> None:
    assert not spec_of().job_tickets
    assert spec_of(yaml={"useJobTicket": True}).job_tickets


def test_with_job_tickets_nothing_waits_for_a_larger_batch() -> None:
    assert spec_of(yaml={"useJobTicket": True, "batching": "fixed"}).batching == "adaptive"


@pytest.mark.parametrize(
    ("yaml", "ranks"),
    [
        ({}, None),
        ({"parallelType": "tp"}, None),
        ({"parallelLevel": 2}, None),
        ({"torchrun": {"nproc-per-node": 2}}, None),
        ({"parallelType": "custom", "parallelLevel": 1}, None),
        ({"parallelType": "none of them", "parallelLevel": 2}, None),
        ({"parallelType": "tp", "parallelLevel": 1}, Ranks("tp", 1)),
        ({"parallelType": "TP", "parallelLevel": 2}, Ranks("tp", 2)),
        ({"parallelType": "pptp", "parallelLevel": 2, "torchrun": {"nproc-per-node": 4}}, Ranks("pptp", 4)),
        ({"parallelType": "pp", "torchrun": {"nproc-per-node": 2, "OMP_NUMBER_THREADS": 3}}, Ranks("pp", 2, 3)),
        ({"parallelType": "custom", "parallelLevel": 2}, Ranks("custom", 2)),
    ],
)
def test_ranks(yaml: dict[str, Any], ranks: Ranks | None) -> None:
    spec = spec_of(yaml=yaml)
    assert spec.ranks == ranks
    assert spec.sends_ahead is (ranks is None or ranks.processes == 1)


def test_gpus_bound_the_workers_that_have_several_of_them() -> None:
    yaml = {"parallelType": "tp", "parallelLevel": 2}
    spec = spec_of(yaml=yaml, api={"initial_workers": 8}, gpus=5)
    assert (spec.min_workers, spec.max_workers) == (2, 2)
    assert spec_of(yaml={**yaml, "deviceIds": [1, 3]}, api={"initial_workers": 8}, gpus=5).max_workers == 1
    assert spec_of(yaml={**yaml, "deviceType": "cpu"}, api={"initial_workers": 8}, gpus=5).max_workers == 8


def test_an_unknown_option_of_torchrun_is_named(caplog: pytest.LogCaptureFixture) -> None:
    spec_of(yaml={"parallelType": "tp", "torchrun": {"nproc-per-node": 2, "rdzv-id": 1, "nnodes": 1}})
    assert "torchrun: unsupported parameter rdzv-id" in caplog.text
    assert "nnodes" not in caplog.text


# -------------------------------------------------------------------------------------------------- placement by Ray

RAY = {"worker_placement": "ray"}


def test_a_model_is_placed_as_the_server_says_unless_it_says_otherwise() -> None:
    assert spec_of().ray is None
    assert spec_of(settings=RAY).ray is not None
    assert spec_of(settings=RAY, yaml={"placement": "local"}).ray is None
    assert spec_of(settings={"ray_address": "auto"}).ray is None
    assert spec_of(settings={"ray_address": "auto"}, yaml={"placement": "ray"}).ray is not None


def test_an_archive_cannot_make_a_server_use_a_cluster() -> None:
    with pytest.raises(errors.InvalidArchive, match="needs the server's setting ray_address"):
        spec_of(yaml={"placement": "ray"})


def test_devices_are_those_that_ray_gives_whatever_this_machine_has() -> None:
    assert spec_of(settings=RAY, gpus=2).device_type == "cpu"
    spec = spec_of(settings=RAY, yaml={"deviceType": "gpu", "deviceIds": [7]})
    assert (spec.device_type, spec.device_ids) == ("gpu", None)
    assert spec.ray is not None
    assert spec.ray.gpus == 1
    ranked = spec_of(settings=RAY, yaml={"deviceType": "gpu", "parallelType": "tp", "parallelLevel": 4})
    assert ranked.ranks == Ranks("tp", 4, 1)


def test_at_start_a_placed_model_has_one_worker_because_this_machine_does_not_count() -> None:
    assert spec_of(settings=RAY, at_startup=True).max_workers == 1


def test_weights_are_not_shared_and_virtual_environments_refused_where_workers_are_elsewhere() -> None:
    assert not spec_of(settings=RAY, yaml={"shareWeights": True}).share_weights
    with pytest.raises(errors.InvalidArchive, match="useVenv and placement: ray exclude each other"):
        spec_of(settings=RAY, yaml={"useVenv": True})


@pytest.mark.parametrize("name", ["nproc-per-node", "nnodes", "OMP_NUMBER_THREADS"])
@pytest.mark.parametrize("value", ["2", 0, -1, 1.5, True, [2]])
def test_an_option_of_torchrun_that_is_no_count_is_named(
    name: str, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert spec_of(yaml={"parallelType": "tp", "parallelLevel": 2, "torchrun": {name: value}}).ranks == Ranks("tp", 2)
    assert f"torchrun: {name} is not a whole number above 0: it has no effect" in caplog.text
