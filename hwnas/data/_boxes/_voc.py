"""Boxes in Pascal VOC's XML: ``Annotations/*.xml``, ``JPEGImages/``, ``ImageSets/Main/{train,val,test}.txt``."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from hwnas._errors import DataError
from hwnas.data._boxes._pictures import Box, BoxSource, Picture, add_box, image_path, part_of, read_text, used_classes
from hwnas.data._names import shown

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".JPG", ".JPEG", ".PNG")


def find_voc(root: Path) -> Path | None:
    """Return the folder that holds ``Annotations`` with XML files: `root`, or the only ``VOC*`` folder in it."""
    nested = [path.parent for path in sorted(root.glob("VOC*/Annotations")) if path.is_dir()]
    for folder in [root, *(nested if len(nested) == 1 else [])]:
        if (folder / "Annotations").is_dir() and next((folder / "Annotations").glob("*.xml"), None) is not None:
            return folder
    return None


def open_voc(root: Path) -> BoxSource:
    """Read the boxes of each part; without ``ImageSets/Main`` all are for training.

    Raises:
        DataError: One line that names the file at fault.
    """
    left: Counter[str] = Counter()
    parts: dict[str, list[Picture]] = {}
    for part, names in _members(root).items():
        distinct = list(dict.fromkeys(names))
        if repeated := len(names) - len(distinct):
            left["repeated names of an image, left out"] += repeated
        parts[part] = [_read(root, name, left) for name in distinct]
    _require_own_images(root, parts)
    known = sorted({box.name for picture in parts["train"] for box in picture.boxes})
    for part in parts:
        for picture in parts[part]:
            unknown = next((box.name for box in picture.boxes if box.name not in known), None)
            if unknown is not None:
                raise DataError(
                    f"data {shown(_xml(root, picture.path.stem))}: the class '{shown(unknown)}' is not one of the "
                    "train classes; rename it, or add train images of it"
                )
    return BoxSource(used_classes(known, parts.values(), root, left), parts, left)


def _xml(root: Path, name: str) -> Path:
    return root / "Annotations" / f"{name}.xml"


def _members(root: Path) -> dict[str, list[str]]:
    """Return the names of the images of each part.

    Raises:
        DataError: A list is empty, there is none for training, or an image is in two.
    """
    lists = {path.stem.lower(): path for path in sorted((root / "ImageSets" / "Main").glob("*.txt"))}
    files = {part: path for stem, path in lists.items() if (part := part_of(stem)) is not None}
    if "train" not in files and "trainval" in lists:
        files["train"] = lists["trainval"]
    if not files:
        return {"train": sorted(path.stem for path in (root / "Annotations").glob("*.xml"))}
    if "train" not in files:
        raise DataError(f"data {shown(root)}: ImageSets/Main has no train.txt; add it")
    parts, owner = {}, dict[str, Path]()
    for part in sorted(files, key=lambda part: part != "train"):
        names = [_listed(root, line.strip()) for line in read_text(files[part]).splitlines() if line.strip()]
        if not names:
            raise DataError(f"data {shown(files[part])}: names no images; fill it or remove it")
        for name in names:
            if owner.setdefault(name, files[part]) != files[part]:
                raise DataError(
                    f"data {shown(files[part])}: the image '{shown(name)}' is in {owner[name].name} too; "
                    "remove it from one"
                )
        parts[part] = names
    return parts


def _listed(root: Path, line: str) -> str:
    """Return the name in a line of a list; lists of one class add 1, 0 or -1."""
    return line if _xml(root, line).is_file() else re.sub(r"\s+-?[01]$", "", line)


def _require_own_images(root: Path, parts: Mapping[str, Sequence[Picture]]) -> None:
    """Refuse an image that two XML files describe: it could be in two parts.

    Raises:
        DataError: Naming it.
    """
    seen = set[Path]()
    for picture in (each for pictures in parts.values() for each in pictures):
        if (path := picture.path.resolve()) in seen:
            raise DataError(
                f"data {shown(root)}: two files in Annotations describe the image {shown(picture.path.name)}; "
                "join or remove one"
            )
        seen.add(path)


def _read(root: Path, name: str, left: Counter[str]) -> Picture:
    if "/" in name or "\\" in name or name in (".", ".."):
        raise DataError(f"data {shown(root)}: '{shown(name)}' in ImageSets/Main is no name of an image; correct it")
    path = _xml(root, name)
    if not path.is_file():
        raise DataError(f"data {shown(path)}: is missing, but ImageSets/Main names it; add it or remove its name")
    tree = _parse(path)
    size = tree.find("size")
    stated = tuple(_number(path, size, key) for key in ("width", "height")) if size is not None else (0.0, 0.0)
    picture = Picture(_image(root, name, tree, path), (int(stated[0]), int(stated[1])) if min(stated) >= 1 else None)
    for number, item in enumerate(tree.findall("object"), 1):
        where = f"data {shown(path)}: object {number}"
        box, label = item.find("bndbox"), (item.findtext("name") or "").strip()
        if box is None or not label:
            raise DataError(f"{where}: must have a name and a bndbox; add them")
        x1, y1, x2, y2 = (_number(path, box, key) for key in ("xmin", "ymin", "xmax", "ymax"))
        corners = (x1 - 1, y1 - 1, x2, y2)  # pixels are counted from 1, and the last one belongs to the box
        add_box(picture, Box(corners, label), where, left)
    return picture


def _parse(path: Path) -> ElementTree.Element:
    text = read_text(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError(f"data {shown(path)}: declares a document type; remove the <!DOCTYPE ...> line")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(f"data {shown(path)}: is damaged XML ({shown(error)}); repair or remove it") from None


def _image(root: Path, name: str, tree: ElementTree.Element, path: Path) -> Path:
    folder = root / "JPEGImages"
    for suffix in _SUFFIXES:
        if (folder / f"{name}{suffix}").is_file():
            return folder / f"{name}{suffix}"
    return image_path(folder, (tree.findtext("filename") or f"{name}.jpg").strip(), f"data {shown(path)}")


def _number(path: Path, parent: ElementTree.Element, key: str) -> float:
    text = parent.findtext(key)
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"data {shown(path)}: {parent.tag}/{key} must be a finite number, got {shown(text)}")
    return value
