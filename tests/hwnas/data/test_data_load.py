"""`load_data`: digits, folders, npz files, splits and one-line refusals."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hwnas._errors import DataError
from hwnas.data import Split, load_data


def refuses(message: str, spec: object, **settings: int) -> None:
    with pytest.raises(DataError) as caught:
        load_data(str(spec), **settings)
    assert str(caught.value) == message


def picture(path: Path, level: int, size: tuple[int, int] = (6, 6), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, level if mode == "L" else (level, 0, 255 - level)).save(path)


def folder(root: Path, parts: dict[str, dict[str, int]], **how: object) -> Path:
    for part, classes in parts.items():
        for number, (name, count) in enumerate(classes.items()):
            for i in range(count):
                picture(root / part / name / f"{i:03d}.png", 20 * number + i, **how)  # type: ignore[arg-type]
    return root


def rows(split: Split) -> set[bytes]:
    return {image.tobytes() for image in split.images}


def test_digits_parts_are_disjoint_and_stratified() -> None:
    data = load_data("digits")
    assert [len(p) for p in (data.train, data.validation, data.test)] == [1079, 359, 359]
    assert data.native_size == (8, 8)
    assert data.channels == 1
    assert data.classes == tuple("0123456789")
    together = np.concatenate([p.images for p in (data.train, data.validation, data.test)])
    assert together.dtype == np.uint8
    assert {image.tobytes() for image in together} == rows(data.train) | rows(data.validation) | rows(data.test)
    assert len(rows(data.train) & rows(data.test)) == 0
    assert len(rows(data.train) & rows(data.validation)) == 0
    for part, share in ((data.test, 0.2), (data.validation, 0.2)):
        counts = np.bincount(part.labels)
        every = sum(np.bincount(p.labels) for p in (data.train, data.validation, data.test))
        np.testing.assert_allclose(counts / every, share, atol=0.01)


def test_normalisation_is_of_the_train_part_alone() -> None:
    data = load_data("digits", limit=300)
    assert data.mean[0] == pytest.approx(data.train.images.mean() / 255, abs=1e-9)
    assert data.std[0] == pytest.approx(data.train.images.std() / 255, abs=1e-9)


def test_seeds_share_the_test_part() -> None:
    one, again, other = load_data("digits"), load_data("digits"), load_data("digits", seed=1)
    assert one.fingerprint == again.fingerprint
    assert one.fingerprint != other.fingerprint
    np.testing.assert_array_equal(one.test.images, other.test.images)
    assert rows(one.validation) != rows(other.validation)


def test_fingerprint_sees_one_pixel_one_label_and_a_name() -> None:
    data = load_data("digits", limit=100)

    images, labels = data.test.images.copy(), data.test.labels.copy()
    images[0, 0, 0, 0] ^= 1
    labels[0] ^= 1
    prints = {
        data.fingerprint,
        replace(data, test=Split(images, data.test.labels)).fingerprint,
        replace(data, test=Split(data.test.images, labels)).fingerprint,
        replace(data, classes=("zero", *data.classes[1:])).fingerprint,
    }
    assert len(prints) == 4


def test_limit_keeps_proportions_and_is_nested_in_the_whole() -> None:
    whole, part = load_data("digits"), load_data("digits", limit=400)
    assert sum(len(p) for p in (part.train, part.validation, part.test)) == 400
    counts = sum(np.bincount(p.labels) for p in (part.train, part.validation, part.test))
    assert counts.min() >= 38
    assert counts.max() <= 42
    every = rows(whole.train) | rows(whole.validation) | rows(whole.test)
    assert rows(part.train) <= every


def test_image_size_resizes_digits() -> None:
    data = load_data("digits", limit=60, image_size=16)
    assert data.native_size == (16, 16)


def test_folder_with_and_without_test(tmp_path: Path) -> None:
    both = folder(tmp_path / "both", {"train": {"cat": 8, "dog": 8}, "test": {"cat": 2, "dog": 3}})
    data = load_data(str(both))
    assert data.classes == ("cat", "dog")
    assert [len(p) for p in (data.train, data.validation, data.test)] == [12, 4, 5]
    assert data.test.images.shape == (5, 3, 6, 6)
    np.testing.assert_array_equal(data.test.labels, [0, 0, 1, 1, 1])
    np.testing.assert_array_equal(data.test.images[4, :, 0, 0], [22, 0, 233])
    for name in ("only", "bare"):
        root = folder(tmp_path / name, {"train" if name == "only" else ".": {"cat": 10, "dog": 10}})
        data = load_data(str(root))
        assert [len(p) for p in (data.train, data.validation, data.test)] == [12, 4, 4]
        assert not rows(data.train) & rows(data.test)


def test_folder_validation_part_hidden_files_and_limit(tmp_path: Path) -> None:
    root = folder(tmp_path, {"train": {"a": 9, "b": 9}, "val": {"a": 2, "b": 2}, "test": {"a": 3}})
    (root / "train" / "a" / ".DS_Store").write_bytes(b"x")
    (root / "train" / "a" / "notes.txt").write_text("x")
    (root / "train" / ".cache").mkdir()
    data = load_data(str(root))
    assert [len(p) for p in (data.train, data.validation, data.test)] == [18, 4, 3]
    small = load_data(str(root), limit=10)
    assert [len(p) for p in (small.train, small.validation, small.test)] == [10, 4, 3]
    np.testing.assert_array_equal(np.bincount(small.train.labels), [5, 5])


def test_limit_leaves_other_files_unread(tmp_path: Path) -> None:
    root = folder(tmp_path, {"train": {"a": 20, "b": 20}, "test": {"a": 4, "b": 4}})
    chosen = load_data(str(root), limit=8)
    kept = rows(chosen.train) | rows(chosen.validation)
    for file in (root / "train" / "a").iterdir():
        with Image.open(file) as image:
            used = np.asarray(image).transpose(2, 0, 1).tobytes() in kept
        if not used:
            file.write_bytes(b"broken")
    assert load_data(str(root), limit=8).fingerprint == chosen.fingerprint


def test_grey_files_stay_grey_until_colour_joins(tmp_path: Path) -> None:
    root = folder(tmp_path, {"train": {"a": 5, "b": 5}, "test": {"a": 1, "b": 1}}, mode="L")
    assert load_data(str(root)).channels == 1
    picture(root / "train" / "b" / "colour.png", 7)
    data = load_data(str(root))
    assert data.channels == 3
    np.testing.assert_array_equal(data.test.images[0, :, 0, 0], [0, 0, 0])


def test_image_size_scales_the_shorter_side_and_cuts_the_centre(tmp_path: Path) -> None:
    root = folder(tmp_path, {"train": {"a": 4, "b": 4}, "test": {"a": 1, "b": 1}})
    wide = np.zeros((8, 16, 3), dtype=np.uint8)
    wide[:, 4:12] = 200
    Image.fromarray(wide).save(root / "test" / "a" / "000.png")
    data = load_data(str(root), image_size=4)
    assert data.native_size == (4, 4)
    assert data.test.images[0].min() >= 150


FOLDER_SUFFIXES = ".bmp, .gif, .jfif, .jpe, .jpeg, .jpg, .pgm, .png, .pnm, .ppm, .tif, .tiff, .webp"


def test_folder_refusals(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    refuses(f"data {empty}: no class folders; it must hold train/<class>/* or <class>/* with images", empty)
    one = folder(tmp_path / "one", {"train": {"cat": 5}})
    refuses(f"data {one}: only one class, 'cat'; classification needs at least two", one)
    bare = folder(tmp_path / "bare", {"train": {"cat": 5, "dog": 5}})
    (bare / "train" / "emu").mkdir()
    refuses(f"data {bare}/train/emu: a class without images; add some ({FOLDER_SUFFIXES}) or remove it", bare)
    few = folder(tmp_path / "few", {"train": {"cat": 5, "dog": 2}})
    refuses(f"data {few}: class 'dog' has 2 images; splitting needs at least 3 of each class", few)
    odd = folder(tmp_path / "odd", {"train": {"cat": 5, "dog": 5}, "test": {"cat": 1, "elk": 1}})
    refuses(
        f"data {odd}/test: class 'elk' is not one of the train classes; add it to the train part, rename or remove it",
        odd,
    )
    none = folder(tmp_path / "none", {"train": {"cat": 5, "dog": 5}})
    (none / "test").mkdir()
    refuses(f"data {none}/test: no class folders with images; add some, or remove the folder", none)
    refuses(f"data {few}: a limit of 5 images is too small for 2 classes; it must be at least 6", few, limit=5)


def test_image_refusals_name_the_file(tmp_path: Path) -> None:
    root = folder(tmp_path, {"train": {"a": 5, "b": 5}})
    file = root / "train" / "b" / "002.png"
    whole = file.read_bytes()
    file.write_bytes(b"no image")
    refuses(
        f"data {file}: cannot be read as an image (unknown format or damaged header); repair or remove the file", root
    )
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (6, 6, 3), dtype=np.uint8)).save(file)
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(DataError, match="^" + re.escape(f"data {file}: cannot be read as an image (") + "[^\n]*$"):
        load_data(str(root))
    file.write_bytes(whole)
    picture(file, 1, size=(5, 4))
    first = root / "train" / "a" / "000.png"
    refuses(f"data {file}: 5x4 pixels, but {first} has 6x6; give --image-size N to scale all to one size", root)
    assert load_data(str(root), image_size=6).native_size == (6, 6)
    Image.fromarray(np.zeros((6, 6), dtype=np.uint16)).save(file)
    refuses(f"data {file}: has pixels of mode I;16; convert the image to 8 bits a channel", root)


def test_no_data_at_all(tmp_path: Path) -> None:
    refuses(f"data {tmp_path}/x: does not exist; give digits, a folder of images or an .npz file", tmp_path / "x")
    (tmp_path / "x").write_text("")
    refuses(f"data {tmp_path}/x: is none of these; give digits, a folder of images or an .npz file", tmp_path / "x")
    refuses("data digits: the image size must be 1 or more, got 0", "digits", image_size=0)
    refuses("data digits: the limit must be 1 or more, got 0", "digits", limit=0)
    refuses("data digits: a limit of 29 images is too small for 10 classes; it must be at least 30", "digits", limit=29)


def npz(path: Path, **arrays: object) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


X = np.arange(20 * 4 * 5, dtype=np.uint8).reshape(20, 4, 5)
Y = np.repeat([3, 7], 10)


def test_npz_layouts_and_types_agree(tmp_path: Path) -> None:
    grey = load_data(str(npz(tmp_path / "a.npz", x_train=X, y_train=Y)))
    assert grey.classes == ("3", "7")
    assert grey.native_size == (4, 5)
    assert [len(p) for p in (grey.train, grey.validation, grey.test)] == [12, 4, 4]
    for name, x in {"nhwc": X[..., None], "unit": X / 255.0, "wide": X.astype(np.float32)}.items():
        same = load_data(str(npz(tmp_path / f"{name}.npz", x_train=x, y_train=Y)))
        assert same.fingerprint == grey.fingerprint, name
    colour = np.stack([X, X, X], axis=-1)
    data = load_data(str(npz(tmp_path / "c.npz", x_train=colour, y_train=Y, x_test=colour[:3], y_test=Y[:3])))
    assert data.test.images.shape == (3, 3, 4, 5)
    np.testing.assert_array_equal(data.test.images[:, 1], X[:3])
    assert load_data(str(tmp_path / "c.npz"), image_size=8).native_size == (8, 8)


def test_npz_refusals(tmp_path: Path) -> None:
    p = tmp_path / "d.npz"

    def check(reason: str, **arrays: object) -> None:
        refuses(f"data {p}: {reason}", npz(p, **arrays))

    check("the array x_train is missing; it holds no known array", images=X)
    check("the array y_train is missing; it holds x_train", x_train=X)
    check("the array y_test is missing; it holds x_train, y_train, x_test", x_train=X, y_train=Y, x_test=X)
    shape = "it must be (N, H, W) or (N, H, W, C) with C = 1 or 3"
    check(f"x_train has shape (20, 20); {shape}", x_train=X.reshape(20, 20), y_train=Y)
    check(f"x_train has shape (20, 3, 4, 5); {shape}", x_train=np.stack([X] * 3, axis=1), y_train=Y)
    check("y_train must be integers of shape (N,), got float64 (20,)", x_train=X, y_train=Y / 2)
    check("y_train must be integers of shape (N,), got int64 (20, 1)", x_train=X, y_train=Y[:, None])
    check("20 images in x_train, but 19 labels in y_train; give one label for each", x_train=X, y_train=Y[1:])
    check("only one class, '3', in y_train; classification needs at least two", x_train=X, y_train=Y * 0 + 3)
    check(
        "y_test holds the label 8, which y_train does not; add train samples of it, or remove it",
        x_train=X,
        y_train=Y,
        x_test=X[:1],
        y_test=np.array([8]),
    )
    check("x_train is of type int64; give uint8 or float", x_train=X.astype(np.int64), y_train=Y)
    check("x_train holds values from -1 to 243; give 0-1, 0-255 or uint8", x_train=X[:, :1] - 1.0, y_train=Y)
    check("x_train holds values from nan to nan; give 0-1, 0-255 or uint8", x_train=X * np.nan, y_train=Y)
    unit = {"x_train": X / 255.0, "y_train": Y, "y_test": Y[:1]}
    check("x_test holds values from 0 to 19; give 0-1 like x_train", x_test=X[:1].astype(float), **unit)
    check("x_test is of type uint8; give the type of x_train", x_test=X[:1], **unit)
    check(
        "images of x_test are 4x4x1, those of x_train 4x5x1; make all of one shape",
        x_train=X,
        y_train=Y,
        x_test=X[:1, :, :4],
        y_test=Y[:1],
    )
    broken = "cannot be read (damaged, or Python objects); write it with numpy.savez"
    check(f"its array x_train {broken}", x_train=np.array([{}, 1], dtype=object), y_train=Y)
    p.write_bytes(p.read_bytes()[:100])
    refuses(f"data {p}: is not a readable .npz file; write it with numpy.savez", p)
