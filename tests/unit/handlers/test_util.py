from __future__ import annotations

import copy
import json
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from stoker.handlers import util


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        ({"0": "cat", "1": "dog"}, {"0": "cat", "1": "dog"}),
        ({"0": ["n01", "cat"]}, {"0": "cat"}),
        ({"object_type_names": ["background", "cat"]}, {"0": "background", "1": "cat"}),
    ],
)
def test_all_known_label_files_are_read(tmp_path: Path, content: Any, labels: Any) -> None:
    path = tmp_path / "index_to_name.json"
    path.write_text(json.dumps(content))
    assert util.load_label_mapping(path) == labels


@pytest.mark.parametrize("content", [["cat"], {"0": 1}, {"0": []}, {"0": [1]}, {"0": None}])
def test_a_file_that_holds_no_labels_is_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "index_to_name.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"index_to_name"):
        util.load_label_mapping(path)


def test_a_missing_label_file_is_only_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert util.load_label_mapping(tmp_path / "index_to_name.json") is None
    assert "index_to_name.json" in caplog.text


def test_probabilities_are_named_in_their_order() -> None:
    probs, classes = [[0.7, 0.2], [0.6, 0.3]], [[1, 0], [0, 2]]
    assert util.map_class_to_label(probs, {"0": "cat", "1": "dog"}, classes) == [
        {"dog": 0.7, "cat": 0.2},
        {"cat": 0.6, "2": 0.3},
    ]
    assert util.map_class_to_label([[0.9]]) == [{"0": 0.9}]
    assert util.map_class_to_label([]) == []


def test_only_lists_and_dicts_can_be_named() -> None:
    with pytest.raises(ValueError, match="list"):
        util.map_class_to_label("x")
    with pytest.raises(ValueError, match="dict"):
        util.map_class_to_label([[1.0]], ["cat"])  # type: ignore[arg-type]


def test_only_the_modules_own_classes_are_listed() -> None:
    module = ModuleType("mine")
    own = type("Own", (), {"__module__": "mine"})
    child = type("Child", (own,), {"__module__": "mine"})
    module.__dict__.update(Own=own, Child=child, Path=Path, number=1)
    assert util.list_classes_from_module(module) == [child, own]
    assert util.list_classes_from_module(module, Path) == []
    assert util.list_classes_from_module(module, own) == [child, own]


def test_unknown_compile_backends_are_known_as_such(caplog: pytest.LogCaptureFixture) -> None:
    assert util.check_valid_pt2_backend("inductor")
    assert not util.check_valid_pt2_backend("nonsense")
    assert "nonsense is not a supported backend" in caplog.text


def test_an_empty_config_file_is_an_empty_dict(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("")
    (tmp_path / "b.yaml").write_text("handler: {profile: true}")
    assert util.get_yaml_config(tmp_path / "a.yaml") == {}
    assert util.get_yaml_config(tmp_path / "b.yaml") == {"handler": {"profile": True}}


def test_deprecated_functions_warn_and_work() -> None:
    @util.deprecated("1.0", replacement="new")
    def old(number: int) -> int:
        return number + 1

    with pytest.warns(PendingDeprecationWarning, match=r"'old' is deprecated .* 1\.0\. Use new instead\."):
        assert old(1) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert old.__name__ == "old"


def test_a_prediction_exception_shows_its_words_and_code_and_can_be_copied() -> None:
    error = copy.copy(util.PredictionException("too long", 413))
    assert (error.message, error.error_code, str(error)) == ("too long", 413, "too long : 413")
    assert util.PredictionException("x").error_code == 500


def test_markup_is_found() -> None:
    assert util.CLEANUP_REGEX.sub("", "<p class='a'>5 &gt; 3&#33;</p>") == "5  3"
