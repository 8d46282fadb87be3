"""What keeps a server from starting is said in one clear line, and nothing is left behind."""

from __future__ import annotations

import socket

import pytest
from torchserve_kit import Place, archive, wait_until_served


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("mode", [[], ["--foreground"]])
def test_a_port_in_use_is_status_3_one_line_and_nothing_left_behind(place: Place, which: int, mode: list[str]) -> None:
    place.configure()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", place.ports[which]))
        taken.listen()
        status, text = place.run("--start", "--model-store", "models", *mode)
    assert status == 3
    complaints = [line for line in text.splitlines() if "[INFO ]" not in line and "[WARN ]" not in line]
    assert len(complaints) == 1
    assert f"127.0.0.1:{place.ports[which]}" in complaints[0]
    assert not (place.temp / ".model_server.pid").exists()
    place.start()
    place.run("--stop")


def test_a_bad_value_names_file_line_and_key(place: Place) -> None:
    place.configure("job_queue_size=many")
    status, text = place.run("--start", "--model-store", "models")
    assert status == 1
    assert text.count("\n") == 1
    assert f"{place.folder}/config.properties, line 9: job_queue_size: 'many' is not a whole number" in text


def test_a_missing_file_is_status_1(place: Place) -> None:
    expected = (1, "--ts-config file not found: gone.properties\n")
    assert place.run("--start", "--model-store", "models", "--ts-config", "gone.properties") == expected
    place.env["TS_CONFIG_FILE"] = "gone.properties"
    assert place.run("--start", "--model-store", "models") == expected


def test_the_model_store_is_mandatory_and_must_be_there(place: Place) -> None:
    assert place.run("--start") == (1, "Missing mandatory parameter --model-store\n")
    assert place.run() == (1, "Missing mandatory parameter --model-store\n")
    assert place.run("--model-store", "gone") == (1, "--model-store directory not found: gone\n")
    assert place.run("--model-store", "models", "--workflow-store", "w") == (
        1,
        "--workflow-store directory not found: w\n",
    )


def test_a_stock_file_starts_although_its_folders_are_not_there(place: Place) -> None:
    """What images are built with names folders that are mounted later, or never."""
    lines = ["number_of_netty_threads=32", "job_queue_size=1000", "model_store=gone/models", "workflow_store=gone/wf"]
    place.configure(*lines, "private_key_file=gone/key.pem", "certificate_file=gone/certificate.pem")
    archive(place.store, "echo")
    text = place.start("--models", "echo.mar")
    assert f"{place.folder}/config.properties, line 12: workflow_store: {place.folder}/gone/wf does not exist." in text
    assert "line 13: private_key_file: " in text and "line 11: model_store" not in text
    with place.client() as client:
        wait_until_served(client, "echo")
    place.run("--stop")
    status, text = place.run("--start")
    assert status == 0, text
    assert f"line 11: model_store: {place.folder}/gone/models does not exist." in text
    place.run("--stop")


def test_the_models_value_may_be_what_a_program_printed(place: Place) -> None:
    archive(place.store, "echo")
    members = "'minWorkers': '1', 'maxWorkers': \"2\", batchSize: 4, 'continuousBatching': True"
    place.configure("load_models=all", f"models={{'echo': {{'1.0': {{{members}}}}}}}")
    text = place.start()
    assert "line 10: models: continuousBatching of version 1.0 of model echo is ignored." in text
    with place.client() as client:
        wait_until_served(client, "echo")
        (described,) = client.describe("echo", timeout=30)
    assert [described[key] for key in ("minWorkers", "maxWorkers", "batchSize")] == [1, 2, 4]
    place.run("--stop")


def test_a_models_value_that_cannot_be_used_names_file_line_and_key(place: Place) -> None:
    place.configure("models={'echo': {'1.0': {'batchSize': 'many'}}}")
    assert place.run("--start", "--model-store", "models") == (
        1,
        f"Invalid configuration: {place.folder}/config.properties, line 9: models: "
        "batchSize of version 1.0 of model echo: 'many' is not a number\n",
    )


def test_the_model_store_may_come_from_the_file(place: Place) -> None:
    place.configure("model_store=models")
    status, text = place.run("--start")
    assert status == 0, text
    place.run("--stop")


def test_a_temp_folder_that_is_missing_is_named(place: Place) -> None:
    place.env["TEMP"] = str(place.folder / "gone")
    status, text = place.run("--start", "--model-store", "models")
    assert status == 1
    assert f"TEMP: {place.folder}/gone is not a directory" in text


def test_a_place_where_no_log_can_be_written_costs_logs_only(place: Place) -> None:
    (place.folder / "file").write_text("")
    place.env["LOG_LOCATION"] = str(place.folder / "file")
    place.configure()
    assert "Cannot write" in place.start()
    place.run("--stop")


@pytest.mark.parametrize("arguments", [["--start", "--stop"], ["--no-such-flag"], ["--models"]])
def test_wrong_usage_is_status_2(place: Place, arguments: list[str]) -> None:
    status, text = place.run(*arguments)
    assert status == 2
    assert "usage: torchserve" in text
