"""CIFAR-10's own files: both layouts, what is wrong with them in one line, pickles that want to run something."""

from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from hwnas._errors import DataError
from hwnas.data import load_data

NAMES = ["plane", "ship"]
AGAIN = "copy or download the set again"
EACH = 6
BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


def rows(batch: int) -> tuple[np.ndarray, list[int]]:
    rng = np.random.default_rng(batch)
    return rng.integers(0, 256, (EACH, 3072), dtype=np.uint8), [i % 2 for i in range(EACH)]


def binary(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    for number, name in enumerate(BATCHES):
        pixels, labels = rows(number)
        data = np.concatenate([np.array(labels, dtype=np.uint8)[:, None], pixels], axis=1)
        (folder / f"{name}.bin").write_bytes(data.tobytes())
    return folder


def python3(folder: Path, protocol: int = 4) -> Path:
    """As a re-save from Python 3 would write it."""
    folder.mkdir(parents=True)
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": NAMES}, protocol))
    for number, name in enumerate(BATCHES):
        pixels, labels = rows(number)
        (folder / name).write_bytes(pickle.dumps({"data": pixels, "labels": labels, "batch_label": name}, protocol))
    return folder


def text(value: bytes) -> bytes:
    """A string as Python 2 pickled it (BINSTRING)."""
    return b"T" + struct.pack("<i", len(value)) + value


def python2_array(pixels: np.ndarray) -> bytes:
    """The opcodes with which Python 2 wrote an array of bytes: ``_reconstruct`` and its state."""
    start = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + text(b"b") + b"tR"
    dtype = (
        b"cnumpy\ndtype\n("
        + text(b"u1")
        + b"K\x00K\x01tR(K\x03"
        + text(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    shape = b"(J" + struct.pack("<i", pixels.shape[0]) + b"J" + struct.pack("<i", pixels.shape[1]) + b"t"
    return start + b"(K\x01" + shape + dtype + b"\x89" + text(pixels.tobytes()) + b"tb"


def python2(folder: Path) -> Path:
    """As the set is distributed: protocol 2, written by Python 2."""
    folder.mkdir(parents=True)
    names = b"(l" + b"".join(text(name.encode()) + b"a" for name in NAMES)
    (folder / "batches.meta").write_bytes(b"\x80\x02}" + text(b"label_names") + names + b"s.")
    for number, name in enumerate(BATCHES):
        pixels, labels = rows(number)
        listed = b"(l" + b"".join(b"K" + bytes([label]) + b"a" for label in labels)
        body = text(b"data") + python2_array(pixels) + b"s" + text(b"labels") + listed + b"s"
        (folder / name).write_bytes(b"\x80\x02}" + body + b".")
    return folder


LAYOUTS = {"binary": binary, "python2": python2, "python3": python3}


def message(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_data(str(folder))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_layouts_hold_the_same_images(tmp_path: Path) -> None:
    found = {name: load_data(str(make(tmp_path / name))) for name, make in LAYOUTS.items()}
    assert len({data.fingerprint for data in found.values()}) == 1
    data = found["binary"]
    assert data.classes == ("plane", "ship")
    assert (len(data.train) + len(data.validation), len(data.test)) == (5 * EACH, EACH)
    pixels, labels = rows(5)
    np.testing.assert_array_equal(data.test.images, pixels.reshape(-1, 3, 32, 32))
    np.testing.assert_array_equal(data.test.labels, labels)
    every = {image.tobytes() for part in (data.train, data.validation) for image in part.images}
    assert every == {image.tobytes() for batch in range(5) for image in rows(batch)[0]}


def test_splits_follow_the_seed_and_the_limit(tmp_path: Path) -> None:
    spec = str(binary(tmp_path / "set"))
    one, again, other = load_data(spec), load_data(spec), load_data(spec, seed=1)
    assert one.fingerprint == again.fingerprint != other.fingerprint
    np.testing.assert_array_equal(one.test.images, other.test.images)
    small = load_data(spec, limit=4, image_size=8)
    assert (len(small.train) + len(small.validation), len(small.test)) == (4, 4)
    assert small.native_size == (8, 8)


def test_the_folder_above_will_do(tmp_path: Path) -> None:
    python2(tmp_path / "cifar-10-batches-py")
    assert len(load_data(str(tmp_path)).test) == EACH


@pytest.mark.parametrize("make", LAYOUTS.values(), ids=LAYOUTS)
def test_absent_and_cut_files(tmp_path: Path, make: object) -> None:
    folder = make(tmp_path / "set")  # type: ignore[operator]
    suffix, meta = (".bin", "batches.meta.txt") if make is binary else ("", "batches.meta")
    batch = folder / f"data_batch_4{suffix}"
    whole = batch.read_bytes()
    batch.write_bytes(whole[:-10])
    found = message(folder)
    assert found.startswith(f"data {batch}: ")
    assert found.endswith(AGAIN)
    batch.unlink()
    assert message(folder) == f"data {folder}: data_batch_4{suffix} is missing; {AGAIN}"
    batch.write_bytes(whole)
    (folder / meta).unlink()
    assert message(folder) == f"data {folder}: {meta} is missing; {AGAIN}"


def test_binary_sizes_and_classes(tmp_path: Path) -> None:
    folder = binary(tmp_path / "set")
    batch = folder / "data_batch_2.bin"
    whole = batch.read_bytes()
    batch.write_bytes(whole[:3073])
    assert message(folder) == f"data {batch}: 1 images, but {EACH} in data_batch_1.bin; {AGAIN}"
    batch.write_bytes(b"")
    assert message(folder) == f"data {batch}: 0 bytes are not a multiple of 3,073, the size of one image; {AGAIN}"
    batch.write_bytes(whole[:3073] + b"\x07" + whole[3074:])
    assert message(folder) == f"data {batch}: image 1 has the label 7, but there are 2 class names; {AGAIN}"
    (folder / "batches.meta.txt").write_text("ship ship")
    wanted = "2 class names; there must be 2-256 different ones"
    assert message(folder) == f"data {folder / 'batches.meta.txt'}: {wanted}; {AGAIN}"
    (folder / "batches.meta.txt").write_bytes(b"\xff\xfe")
    assert message(folder) == f"data {folder / 'batches.meta.txt'}: is not a text file of class names; {AGAIN}"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"labels": [0, 1], "data": np.zeros((2, 3071), np.uint8)}, "data has shape (2, 3071), not (N, 3072)"),
        ({"labels": [0, 1], "data": np.zeros((3, 3072), np.uint8)}, "3 images, but 2 labels"),
        ({"labels": [0, "1"], "data": np.zeros((2, 3072), np.uint8)}, "labels must be integers"),
        (
            {"labels": [0, -1], "data": np.zeros((2, 3072), np.uint8)},
            "image 1 has the label -1, but there are 2 class names",
        ),
        ({"labels": [0, 2**40], "data": np.zeros((2, 3072), np.uint8)}, "labels must be integers"),
        ({"labels": [0, 1]}, "has no entry data like CIFAR-10's"),
        ({"labels": [0, 1], "data": "pixels"}, "has no entry data like CIFAR-10's"),
        ({"data": np.zeros((2, 3072), np.uint8)}, "has no entry labels like CIFAR-10's"),
        ([1, 2], "does not contain a dictionary like CIFAR-10's batches"),
    ],
)
def test_other_contents_of_a_pickle(tmp_path: Path, content: object, reason: str) -> None:
    folder = python3(tmp_path / "set")
    (folder / "data_batch_1").write_bytes(pickle.dumps(content, 4))
    assert message(folder) == f"data {folder / 'data_batch_1'}: {reason}; {AGAIN}"


