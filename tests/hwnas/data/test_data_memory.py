"""Loading holds the images once: the peak of a process stays below one and a half times their size."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MEASURE = """
import resource, sys
import hwnas.data
load = getattr(hwnas.data, sys.argv[3])
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
load(sys.argv[2])  # what the libraries take
before = peak()
data = load(sys.argv[1])
own = sum(array.nbytes for part in (data.train, data.validation, data.test) for array in vars(part).values())
print(own, (peak() - before) / own)
"""
EACH = 7_000


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def npz(path: Path, count: int, how: str) -> Path:
    images = pictures(count)
    values = {
        "uint8": images,
        "float": (images / np.float16(255)).astype(np.float16),
        "fortran": np.asfortranarray(images),
    }[how]
    np.savez(path.with_suffix(".npz"), x_train=values, y_train=np.arange(count) % 10)
    return path.with_suffix(".npz")


def cifar(path: Path, count: int, how: str) -> Path:
    path.mkdir()
    names, each = [f"c{i}" for i in range(10)], count // 6
    rows, labels = pictures(each).transpose(0, 3, 1, 2).reshape(each, -1), np.arange(each) % 10
    suffix = ".bin" if how == "binary" else ""
    (path / ("batches.meta.txt" if suffix else "batches.meta")).write_bytes(
        "\n".join(names).encode() if suffix else pickle.dumps({"label_names": names})
    )
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        packed = np.concatenate([labels.astype(np.uint8)[:, None], rows], axis=1).tobytes()
        whole = {"data": np.ascontiguousarray(rows), "labels": labels.tolist()}
        (path / f"{name}{suffix}").write_bytes(packed if suffix else pickle.dumps(whole))
    return path


def folder(path: Path, count: int, _: str) -> Path:
    """Large pictures, few files."""
    for i in range(count // 100):
        (path / str(i % 2)).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (320, 320), (i, 0, 0)).save(path / str(i % 2) / f"{i}.png", compress_level=1)
    return path


def boxes(path: Path, count: int, _: str) -> Path:
    (path / "train").mkdir(parents=True)
    numbers = range(count // 100)
    for i in numbers:
        Image.new("RGB", (320, 320), (i, 0, 0)).save(path / "train" / f"{i}.png", compress_level=1)
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 320, "height": 320} for i in numbers],
        "annotations": [{"id": i, "image_id": i, "category_id": 1, "bbox": [1, 1, 99, 99]} for i in numbers],
        "categories": [{"id": 1, "name": "square"}],
    }
    (path / "train.json").write_text(json.dumps(content))
    return path


def masks(path: Path, count: int, _: str) -> Path:
    for part, number in (("train", count // 100), ("val", 2), ("test", 2)):
        for kind, mode in (("images", "RGB"), ("masks", "L")):
            (path / part / kind).mkdir(parents=True)
            for i in range(number):
                picture = Image.new(mode, (320, 320))
                picture.paste(1, (0, 0, 99, 99))
                picture.save(path / part / kind / f"{i}.png", compress_level=1)
    return path


LOADERS = {boxes: "load_boxes", masks: "load_dense"}


@pytest.mark.parametrize(
    ("make", "how"),
    [
        (npz, "uint8"),
        (npz, "float"),
        (npz, "fortran"),
        (cifar, "binary"),
        (cifar, "python"),
        (folder, "png"),
        (boxes, "coco"),
        (masks, "png"),
    ],
)
def test_the_peak_of_loading(tmp_path: Path, make: object, how: str) -> None:
    large, small = (make(tmp_path / name, n, how) for name, n in (("a", 3 * EACH), ("b", 600)))  # type: ignore[operator]
    command = [sys.executable, "-c", MEASURE, str(large), str(small), LOADERS.get(make, "load_data")]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.split()
    assert float(out[0]) > 50e6
    assert float(out[1]) < 1.5
