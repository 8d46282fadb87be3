from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from stoker.handlers import _torchvision
from stoker.handlers.densenet_handler import DenseNetHandler
from stoker.handlers.image_classifier import ImageClassifier
from stoker.handlers.image_segmenter import ImageSegmenter
from stoker.handlers.object_detector import ObjectDetector
from stoker.handlers.util import PredictionException
from stoker.testing.handlers import make_context

Png = Callable[..., bytes]

CLASSIFIER = """
import torch

class Net(torch.nn.Module):
    def forward(self, x):
        return torch.tensor([[0.0, 3.0, 1.0]]).repeat(x.shape[0], 1)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.py").write_text(CLASSIFIER)
    (tmp_path / "index_to_name.json").write_text(json.dumps({"0": "cat", "1": "dog", "2": "fox"}))
    return tmp_path


def started(handler: Any, folder: Path, **options: Any) -> Any:
    context = make_context(folder, manifest={"modelFile": "model.py"}, **options)
    handler.initialize(context)
    return handler


def on_cpu(handler: Any) -> Any:
    handler.device = torch.device("cpu")
    return handler


def test_a_picture_gets_its_best_labels_best_first(folder: Path, png: Png) -> None:
    handler = started(ImageClassifier(), folder)
    handler.set_max_result_classes(2)
    (answer,) = handler.handle([{"data": bytearray(png())}], handler.context)
    assert list(answer) == ["dog", "fox"]
    assert answer["dog"] == pytest.approx(0.8438, abs=1e-3)
    assert handler.get_max_result_classes() == 2


def test_a_model_with_fewer_classes_than_asked_for_gives_all_it_has(folder: Path, png: Png) -> None:
    handler = started(ImageClassifier(), folder)
    assert [len(each) for each in handler.handle([{"data": png()}, {"body": png()}], handler.context)] == [3, 3]


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "1", "CMYK"])
def test_pictures_of_every_mode_become_three_channels(png: Png, mode: str) -> None:
    data = png(mode=mode) if mode != "CMYK" else cmyk()
    assert on_cpu(ImageClassifier()).preprocess([{"data": data}]).shape == (1, 3, 224, 224)


def cmyk() -> bytes:
    file = io.BytesIO()
    Image.new("CMYK", (300, 300)).save(file, "jpeg")
    return file.getvalue()


def test_pictures_may_come_as_base64_text_or_as_numbers(png: Png) -> None:
    handler = on_cpu(ImageClassifier())
    text = base64.b64encode(png()).decode()
    assert torch.equal(handler.preprocess([{"data": text}]), handler.preprocess([{"body": png()}]))
    assert handler.preprocess([{"data": [[1.0, 2.0]]}]).tolist() == [[[1.0, 2.0]]]


def test_a_subclass_may_bring_its_own_transform(png: Png) -> None:
    class Grey(ImageClassifier):
        image_processing = staticmethod(lambda image: torch.tensor([float(image.size[0])]))

    assert on_cpu(Grey()).preprocess([{"data": png((7, 5))}]).tolist() == [[7.0]]


def test_normalisation_is_that_of_imagenet(png: Png) -> None:
    pixel = on_cpu(ImageClassifier()).preprocess([{"data": png()}])[0, :, 0, 0]
    red_only = (200 / 255, 0.0, 0.0)
    expected = [(v - m) / s for v, m, s in zip(red_only, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)]
    assert pixel.tolist() == pytest.approx(expected, abs=1e-5)


def test_the_pixel_limit_falls_only_on_request(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 99)
    started(ImageClassifier(), folder)
    assert Image.MAX_IMAGE_PIXELS == 99
    started(ImageClassifier(), folder, limit_max_image_pixels=False)
    assert Image.MAX_IMAGE_PIXELS is None


def test_a_picture_of_too_many_pixels_and_one_that_is_cut_off_are_refused(
    png: Png, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = png((40, 40))
    with pytest.raises(OSError, match=r"truncated|broken"):
        on_cpu(ImageClassifier()).preprocess([{"data": picture[: len(picture) // 2]}])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 99)
    with pytest.raises(Image.DecompressionBombError):
        on_cpu(ImageClassifier()).preprocess([{"data": picture}])


def test_insights_are_integrated_gradients_of_the_wanted_class(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    class IntegratedGradients:
        def __init__(self, model: Any) -> None:
            self.model = model

        def attribute(self, data: Any, **options: Any) -> torch.Tensor:
            calls.append((self.model, options))
            return data * 2

    monkeypatch.setitem(sys.modules, "captum", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "captum.attr", SimpleNamespace(IntegratedGradients=IntegratedGradients))
    handler = ImageClassifier()
    handler.model = "model"
    assert handler.get_insights(torch.ones(1, 2), None, 7) == [[2.0, 2.0]]
    assert calls == [("model", {"target": 7, "n_steps": 15})]


def test_boxes_below_the_threshold_are_left_out() -> None:
    handler = ObjectDetector()
    handler.mapping = {"1": "cat"}
    found = {
        "boxes": torch.tensor([[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0], [8.0, 9.0, 10.0, 11.0]]),
        "labels": torch.tensor([1, 2, 1]),
        "scores": torch.tensor([0.5, 0.75, 0.25]),
    }
    assert handler.postprocess([found, {key: value[:0] for key, value in found.items()}]) == [
        [{"cat": [0.0, 1.0, 2.0, 3.0], "score": 0.5}, {"2": [4.0, 5.0, 6.0, 7.0], "score": 0.75}],
        [],
    ]


def test_pictures_of_different_sizes_reach_a_detector_in_one_batch(png: Png) -> None:
    handler = on_cpu(ObjectDetector())
    handler.model = lambda images: [tuple(image.shape) for image in images]
    batch = handler.preprocess([{"data": png((8, 4))}, {"data": png((6, 2))}])
    assert handler.inference(batch) == [(3, 4, 8), (3, 2, 6)]
    assert handler.preprocess([{"data": png((8, 4))}] * 2).shape == (2, 3, 4, 8)


def test_each_pixel_gets_its_best_class_and_its_probability() -> None:
    scores = torch.zeros(1, 3, 2, 2)
    scores[0, 2, 1, 0] = 100.0
    (picture,) = ImageSegmenter().postprocess({"out": scores})
    assert picture[1][0] == [2.0, 1.0]
    assert picture[0][0] == [0.0, pytest.approx(1 / 3)]


# ------------------------------------------------------------------------------------------- densenet handler


def saved(value: Any) -> bytearray:
    file = io.BytesIO()
    torch.save(value, file)
    return bytearray(file.getvalue())


def test_saved_tensors_come_in_and_one_tensor_goes_out_per_request() -> None:
    handler = on_cpu(DenseNetHandler())
    handler.model = lambda batch: batch.flatten(1) * 2
    rows = [{"data": saved(torch.ones(3, 1, 1))}, {"body": saved(torch.zeros(1, 3, 1, 1))}]
    first, second = handler.postprocess(handler.inference(handler.preprocess(rows)))
    assert (first.tolist(), second.tolist()) == ([2.0] * 3, [0.0] * 3)
    assert first.untyped_storage().nbytes() == 12


@pytest.mark.parametrize("trust", ["true", "false"])
def test_request_bytes_are_never_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trust: str) -> None:
    """The operator may trust archives; nobody can trust requests."""
    monkeypatch.setenv("TS_TRUST_PICKLED_WEIGHTS", trust)

    class Canary:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    for content in (saved(Canary()), saved([1, 2]), bytearray(b"no tensor"), bytearray()):
        with pytest.raises(PredictionException, match="not a tensor"):
            on_cpu(DenseNetHandler()).preprocess([{"data": content}])
    assert not (tmp_path / "ran").exists()


# ------------------------------------------------------------------------------------------------ torchvision


def test_an_absent_torchvision_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch, png: Png) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.transforms", None)
    monkeypatch.setattr("stoker.handlers._transforms._torchvision.importlib.import_module", absent)
    lazy = type(ImageClassifier.__dict__["image_processing"])

    class Fresh(ImageClassifier):
        image_processing = lazy(ImageClassifier.__dict__["image_processing"]._make)

    with pytest.raises(ImportError, match=r"needs torchvision.*pip install torchvision"):
        on_cpu(Fresh()).preprocess([{"data": png()}])


def absent(name: str) -> Any:
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_a_module_that_torchvision_itself_lacks_is_not_blamed_on_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_torchvision.importlib, "import_module", lambda name: absent("numpy"))
    with pytest.raises(ModuleNotFoundError, match="numpy"):
        _torchvision.load()


def test_the_cure_is_for_torch_without_cuda_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(_torchvision, "_declare_operators", lambda: pytest.fail("declared"))
    with pytest.raises(RuntimeError, match="nms"):
        _torchvision.declaring_operators(broken)


def test_other_errors_of_a_model_file_are_not_retried() -> None:
    calls: list[int] = []

    def broken() -> Any:
        calls.append(1)
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        _torchvision.declaring_operators(broken)
    assert calls == [1]


def test_an_archive_whose_model_file_imports_torchvision_loads(tmp_path: Path) -> None:
    """In a process of its own: here torchvision was imported by the tests above."""
    (tmp_path / "model.py").write_text(
        "import torchvision.models.resnet as r\n"
        "from torch import nn\n"
        "class Tiny(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.block = r.BasicBlock(3, 3)\n"
        "    def forward(self, x):\n"
        "        return self.block(x).mean((2, 3))\n"
    )
    program = (
        "import sys, torch\n"
        "from stoker.testing.handlers import load_handler\n"
        "with load_handler(sys.argv[1], 'image_classifier', manifest={'modelFile': 'model.py'}) as handler:\n"
        "    print(len(handler.predict([torch.ones(3, 4, 4).tolist()])[0]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("3", 0), done.stderr
