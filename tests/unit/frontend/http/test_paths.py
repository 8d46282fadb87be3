"""Which paths are predictions, of what, and what the handler is told with them."""

from __future__ import annotations

import pytest

from stoker.frontend.http.paths import EXPLAIN, PREDICT, Target, openai_target, target_of

PREDICTION_PATHS = {
    "/predictions/m": Target("m", None, {**PREDICT, "url_path": ""}),
    "/predictions/m/": Target("m", None, {**PREDICT, "url_path": ""}),
    "/predictions/m/2.0": Target("m", "2.0", {**PREDICT, "url_path": ""}),
    "/predictions/m/2.0/v1/chat/completions": Target("m", "2.0", {**PREDICT, "url_path": "v1/chat/completions"}),
    "/predictions/a%20b": Target("a b", None, {**PREDICT, "url_path": ""}),
    "/predictions/m%2F2.0": Target("m", "2.0", {**PREDICT, "url_path": ""}),
    "/explanations/m": Target("m", None, {**EXPLAIN, "url_path": ""}, alone=True),
    "/explanations/m/1.0": Target("m", "1.0", {**EXPLAIN, "url_path": ""}, alone=True),
    "/invocations": Target("", query=True),
    "/models/m/invoke": Target("m", query=True),
    "/m/predict": Target("m", query=True),
    "/m/1.0/predict": Target("m", "1.0", query=True),
    "/v1/models/m:predict": Target("m", headers=PREDICT),
    "/v1/models/m:explain": Target("m", headers=EXPLAIN, alone=True),
    "/v2/models/m/infer": Target("m", headers=PREDICT, tensors=True),
    "/v2/models/m/explain": Target("m", headers=EXPLAIN, alone=True),
    "/wfpredict/w": Target("workflow:w", any_method=True),
    "/WfPredict/w": Target("workflow:w", any_method=True),
    "/wfpredict/w/": Target("workflow:w", any_method=True),
    "/wfpredict/w/1.0/predict": Target("workflow:w", any_method=True),
    "/wfpredict/a%20b": Target("workflow:a b", any_method=True),
}
OTHER_PATHS = [
    "/",
    "*",
    "/ping",
    "/ready",
    "/predictions",
    "/predictions/",
    "/explanations",
    "/invocations/m",
    "/models",
    "/models/m",
    "/models/m/invoke/x",
    "/models//invoke",
    "/models/m/predict",
    "/metrics/predict",
    "/workflows/predict",
    "/wfpredict",
    "/wfpredict/",
    "/wfpredict//w",
    "/token/predict",
    "//predict",
    "/m/1.0/x/predict",
    "/v1/models/m",
    "/v1/models/:predict",
    "/v1/models/m:delete",
    "/v1/m:predict",
    "/v2/models/m",
    "/v2/models/m/ready",
    "/v2/health/ready",
]


@pytest.mark.parametrize("path", PREDICTION_PATHS)
def test_a_prediction_path_names_model_version_and_words_for_the_handler(path: str) -> None:
    assert target_of(path.encode()) == PREDICTION_PATHS[path]


@pytest.mark.parametrize("path", OTHER_PATHS)
def test_any_other_path_is_no_prediction(path: str) -> None:
    assert target_of(path.encode()) is None


def test_a_path_of_any_bytes_has_an_answer() -> None:
    for path in (
        b"/predictions/%00",
        b"/predictions/%ff",
        b"/predictions/\xff",
        b"/predictions/%",
        b"/predictions/..%2f..",
    ):
        target = target_of(path)
        assert target is not None
        assert target.model


def test_long_paths_are_understood_and_not_kept() -> None:
    long = target_of(b"/predictions/m/1/" + b"x" * 5000)
    assert long is not None
    assert len(long.headers["url_path"]) == 5000


@pytest.mark.parametrize(
    ("path", "url_path"),
    [
        (b"/v1/chat/completions", "v1/chat/completions"),
        (b"/v1/models", "v1/models"),
        (b"/v1/models/", "v1/models"),
        (b"/v1/models/m", None),
        (b"/v1", None),
        (b"/v2/chat/completions", None),
    ],
)
def test_paths_of_openai_go_to_the_model_that_answers_them(path: bytes, url_path: str | None) -> None:
    found = openai_target(path, "m/2.0")
    assert found == (None if url_path is None else Target("m", "2.0", {**PREDICT, "url_path": url_path}))
