"""The entry point is found as the contract says, and a failure to load names its real cause and no path."""

from __future__ import annotations

import errno
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stoker.ipc.to_worker import Load
from stoker.worker import loading
from stoker.worker.context import Context

Write = Callable[..., str]
_names = itertools.count()


@pytest.fixture
def model_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    modules = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - modules:
        if name.startswith("handler_"):
            del sys.modules[name]


@pytest.fixture
def write(model_dir: Path) -> Write:
    def write(source: str) -> str:
        name = f"handler_{next(_names)}"
        (model_dir / f"{name}.py").write_text(source)
        return name

    return write


def load(model_dir: Path, handler: str, **options: Any) -> loading.LoadedModel:
    return loading.load(Load(model_name="m", model_dir=str(model_dir), handler=handler, **options))


FUNCTIONS = """
calls = []
class NotCounted: pass
class NorThis: pass
def handle(data, context):
    calls.append((data, context))
    return ["handle"]
def other(data, context):
    calls.append((data, context))
    return ["other"]
"""


@pytest.mark.parametrize(
    ("spelling", "result"),
    [
        ("{}", "handle"),
        ("{}.py", "handle"),
        ("some/dir/{}.py", "handle"),
        ("{}:other", "other"),
        ("{}.py:other", "other"),
    ],
)
def test_a_function_is_found_by_any_spelling_and_called_once_without_data(
    model_dir: Path, write: Write, spelling: str, result: str
) -> None:
    name = write(FUNCTIONS)
    model = load(model_dir, spelling.format(name))
    assert sys.modules[name].calls == [(None, model.context)]
    assert model.entry_point([{}], model.context) == [result]


CLASS = """
from collections import OrderedDict
from ts.context import Context
class Handler:
    def initialize(self, context):
        self.seen = [context]
    def handle(self, data, context):
        return [len(self.seen)]
"""


