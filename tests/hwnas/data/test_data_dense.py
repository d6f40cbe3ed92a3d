"""Data whose targets are maps: how they are read, divided and refused."""

import numpy as np
import pytest
from dense_data import NAMES, shapes, smoothing, write_shapes, write_smoothing
from PIL import Image

from hwnas._errors import DataError
from hwnas.data import IGNORED, is_dense, load_dense


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_shapes(tmp_path_factory.mktemp("shapes"))


def same(part, images, masks):
    return (part.inputs == images.transpose(0, 3, 1, 2)).all() and (part.targets == masks).all()


def test_a_folder_of_images_and_masks(folder):
    data = load_dense(str(folder), seed=3)
    assert (data.classes, data.shape, data.scale, data.channels_out) == (NAMES, (3, 16, 16), 255.0, 3)
    assert same(data.test, *shapes(12, seed=1))
    assert (len(data.train), len(data.validation)) == (36, 12)
    images, masks = shapes(48)
    mean, deviation = data.input_moments
    pixels = data.train.inputs / 255.0
    assert mean == pytest.approx(pixels.mean(axis=(0, 2, 3)))
    assert deviation == pytest.approx(pixels.std(axis=(0, 2, 3)))
    together = np.concatenate([data.train.inputs, data.validation.inputs])
    assert sorted(map(bytes, together)) == sorted(map(bytes, images.transpose(0, 3, 1, 2)))
    assert (data.train.targets == IGNORED).sum() == 36
    assert masks.max() == IGNORED


def test_the_test_part_does_not_depend_on_the_seed_and_the_validation_part_does(tmp_path):
    write_shapes(tmp_path, parts=(("train", 20),))
    first, second = (load_dense(str(tmp_path), seed=seed) for seed in (0, 1))
    assert [len(part) for part in (first.train, first.validation, first.test)] == [12, 4, 4]
    assert (first.test.inputs == second.test.inputs).all()
    assert (first.validation.inputs != second.validation.inputs).any()
    assert len({first.fingerprint, second.fingerprint, load_dense(str(tmp_path), seed=0).fingerprint}) == 2


def test_images_and_masks_directly_in_the_folder_and_a_limit(folder):
    data = load_dense(str(folder / "train"), limit=10)
    assert (data.classes, len(data.train) + len(data.validation) + len(data.test)) == (("0", "1", "2"), 10)


def test_images_are_scaled_and_masks_keep_their_classes(folder):
    data = load_dense(str(folder), image_size=8)
    assert data.shape == (3, 8, 8)
    assert set(np.unique(data.test.targets)) <= {0, 1, 2, IGNORED}
    wanted = np.stack([mask[1::2, 1::2] for mask in shapes(12, seed=1)[1]])
    assert (data.test.targets == wanted).mean() > 0.95


def test_masks_with_a_palette_are_class_indices(folder, tmp_path):
    write_shapes(tmp_path, parts=(("train", 4),))
    path = tmp_path / "train" / "masks" / "001.png"
    mask = Image.open(path)
    mask.load()
    mask.putpalette([i for i in range(256) for _ in range(3)][::-1])
    assert mask.mode == "P"
    mask.save(path)
    data = load_dense(str(tmp_path))
    labels = [part.targets for part in (data.train, data.validation, data.test)]
    assert sorted(map(bytes, np.concatenate(labels))) == sorted(map(bytes, shapes(4)[1]))
    assert data.classes == NAMES


def test_grey_and_colour_images_become_colour(tmp_path):
    write_shapes(tmp_path)
    path = tmp_path / "test" / "images"
    for file in path.iterdir():
        Image.open(file).convert("L").save(file)
    test = load_dense(str(tmp_path)).test
    assert test.inputs.shape == (12, 3, 16, 16)
    assert (test.inputs[:, 0] == test.inputs[:, 2]).all()


def test_arrays_of_values(tmp_path):
    data = load_dense(str(write_smoothing(tmp_path / "s.npz")))
    x, y = smoothing(20, seed=1)
    assert (data.test.inputs == x).all()
    assert (data.test.targets == y).all()
    assert (data.classes, data.shape, data.scale, data.channels_out) == ((), (1, 32), 1.0, 1)
    assert data.target_moments[0] == pytest.approx([data.train.targets.mean()], rel=1e-6)
    assert data.target_moments[1] == pytest.approx([data.train.targets.std()], rel=1e-5)


