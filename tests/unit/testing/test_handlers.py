from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stoker.errors import InvalidOutput
from stoker.testing.handlers import load_handler, make_context

ECHO = """
import helper

class Echo:
    def initialize(self, context):
        self.word = context.model_yaml_config.get("word", helper.WORD)

    def handle(self, data, context):
        self.kinds = [type(row["data"]).__name__ for row in data]
        return [f"{self.word} {bytes(row['data']).decode()} {context.get_request_header(0, 'tone')}" for row in data]
"""
STREAM = """
from ts.handler_utils.utils import send_intermediate_predict_response

def handle(data, context):
    if data is None:
        return
    for number in range(2):
        parts = [f"{number}{i}" for i in range(len(data))]
        send_intermediate_predict_response(parts, context.request_ids, "ok", 200, context)
    return ["last"] * len(data)
"""
ASYNCHRONOUS = """
class Waits:
    def initialize(self, context):
        pass

    async def handle(self, data, context):
        return data
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "handler.py").write_text(ECHO)
    (tmp_path / "helper.py").write_text("WORD = 'hello'\n")
    return tmp_path


def test_a_handler_answers_as_in_a_worker(folder: Path) -> None:
    with load_handler(folder, "handler.py") as handler:
        assert handler.predict([b"a", {"data": b"b"}], headers={"tone": "loud"}) == ["hello a loud", "hello b loud"]
        assert handler.entry_point.__self__.kinds == ["bytearray", "bytearray"]  # type: ignore[attr-defined]


def test_the_config_and_the_manifest_can_be_given(folder: Path) -> None:
    with load_handler(folder, manifest={"handler": "handler.py"}, config={"word": "bye"}) as handler:
        assert handler.predict([b"a"]) == ["bye a None"]
        assert handler.context.manifest is not None and handler.context.manifest["model"]["modelName"] == "model"


def test_modules_of_the_folder_are_forgotten_afterwards(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The next test may load another folder with files of the same names."""
    other = tmp_path_factory.mktemp("other")
    (other / "handler.py").write_text(ECHO)
    (other / "helper.py").write_text("WORD = 'other'\n")
    before = set(sys.path)
    for place, word in ((folder, "hello"), (other, "other")):
        with load_handler(place, "handler.py") as handler:
            assert handler.predict([b""])[0].startswith(word)
    assert "helper" not in sys.modules and set(sys.path) == before


def test_intermediate_parts_are_kept(tmp_path: Path) -> None:
    (tmp_path / "streamer.py").write_text(STREAM)
    with load_handler(tmp_path, "streamer.py:handle") as handler:
        assert handler.predict([b"", b""]) == ["last", "last"]
        assert handler.parts == [[b"00", b"01"], [b"10", b"11"]]


@pytest.mark.parametrize(("answer", "text"), [("'text'", "must return a list, not str"), ("[1, 2]", "2 entries for 1")])
def test_answers_that_a_worker_would_refuse_are_refused(tmp_path: Path, answer: str, text: str) -> None:
    (tmp_path / "wrong.py").write_text(f"def handle(data, context):\n    return {answer}\n")
    with load_handler(tmp_path, "wrong.py") as handler, pytest.raises(InvalidOutput, match=text):
        handler.predict([b""])


def test_an_asynchronous_handler_is_refused_with_the_helper_to_use(tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text(ASYNCHRONOUS)
    with load_handler(tmp_path, "waits.py") as handler, pytest.raises(InvalidOutput, match="running_server"):
        handler.predict([b""])


def test_what_a_handler_raises_reaches_the_test(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("def handle(data, context):\n    if data:\n        raise KeyError('mine')\n")
    with load_handler(tmp_path, "bad.py") as handler, pytest.raises(KeyError, match="mine"):
        handler.predict([b""])


def test_a_handler_that_cannot_start_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "broken_start.py").write_text("def handle(data, context):\n    raise OSError('no start')\n")
    before = set(sys.path)
    with pytest.raises(OSError, match="no start"):
        load_handler(tmp_path, "broken_start.py")
    assert "broken_start" not in sys.modules and set(sys.path) == before


def test_a_folder_without_a_named_handler_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pass the handler"):
        load_handler(tmp_path)


def test_built_in_handlers_are_found_by_their_short_names(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("import torch\nclass M(torch.nn.Identity): ...\n")
    with load_handler(tmp_path, "base_handler", envelope="body", manifest={"modelFile": "model.py"}) as handler:
        assert handler.predict([[1.0], [2.0]]) == [[1.0], [2.0]]


def test_a_context_tells_what_it_was_made_with(tmp_path: Path) -> None:
    context = make_context(tmp_path, model_name="m", batch_size=4, gpu_id=2, limit_max_image_pixels=False)
    properties = context.system_properties
    assert (properties["batch_size"], properties["gpu_id"], properties["limit_max_image_pixels"]) == (4, 2, False)
    assert context.manifest is None and context.model_yaml_config == {}