def test_the_only_class_of_the_module_is_initialised_once_and_imported_classes_do_not_count(
    model_dir: Path, write: Write
) -> None:
    model = load(model_dir, write(CLASS))
    assert model.entry_point([{}], model.context) == [1]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("class A: pass\nclass B: pass\n", "Expected only one class in custom service code or a function entry point"),
        ("x = 1\n", "Expected only one class in custom service code or a function entry point"),
        ("class A:\n  def initialize(self, c): pass\n", "Expect handle method in class"),
    ],
)
def test_a_module_without_an_entry_point_is_refused(model_dir: Path, write: Write, source: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        load(model_dir, write(source))


def test_a_dependency_missing_in_the_users_file_is_named_itself(model_dir: Path, write: Write) -> None:
    with pytest.raises(ModuleNotFoundError, match="No module named 'not_installed_anywhere'"):
        load(model_dir, write("import not_installed_anywhere\n"))


def test_a_handler_that_is_nowhere_is_named_as_it_was_given(model_dir: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'no_such_handler'$"):
        load(model_dir, "no_such_handler")


def test_a_file_that_shares_a_built_in_handlers_name_is_never_replaced_by_it(model_dir: Path) -> None:
    """Serving the built-in one instead would answer with the wrong model's logic, silently."""
    (model_dir / "base_handler.py").write_text("import not_installed_anywhere\n")
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        load(model_dir, "base_handler")


def test_a_built_in_handler_that_lacks_a_dependency_names_the_dependency(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_BUILT_IN", "handler_package.")
    package = model_dir / "handler_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "builtin.py").write_text("import not_installed_anywhere\n")
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        load(model_dir, "builtin")


def test_an_envelope_wraps_the_entry_point_but_not_its_initialisation(
    model_dir: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_ENVELOPES", "")
    envelope = write(
        "class Envelope:\n"
        "    def __init__(self, f): self.f = f\n"
        "    def handle(self, data, context): return ['<', *self.f(data, context), '>']\n"
    )
    handler = write(FUNCTIONS)
    model = load(model_dir, handler, envelope=envelope)
    assert sys.modules[handler].calls == [(None, model.context)]
    assert model.entry_point([{}], model.context) == ["<", "handle", ">"]


def test_the_context_holds_manifest_config_and_properties(model_dir: Path, write: Write) -> None:
    manifest = {"model": {"modelName": "x", "configFile": "conf.yaml"}, "unknown": [1]}
    (model_dir / "MAR-INF").mkdir()
    (model_dir / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest))
    (model_dir / "conf.yaml").write_text("handler:\n  profile: true\n")
    context = load(model_dir, write(CLASS), gpu_id=3, batch_size=8, limit_max_image_pixels=False).context
    assert context.manifest == manifest
    assert context.model_yaml_config == {"handler": {"profile": True}}
    assert context.system_properties == {
        "model_dir": str(model_dir),
        "gpu_id": 3,
        "batch_size": 8,
        "server_name": "MMS",
        "server_version": "0.12.0",
        "limit_max_image_pixels": False,
    }


def test_without_a_manifest_there_is_none_and_the_config_is_empty(model_dir: Path, write: Write) -> None:
    context = load(model_dir, write(CLASS)).context
    assert context.manifest is None
    assert context.model_yaml_config == {}


def test_a_model_config_cannot_make_objects(model_dir: Path) -> None:
    (model_dir / "c.yaml").write_text("x: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(Exception, match="could not determine a constructor"):
        loading.read_model_config(str(model_dir), {"model": {"configFile": "c.yaml"}})


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (MemoryError(), 507),
        (RuntimeError("CUDA out of memory"), 507),
        (type("_ArrayMemoryError", (MemoryError,), {})("Unable to allocate 3 GiB"), 507),
        (type("OutOfMemoryError", (RuntimeError,), {})("HIP: tried to allocate 3 GiB"), 507),
        (type("ModelTooLarge", (type("OutOfMemoryError", (Exception,), {}),), {})(), 507),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), 507),
        (RuntimeError("MPS backend out of memory"), 507),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 507),
        (OSError(errno.ENOENT, "CUDA out of memory"), 500),
        (ValueError("out of memory"), 500),
        (RuntimeError("other"), 500),
        (ValueError("CUDA"), 500),
        (SystemExit(3), 500),
    ],
)
def test_the_number_of_a_failed_load_says_whether_memory_was_short(error: BaseException, number: int) -> None:
    assert loading.load_failed(error, "/models/x").number == number


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("No such file or directory: '/tmp/models/abc/model.pt'", "No such file or directory: 'model.pt'"),
        ("in /models/x/deep/h.py, line 3", "in deep/h.py, line 3"),
        ('File "/usr/lib/python3/a b/c.py"', 'File "a b/c.py"'),
        ("first\n  second\tthird", "first second third"),
        ("see https://host.example/a/b and 1/2", "see https://host.example/a/b and 1/2"),
        ("a\ud800b", "a?b"),
    ],
)
def test_messages_for_clients_are_one_line_without_folders(text: str, line: str) -> None:
    assert loading.one_line(text, "/models/x") == line


def test_messages_for_clients_are_bounded() -> None:
    assert len(loading.one_line("x" * 100_000, "/models/x")) <= 1000


def test_a_context_can_be_imported_and_used_by_itself() -> None:
    context = Context("m", "/d", None, 1, None, "0.12.0")
    context.set_response_content_type(0, "text/plain")
    context.set_all_response_status(201, "made")
    assert context.get_response_content_type(0) == "text/plain"
    assert context.get_response_status(0) == (201, "made")
    assert context.get_request_id() is None
    assert context.get_request_header(0, "x") is None
    assert context.get_sequence_id(0) is None
    assert context.is_cancelled() is False
    assert context.stopping_criteria is None


def test_contexts_compare_by_content() -> None:
    one, two = (Context("m", "/d", None, 1, None, "v") for _ in range(2))
    one.request_processor = two.request_processor
    assert one == two
    two.model_name = "other"
    assert one != two
    assert one != "m"
