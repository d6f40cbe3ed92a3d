"""What a folder means: parts, classes, and everything in it read, or counted and named in a line."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hwnas._errors import DataError
from hwnas.data import ImageData, are_signals, load_data
from hwnas.data._kinds import WAVS
from hwnas.data._recognise import are_most, suffix_of


def fill(folder: Path, count: int, suffix: str = ".png", seed: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, len(str(folder))])
    for i in range(count):
        with (folder / f"{i}{suffix}").open("wb") as file:
            image = Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8))
            image.save(file, "JPEG" if suffix.lower() in (".jfif", ".jpe") else "PNG")


def make(root: Path, **folders: int) -> Path:
    for name, count in folders.items():
        fill(root / name.replace("__", "/"), count, seed=count)
    return root


def counts(data: ImageData) -> tuple[int, int, int]:
    return len(data.train), len(data.validation), len(data.test)


def refused(root: Path | str, **how: int) -> str:
    with pytest.raises(DataError) as caught:
        load_data(str(root), **how)
    assert "\n" not in str(caught.value)
    str(caught.value).encode()
    return str(caught.value)


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val", "VALID"])
def test_names_of_the_validation_part(tmp_path: Path, name: str) -> None:
    root = make(tmp_path, train__a=6, train__b=6, test__a=2, **{f"{name}__a": 4, f"{name}__b": 3})
    assert counts(load_data(str(root))) == (12, 7, 2)


def test_names_of_the_other_parts_and_two_for_one(tmp_path: Path) -> None:
    root = make(tmp_path, Training__a=6, Training__b=6, testing__b=2, val__a=1, val__b=1)
    assert counts(load_data(str(root))) == (12, 2, 2)
    make(tmp_path, valid__a=1)
    assert refused(root) == f"data {root}: both val and valid hold validation images; keep one"


def test_subfolders_of_a_class_belong_to_it(tmp_path: Path) -> None:
    root = make(tmp_path, train__a=6, train__b=6, train__a__2024=2, train__a__2024__may=1, train__b__x__y=3, test__a=1)
    data = load_data(str(root))
    assert counts(data)[0] + counts(data)[1] == 18
    assert np.bincount(np.concatenate([data.train.labels, data.validation.labels])).tolist() == [9, 9]
    places = f"{root}/train/a/2024, {root}/train/a/2024/may, {root}/train/b/x/y"
    assert data.notes == (f"images in subfolders count for the class above them: {places}",)


def test_links_in_circles_are_followed_once(tmp_path: Path) -> None:
    root = make(tmp_path, a=5, b=5)
    (root / "a" / "again").symlink_to(root / "a", target_is_directory=True)
    (root / "a" / "up").symlink_to(root / "b", target_is_directory=True)
    (root / "b" / "up").symlink_to(root, target_is_directory=True)
    assert sum(counts(load_data(str(root)))) >= 10
    deep = root / "b"
    for _ in range(40):
        deep = deep / "d"
    fill(deep, 1)
    assert refused(root).endswith("is more than 32 folders deep; move it up")


def test_files_of_other_kinds_are_counted_and_jfif_is_jpeg(tmp_path: Path) -> None:
    root = make(tmp_path, train__a=6, train__b=6)
    for suffix in (".jfif", ".jpe", ".PNG"):
        fill(root / "train" / "a", 2, suffix)
    for name in ("x.avif", "y.AVIF", "z.heic", "notes.txt", "plain", ".hidden.avif", "Thumbs.db"):
        (root / "train" / "b" / name).write_bytes(b"x")
    os.mkfifo(root / "train" / "b" / "pipe.png")
    (root / "train" / "b" / "gone.jpg").symlink_to("nowhere.jpg")
    fill(root / "train", 2)
    fill(root, 1)
    (root / "README").write_text("x")
    data = load_data(str(root))
    assert sum(counts(data)) == 18
    loose = (
        f"left out 1 image in {root} itself, which are in no class folder",
        f"left out 2 images in {root}/train itself, which are in no class folder",
    )
    assert data.notes[:2] == loose
    start, _, kinds = data.notes[2].partition(": ")
    kinds, _, end = kinds.partition("; ")
    assert (start, end) == ("left out 8 files that are not read as images", "convert images to PNG or JPEG")
    assert sorted(kinds.split(", ")) == sorted(
        ["2 .avif", "2 broken links or not regular files", "1 .heic", "1 .txt", "2 without a suffix"]
    )


def test_folders_beside_the_parts_are_counted(tmp_path: Path) -> None:
    root = make(tmp_path, train__a=6, train__b=6, extra__deep=3, test__a=1)
    assert load_data(str(root)).notes == (f"left out 3 images in {root}/extra, which is not train, val or test",)
    fill(root / "train", 1)
    what = "holds class folders, and images or a folder beside them could be classes too; move them away"
    assert refused(root) == f"data {root}/train: {what}"


@pytest.mark.parametrize("name", ["train", "test", "val", "valid", "Train"])
def test_a_class_may_have_the_name_of_a_part(tmp_path: Path, name: str) -> None:
    root = make(tmp_path, bus=5, car=5, **{name: 5})
    assert load_data(str(root)).classes == tuple(sorted(["bus", "car", name]))
    fill(root / name / "2024", 2)
    data = load_data(str(root))
    assert sum(counts(data)) == 17


def test_parts_without_classes_are_no_classes(tmp_path: Path) -> None:
    flat = make(tmp_path / "flat", train=5, test=5)
    wanted = "it must hold train/<class>/* or <class>/* with images"
    assert refused(flat) == f"data {flat}: no class folders in train, test; {wanted}"
    beside = make(tmp_path / "beside", cat=5, dog=5, test__cat=2, test__dog=2)
    wanted = "holds class folders, but there is no train folder beside it; add train/<class>/*"
    assert refused(beside) == f"data {beside}/test: {wanted}"
    unlabelled = make(tmp_path / "unlabelled", train__a=5, train__b=5, test=3)
    assert (
        refused(unlabelled) == f"data {unlabelled}/test: no class folders with images; add some, or remove the folder"
    )
    empty = make(tmp_path / "empty", cat=5, dog=5, train=0)
    assert refused(empty).startswith(f"data {empty}: no class folders; ")


def test_spellings_of_unicode_are_one_class(tmp_path: Path) -> None:
    for part, form in {"train": "NFC", "test": "NFD"}.items():
        for name in ("caf\u00e9", "tea"):
            fill(tmp_path / part / unicodedata.normalize(form, name), 6)
    data = load_data(str(tmp_path))
    assert data.classes == ("caf\u00e9", "tea")
    assert np.bincount(data.test.labels).tolist() == [6, 6]
    for part in ("test", "train"):
        for form in ("NFC", "NFD"):
            fill(tmp_path / part / unicodedata.normalize(form, "caf\u00e9"), 6)
        assert "two classes are called 'caf" in refused(tmp_path)
        assert refused(tmp_path).endswith("in different spellings of Unicode (NFC and NFD); merge them")


def test_unusual_names_are_names(tmp_path: Path) -> None:
    """A space of another script, a joiner within a word, and a long way to the folder."""
    root = make(tmp_path.joinpath(*["d" * 60] * 10), **{"\u3042\u3000\u3044": 5, "a\u200cb": 5, "a b": 5})
    assert load_data(str(root)).classes == tuple(sorted(["\u3042\u3000\u3044", "a\u200cb", "a b"]))


def test_names_that_cannot_be_written_are_refused_and_shown(tmp_path: Path) -> None:
    latin = tmp_path / "latin"
    for name in (b"caf\xe9", b"tea"):
        fill(latin / os.fsdecode(name), 5)
    assert refused(latin) == f"data {latin}: the class name 'caf\\xe9' is not UTF-8; rename it"
    odd = make(tmp_path / "odd", tea=5)
    fill(odd / "a\nb\x1b[31m", 5)
    assert refused(odd).startswith(f"data {odd}: the class name 'a\\nb\\x1b[31m' is empty, longer than 120")
    file = make(tmp_path / "file", cafe=5, tea=5) / "tea"
    (file / os.fsdecode(b"caf\xe9.png")).write_bytes(b"x")
    assert refused(file.parent).startswith(f"data {file}/caf\\xe9.png: cannot be read as an image")


def test_a_folder_called_digits_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits" / "models").mkdir(parents=True)
    (tmp_path / "digits" / "settings.json").write_text("{}")
    assert len(load_data("digits").classes) == 10  # a run that is called so
    (tmp_path / "digits" / "models").rmdir()
    make(tmp_path / "digits", nine=5, ten=5)
    data = load_data("digits")
    assert data.classes == ("nine", "ten")
    assert data.notes == (
        "the folder digits is read, not scikit-learn's set of this name",
        "left out 1 file that is not read as an image: 1 .json; convert images to PNG or JPEG",
    )


def test_odd_places(tmp_path: Path) -> None:
    what = "does not exist; give digits, a folder of images or an .npz file"
    assert refused("") == f"data : {what}"
    unwritten = "its name is not UTF-8 or holds control characters; rename it, or link to it"
    assert refused("a\0b") == f"data a\\x00b: {unwritten}"
    assert refused("caf\udce9") == f"data caf\\xe9: {unwritten}"
    assert refused("x" * 300).endswith("cannot be read (File name too long); repair or remove it")
    os.mkfifo(tmp_path / "pipe.npz")
    assert refused(tmp_path / "pipe.npz").startswith(f"data {tmp_path}/pipe.npz: is none of these")
    (tmp_path / "loop").symlink_to("loop")
    assert refused(tmp_path / "loop").startswith(f"data {tmp_path}/loop: ")
    assert refused("digits", image_size=10**9) == "data digits: the image size must be 4096 or less, got 1000000000"


def test_few_images_beside_recordings_are_stray(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.wav").touch()
    for number, most in ((1, True), (2, True), (3, False)):
        (tmp_path / f"{number}.png").touch()
        assert are_most(tmp_path, WAVS) == are_signals(str(tmp_path)) == most


@pytest.mark.parametrize("suffix", [".png", ".txt"])
def test_a_large_folder_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    """Neither the entries after the first ones of a folder nor the folders in it; files of all kinds count."""
    seen: list[str] = []

    def told(name: str) -> str:
        seen.append(name)
        return suffix_of(name)

    for number in range(30):
        (tmp_path / f"{number}{suffix}").touch()
    for number in range(30):  # many folders, which take the place of no file
        (tmp_path / f"speaker{number}").mkdir()
        (tmp_path / f"speaker{number}" / "0.wav").touch()
        (tmp_path / f"speaker{number}" / "1.wav").touch()
    monkeypatch.setattr("hwnas.data._recognise.suffix_of", told)
    for enough, files in ((10, 10), (30, 30), (70, 70), (1000, 90)):
        monkeypatch.setattr("hwnas.data._recognise._ENOUGH", enough)
        seen.clear()
        most = are_most(tmp_path, WAVS)
        assert len(seen) == files
        assert most == (suffix == ".txt" and files > 30)
