"""Boxes in COCO's JSON: ``train.json`` beside ``train/``, or ``annotations/instances_train2017.json`` and the like."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hwnas._errors import DataError
from hwnas.data._boxes._pictures import Box, BoxSource, Picture, add_box, image_path, part_of, read_text, used_classes
from hwnas.data._names import shown

_BESIDE = "_annotations.coco.json"
"""Name of the file in an image folder of its own."""
_MOST_NAMED = 80


def find_coco(root: Path) -> dict[str, tuple[Path, Path]]:
    """Return the JSON file and the image folder of each part; empty where the folder holds none.

    Raises:
        DataError: Two files stand for one part.
    """
    found: dict[str, tuple[Path, Path]] = {}
    files = [
        path for folder in (root, root / "annotations") if folder.is_dir() for path in sorted(folder.glob("*.json"))
    ]
    places = [(path, path.stem, _image_folder(root, path.stem)) for path in files]
    places += [(path, path.parent.name, path.parent) for path in sorted(root.glob(f"*/{_BESIDE}"))]
    for path, name, folder in places:
        part = part_of(name)
        if part is None:
            continue
        if part in found:
            raise DataError(
                f"data {shown(root)}: both {shown(found[part][0])} and {shown(path)} hold {part} boxes; keep one"
            )
        found[part] = (path, folder)
    return found


def _image_folder(root: Path, stem: str) -> Path:
    """Return where the images of a file are: a folder of its name, or one for all parts."""
    name = stem.removeprefix("instances_")
    places = [root / name, root / "images" / name, root / "images"]
    return next((folder for folder in places if folder.is_dir()), root)


def open_coco(root: Path, files: Mapping[str, tuple[Path, Path]]) -> BoxSource:
    """Read the boxes of each part.

    Args:
        root: The data set's folder, for errors.
        files: From `find_coco`.

    Raises:
        DataError: One line that names the file and the entry at fault.
    """
    if "train" not in files:
        (path, _), *_ = files.values()
        raise DataError(f"data {shown(root)}: {shown(path.name)} has no train part beside it; add train.json")
    names: dict[int, str] = {}
    left: Counter[str] = Counter()
    parts: dict[str, list[Picture]] = {}
    owner: dict[Path, Path] = {}
    for part in sorted(files, key=lambda part: part != "train"):
        path, folder = files[part]
        parts[part] = _Reader(path, folder, names, left).read()
        for image in (picture.path.resolve() for picture in parts[part]):
            if owner.setdefault(image, path) != path:
                raise DataError(
                    f"data {shown(path)}: the image '{shown(image.name)}' is in {owner[image].name} too; "
                    "remove it from one"
                )
    ordered = [names[number] for number in sorted(names)]
    return BoxSource(used_classes(ordered, parts.values(), root, left), parts, left)


def _float(number: int | float) -> float:
    """Return a number as a float; what is too large for one is infinite."""
    try:
        return float(number)
    except OverflowError:
        return math.inf


class _Reader:
    """Reads one file.

    Args:
        path: The file.
        folder: Where its images are.
        names: Class names by category; the file's own are added.
        left: Counts what is left out.
    """

    def __init__(self, path: Path, folder: Path, names: dict[int, str], left: Counter[str]) -> None:
        self.path, self.folder, self.names, self.left = path, folder, names, left

    def read(self) -> list[Picture]:
        """Return the images of the file with their boxes."""
        content = self._content()
        own = self._categories(content)
        pictures = self._pictures(content)
        for where, item in self._entries(content, "annotations"):
            picture = pictures.get(self._number(item, "image_id", where))
            if picture is None:
                raise DataError(f"{where}: image_id {item['image_id']} is not one of the images; correct or remove it")
            category = self._number(item, "category_id", where)
            if category not in own:
                known = ", ".join(map(str, sorted(own)))
                raise DataError(f"{where}: unknown category {category}; known: {known:.{_MOST_NAMED}}")
            box = item.get("bbox")
            if not isinstance(box, list) or len(box) != 4 or not all(type(n) in (int, float) for n in box):
                raise DataError(f"{where}: bbox must be [x, y, width, height], got {str(box)[:_MOST_NAMED]}")
            x, y, width, height = (_float(number) for number in box)
            crowd = bool(item.get("iscrowd", 0))
            add_box(picture, Box((x, y, x + width, y + height), own[category], crowd), where, self.left)
        return self._merged(pictures.values())

    def _merged(self, entries: Iterable[Picture]) -> list[Picture]:
        """Return each image once: some tools write an entry for each box. A box that is stated twice is one.

        Raises:
            DataError: Entries state different sizes of one image.
        """
        merged: dict[Path, Picture] = {}
        for entry in entries:
            first = merged.setdefault(entry.path.resolve(), entry)
            if first is entry:
                continue
            if first.size != entry.size:
                raise DataError(
                    f"data {shown(self.path)}: the image '{shown(entry.path.name)}' is listed with two sizes; correct "
                    "one or remove it"
                )
            self.left["repeated entries of an image, joined"] += 1
            first.boxes = list(dict.fromkeys([*first.boxes, *entry.boxes]))
        return list(merged.values())

    def _content(self) -> dict[str, Any]:
        text = read_text(self.path)
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            reason = f"line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else "too deep"
            raise DataError(f"data {shown(self.path)}: is damaged JSON ({reason}); repair or remove it") from None
        if not isinstance(content, dict):
            raise DataError(f"data {shown(self.path)}: must be an object with images, annotations and categories")
        return content

    def _categories(self, content: dict[str, Any]) -> dict[int, str]:
        own: dict[int, str] = {}
        for where, item in self._entries(content, "categories"):
            number, name = self._number(item, "id", where), item.get("name")
            if not isinstance(name, str):
                raise DataError(f"{where}: its name must be a text")
            if number in own or name in own.values():
                raise DataError(f"{where}: the category {number} '{shown(name)}' is stated twice; remove one")
            if self.names.setdefault(number, name) != name:
                raise DataError(
                    f"{where}: category {number} is '{shown(name)}' here and '{shown(self.names[number])}' in another "
                    "part; use one name"
                )
            others = [other for other, known in self.names.items() if known == name and other != number]
            if others:
                raise DataError(
                    f"{where}: '{shown(name)}' is category {number} here and {others[0]} in another part; use one "
                    "number"
                )
            own[number] = name
        return own

    def _pictures(self, content: dict[str, Any]) -> dict[int, Picture]:
        pictures: dict[int, Picture] = {}
        for where, item in self._entries(content, "images"):
            number, name = self._number(item, "id", where), item.get("file_name")
            if number in pictures:
                raise DataError(f"{where}: the image id {number} is used twice; give each image its own id")
            if not isinstance(name, str):
                raise DataError(f"{where}: file_name must be a text")
            size = (item.get("width"), item.get("height"))
            stated = all(type(n) is int and n > 0 for n in size)
            pictures[number] = Picture(image_path(self.folder, name, where), size if stated else None)  # type: ignore[arg-type]
        return pictures

    def _entries(self, content: dict[str, Any], key: str) -> Iterator[tuple[str, dict[str, Any]]]:
        entries = content.get(key)
        if not isinstance(entries, list):
            raise DataError(f"data {shown(self.path)}: the list {key!r} is missing; it must be a COCO file of boxes")
        for number, item in enumerate(entries):
            where = f"data {shown(self.path)}: {key}[{number}]"
            if not isinstance(item, dict):
                raise DataError(f"{where}: must be an object")
            yield where, item

    def _number(self, item: dict[str, Any], key: str, where: str) -> int:
        value = item.get(key)
        if type(value) is not int:
            raise DataError(f"{where}: {key} must be a whole number, got {str(value)[:_MOST_NAMED]}")
        return value
