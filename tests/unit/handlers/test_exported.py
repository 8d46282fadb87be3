"""``.pt2`` files of torch.export.save, without code that runs when they are read."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from stoker.handlers import exported


class Doubled(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor([2.0]))

    def forward(self, numbers: Any) -> Any:
        return numbers * self.factor


@pytest.fixture
def program(tmp_path: Path) -> Path:
    made = torch.export.export(Doubled(), (torch.ones(3),))
    file = tmp_path / "doubled.pt2"
    torch.export.save(made, file)
    return file


def changed(file: Path, ending: str, data: bytes) -> None:
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, data if name.endswith(ending) else content)


def test_an_exported_program_predicts(program: Path) -> None:
    model = exported.load(str(program), torch.device("cpu"))
    assert model(torch.tensor([1.0, 2.0, 3.0])).tolist() == [2.0, 4.0, 6.0]


def test_a_member_that_runs_code_is_refused(program: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return print, ("it ran",)

    data = io.BytesIO()
    torch.save(Evil(), data)
    changed(program, "sample_inputs/model.pt", data.getvalue())
    with pytest.raises(RuntimeError, match="let the operator of the server trust"):
        exported.load(str(program), "cpu")


def test_weights_that_are_pickled_are_refused(program: Path) -> None:
    changed(program, "weights_config.json", b'{"config": {"factor": {"use_pickle": true}}}')
    with pytest.raises(RuntimeError, match="let the operator of the server trust"):
        exported.load(str(program), "cpu")


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_file_that_is_cut_off_is_named(program: Path, share: float) -> None:
    program.write_bytes(program.read_bytes()[: int(share * program.stat().st_size)])
    with pytest.raises(RuntimeError, match=r"doubled\.pt2 is damaged, or not from torch"):
        exported.load(str(program), "cpu")


def test_what_is_no_program_is_left_to_the_loader_of_compiled_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "compiled.pt2"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("m/models/model.json", "{}")
        archive.writestr("m/data/aotinductor/model/a.so", pickle.dumps(1))
    monkeypatch.setattr(torch._inductor, "aoti_load_package", lambda path: f"compiled {Path(path).name}")
    assert exported.load(str(file), "cpu") == "compiled compiled.pt2"
