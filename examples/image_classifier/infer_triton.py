"""Classifies pictures with `tritonclient`, in one request: asks which tensors the model has, and sends files as rows.

Needs a server with the model image_classifier, and in this interpreter tritonclient[grpc].
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton

MODEL = "image_classifier"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("pictures", nargs="+", metavar="PICTURE", help="a JPEG, PNG, ... file")
    parser.add_argument("--address", default="127.0.0.1:7070", help="the gRPC inference port (default: %(default)s)")
    options = parser.parse_args()
    with triton.InferenceServerClient(options.address) as client:
        metadata = client.get_model_metadata(MODEL)
        (given,), (wanted,) = metadata.inputs, metadata.outputs
        print(f"{described(given)} -> {described(wanted)}")
        for name, classes in zip(options.pictures, classify(client, options.pictures), strict=True):
            label, probability = next(iter(classes.items()))
            print(f"{name}: {label} {probability:.2f}")


def described(tensor: object) -> str:
    return f"{tensor.name}: {tensor.datatype} {list(tensor.shape)}"  # type: ignore[attr-defined]  # tritonclient has no types


def classify(client: triton.InferenceServerClient, pictures: list[str]) -> list[dict[str, float]]:
    files = np.array([Path(picture).read_bytes() for picture in pictures], dtype=np.object_)
    images = triton.InferInput("image", [len(files)], "BYTES")
    images.set_data_from_numpy(files)
    answer = client.infer(MODEL, [images]).as_numpy("classes")
    return [json.loads(text) for text in answer]


if __name__ == "__main__":
    main()