def test_arrays_of_class_indices(tmp_path):
    images, masks = shapes(10)
    np.savez(tmp_path / "m.npz", x_train=images.transpose(0, 3, 1, 2), y_train=masks.astype(np.int64))
    data = load_dense(str(tmp_path / "m.npz"))
    assert (data.classes, data.scale, data.train.targets.dtype) == (("0", "1", "2"), 255.0, np.uint8)


def test_what_has_maps_is_recognised(folder, tmp_path):
    np.savez(tmp_path / "labels.npz", x_train=np.zeros((4, 1, 8)), y_train=np.zeros(4, dtype=int))
    np.savez(tmp_path / "values.npz", x_train=np.zeros((4, 1, 8)), y_train=np.zeros((4, 2)))
    np.savez(tmp_path / "images.npz", x_train=np.zeros((4, 8, 8, 3), dtype=np.uint8), y_train=np.zeros(4, dtype=int))
    (tmp_path / "broken.npz").write_bytes(b"PK")
    for name in ("labels.npz", "values.npz", "images.npz", "broken.npz", "missing", "", "a\0b"):
        assert not is_dense(str(tmp_path / name) if name != "a\0b" else name)
    assert is_dense(str(folder))
    assert is_dense(str(folder / "train"))
    assert is_dense(str(write_smoothing(tmp_path / "s.npz")))


def save(path, pixels):
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (
            lambda at: (at / "masks" / "002.png").unlink(),
            "images/002.png: has no mask masks/002.png; add it, or remove",
        ),
        (
            lambda at: save(at / "masks" / "002.png", np.zeros((16, 8), np.uint8)),
            "masks/002.png: 8x16 pixels, but its image has 16x16; make them equal",
        ),
        (
            lambda at: save(at / "masks" / "002.png", np.pad(np.uint8([[7]]), ((5, 10), (3, 12)))),
            "masks/002.png: class index 7 at column 3, row 5, but there are 3 classes; use 0 to 2, or 255",
        ),
        (
            lambda at: save(at / "masks" / "002.png", np.zeros((16, 16, 3), np.uint8)),
            "masks/002.png: has pixels of mode RGB; a mask has one channel of 8 bits",
        ),
        (lambda at: (at / "masks" / "002.png").write_bytes(b"none"), "masks/002.png: cannot be read as a PNG"),
        (
            lambda at: [save(at / kind / "002.png", np.zeros((8, 8), np.uint8)) for kind in ("images", "masks")],
            "images/002.png: 8x8 pixels, but ",
        ),
        (lambda at: save(at / "images" / "002.bmp", np.zeros((16, 16), np.uint8)), "images/002.png: has the name of"),
        (
            lambda at: [save(file, np.full((16, 16), 255, np.uint8)) for file in (at / "masks").iterdir()],
            "every pixel of the train masks is 255, which means to ignore it",
        ),
        (lambda at: (at.parent / "classes.txt").write_text("a\nb\n\nd\n"), "the class name '' is empty"),
        (lambda at: (at.parent / "classes.txt").write_text("a\n"), ": class index 1 at column "),
        (lambda at: [file.unlink() for file in (at / "images").iterdir()], "images: holds no images; add some"),
        (lambda at: at.rename(at.parent / "test"), "holds no train/images and train/masks; add them"),
    ],
)
def test_bad_folders_are_one_line(tmp_path, damage, line):
    folder = write_shapes(tmp_path / "shapes", parts=(("train", 5),))
    damage(folder / "train")
    with pytest.raises(DataError) as error:
        load_dense(str(folder))
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_a_mask_without_an_image_is_noted(tmp_path):
    folder = write_shapes(tmp_path, parts=(("train", 5),))
    (folder / "train" / "images" / "003.png").unlink()
    assert "left out 1 mask of" in load_dense(str(folder)).notes[0]


def arrays(**changes):
    x, y = smoothing(6)
    return {"x_train": x, "y_train": y, **{name: change(x, y) for name, change in changes.items()}}


def at(values, place, value):
    values = values.copy()
    values[place] = value
    return values


