"""Loading holds the images once: the peak of a process stays below one and a half times their size."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MEASURE = """
import resource, sys
from hwnas.data import load_data
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
load_data(sys.argv[2])  # what the libraries take
before = peak()
data = load_data(sys.argv[1])
own = sum(part.images.nbytes for part in (data.train, data.validation, data.test))
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


@pytest.mark.parametrize(
    ("make", "how"),
    [(npz, "uint8"), (npz, "float"), (npz, "fortran"), (cifar, "binary"), (cifar, "python"), (folder, "png")],
)
def test_the_peak_of_loading(tmp_path: Path, make: object, how: str) -> None:
    large, small = (make(tmp_path / name, n, how) for name, n in (("a", 3 * EACH), ("b", 600)))  # type: ignore[operator]
    command = [sys.executable, "-c", MEASURE, str(large), str(small)]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.split()
    assert float(out[0]) > 50e6
    assert float(out[1]) < 1.5