class Runs:
    """A pickle of it runs a command when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.marker}",)


REFUSED = "which CIFAR-10 does not hold; nothing was executed; do not trust this file"


@pytest.mark.parametrize("name", ["batches.meta", "data_batch_3"])
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_pickle_that_runs_something_is_refused_before_it_does(tmp_path: Path, name: str, protocol: int) -> None:
    folder, marker = python2(tmp_path / "set"), tmp_path / "was_run"
    attack = pickle.dumps({"labels": [0], "data": Runs(marker)}, protocol)
    (folder / name).write_bytes(attack)
    assert message(folder) == f"data {folder / name}: asks for posix.system, {REFUSED}"
    assert not marker.exists()
    pickle.loads(attack)
    assert marker.exists()  # the attack is a real one


@pytest.mark.parametrize(
    ("attack", "asked"),
    [
        (b"cbuiltins\neval\n(V1\ntR.", "builtins.eval"),
        (b"cnumpy\nload\n(Vx\ntR.", "numpy.load"),
        (b"cnumpy.core.multiarray\nscalar\n.", "numpy.core.multiarray.scalar"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.dump\x93.", "numpy.ndarray.dump"),
        (b"(S'hello'\nios\nsystem\n.", "os.system"),
        (b"Pid\n.", "a persistent object"),
        (pickle.dumps({"data": np.array([{}], dtype=object)}, 4), "arrays of type O8"),
        (pickle.dumps({"data": np.zeros((1, 3072))}, 4), "arrays of type f8"),
    ],
)
def test_names_outside_the_set_are_refused(tmp_path: Path, attack: bytes, asked: str) -> None:
    folder = python2(tmp_path / "set")
    (folder / "test_batch").write_bytes(attack)
    assert message(folder) == f"data {folder / 'test_batch'}: asks for {asked}, {REFUSED}"


@pytest.mark.parametrize(
    "attack",
    [
        b"",
        b"not a pickle",
        b"\x80\x02cnumpy\nndarray\n(K\x00tb.",  # a state for the stand-in itself
        b"\x80\x02cnumpy\ndtype\n}(V__init__\nNub.",
        b"\x80\x02cnumpy\nndarray\n)R(K\x01(J\xff\xff\xff\x7fK\x02tK\x00K\x00T\x00\x00\x00\x00tb.",
        b"\x80\x02\x82\x01.",  # an extension
        b"(" * 100,
    ],
)
def test_damaged_and_twisted_pickles_are_one_line(tmp_path: Path, attack: bytes) -> None:
    folder = python2(tmp_path / "set")
    (folder / "test_batch").write_bytes(attack)
    assert message(folder) == f"data {folder / 'test_batch'}: is not a readable batch of CIFAR-10; {AGAIN}"