LABELS = np.zeros((6, 32), dtype=np.int32)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"x_train": lambda x, y: at(x, (2, 0, 7), np.nan)}, "x_train[2] holds nan in channel 0, step 7; replace it"),
        ({"y_train": lambda x, y: at(y, (1, 0, 3), np.inf)}, "y_train[1] holds inf in channel 0, step 3; replace it"),
        ({"y_train": lambda x, y: at(y, 4, 0)}, "y_train[4] is zero everywhere, so no error can be relative to it"),
        ({"y_train": lambda x, y: y[:4]}, "6 samples in x_train, but 4 in y_train"),
        ({"y_train": lambda x, y: y[..., :8]}, "give x (n, channels, ...) and y floats (n, channels_out, ...)"),
        ({"y_train": lambda x, y: at(LABELS, (3, 9), 300)}, "y_train[3] holds the class index 300 at step 9; use 0"),
        ({"y_train": lambda x, y: at(LABELS, (3, 9), -1)}, "y_train[3] holds the class index -1 at step 9"),
        (
            {"y_train": lambda x, y: LABELS},
            "its train masks hold the class index 0 alone; segmentation needs at least two",
        ),
        ({"x_test": lambda x, y: x}, "the array y_test is missing; add it"),
        ({"x_test": lambda x, y: x[..., :8], "y_test": lambda x, y: y[..., :8]}, "x_test and y_test are (1, 8) and"),
        (
            {"x_test": lambda x, y: x, "y_test": lambda x, y: LABELS},
            "(1, 32) and float32 (1, 32); give all parts one shape",
        ),
        ({"x_train": lambda x, y: x[:1], "y_train": lambda x, y: y[:1]}, "1 train sample is too few to hold out"),
    ],
)
def test_bad_arrays_are_one_line(tmp_path, changes, line):
    np.savez(tmp_path / "bad.npz", **arrays(**changes))
    with pytest.raises(DataError) as error:
        load_dense(str(tmp_path / "bad.npz"))
    assert line in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("spec", "options", "line"),
    [
        ("nowhere", {}, "does not exist; give a folder of images and masks or an .npz file"),
        ("", {}, "does not exist"),
        (".", {}, "holds no masks; it must hold train/images/* and train/masks/*.png"),
        ("s.npz", {"image_size": 8}, "arrays are not scaled; leave out --image-size"),
        ("s.npz", {"image_size": 0}, "the image size must be 1 to 4096, got 0"),
        ("s.npz", {"limit": 0}, "the limit must be 1 or more, got 0"),
    ],
)
def test_bad_arguments_are_one_line(tmp_path, monkeypatch, spec, options, line):
    monkeypatch.chdir(tmp_path)
    write_smoothing(tmp_path / "s.npz")
    with pytest.raises(DataError) as error:
        load_dense(spec, **options)
    assert line in str(error.value)


def test_a_byte_order_mark_is_no_part_of_a_class(tmp_path):
    root = write_shapes(tmp_path)
    (root / "classes.txt").write_text("\ufeffground\nsquare\ndisc\n", encoding="utf-8")
    assert load_dense(str(root)).classes == ("ground", "square", "disc")


@pytest.mark.parametrize("named", [True, False])
def test_masks_of_0_and_255_are_refused_because_255_is_ignored(tmp_path, named):
    write_shapes(tmp_path, parts=(("train", 8),))
    for path in (tmp_path / "train" / "masks").iterdir():
        mask = np.asarray(Image.open(path))
        Image.fromarray(np.where(mask == 0, 0, 255).astype(np.uint8)).save(path)
    (tmp_path / "classes.txt").unlink()
    if named:
        (tmp_path / "classes.txt").write_text("background\ncell\n")
    with pytest.raises(DataError) as error:
        load_dense(str(tmp_path))
    assert str(error.value) == (
        f"data {tmp_path}: its train masks hold the class index 0 alone and 255, which means to ignore a pixel; write "
        "1 instead of 255 for the object"
    )


def test_a_class_without_train_pixels_is_noted(tmp_path):
    write_shapes(tmp_path, parts=(("train", 8),))
    (tmp_path / "classes.txt").write_text("\n".join([*NAMES, "rare", "odd"]))
    (note,) = load_dense(str(tmp_path)).notes
    assert note == "no pixel of the train part has the classes rare, odd: networks do not learn them"


@pytest.mark.parametrize("unit", [1e-15, 1e15])
def test_the_unit_of_values_does_not_matter(tmp_path, unit):
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((12, 1, 32)).astype(np.float32) for _ in "xy")
    moments = []
    for scale in (1.0, unit):
        np.savez(tmp_path / "u.npz", x_train=x, y_train=(y * scale).astype(np.float32))
        moments.append(np.array(load_dense(str(tmp_path / "u.npz")).target_moments) / scale)
    assert moments[0] == pytest.approx(moments[1], rel=1e-4)
