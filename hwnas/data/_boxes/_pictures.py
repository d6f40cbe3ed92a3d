"""What readers of boxes say of each image before it is decoded, and how they look at files of unknown origin."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from hwnas._errors import DataError
from hwnas.data._names import require_class_names, shown
from latency_tables import open_regular

MOST_BYTES = 2**30
"""Largest file of boxes that is read; COCO's own has 450 MB."""
_PART = re.compile(r"(?:instances_)?(train|training|val|valid|validation|test|testing)(?:[-_]?\d{4})?\Z", re.IGNORECASE)
_PART_OF = {"tr": "train", "va": "validation", "te": "test"}
_DRIVE = re.compile(r"[A-Za-z]:")
"""How paths on Windows begin."""
_SLACK = 1.0
"""Boxes may leave the image by so many pixels: rounding."""


@dataclass(frozen=True)
class Box:
    """One box in pixels of its image.

    Attributes:
        corners: x1, y1, x2, y2.
        name: Name of its class.
        crowd: Whether it holds a crowd.
    """

    corners: tuple[float, float, float, float]
    name: str
    crowd: bool = False


@dataclass
class Picture:
    """An image and its boxes.

    Attributes:
        path: The image file.
        size: Width and height that the boxes are stated in; None where the file does not say.
        boxes: The boxes.
    """

    path: Path
    size: tuple[int, int] | None
    boxes: list[Box] = field(default_factory=list)


@dataclass
class BoxSource:
    """What a reader found.

    Attributes:
        classes: Names of the classes in the order of their labels.
        parts: Pictures of ``train``, perhaps ``validation`` and ``test``.
        left: What was left out, by what it is, counted.
    """

    classes: list[str]
    parts: dict[str, list[Picture]]
    left: Counter[str] = field(default_factory=Counter)


def part_of(name: str) -> str | None:
    """Return the part that a name like ``val``, ``train2017`` or ``instances_val2017`` stands for."""
    match = _PART.match(name)
    return None if match is None else _PART_OF[match.group(1)[:2].lower()]


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8.

    Raises:
        DataError: It cannot be read.
    """
    try:
        with open_regular(path) as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise DataError(
            f"data {shown(path)}: cannot be read ({error.strerror or error}); repair or remove it"
        ) from None
    if len(content) > MOST_BYTES:
        raise DataError(f"data {shown(path)}: has more than {MOST_BYTES:,} bytes; split it")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"data {shown(path)}: is not UTF-8 text; repair or remove it") from None


def image_path(folder: Path, name: str, where: str) -> Path:
    """Return the path of an image that a file names, inside a folder.

    Raises:
        DataError: The name leads elsewhere, or there is no such file.
    """
    relative = PurePosixPath(name.replace("\\", "/"))
    if relative.is_absolute() or ".." in relative.parts or not relative.parts or _DRIVE.match(name):
        raise DataError(f"{where}: the image '{shown(name)}' must be a path inside {shown(folder)}")
    path = folder / relative
    if not path.is_file():
        raise DataError(f"{where}: the image {shown(path)} is missing; add it or remove its entry")
    return path


def add_box(picture: Picture, box: Box, where: str, left: Counter[str]) -> None:
    """Append a box, cut at the edges of its image; count it in `left` where it is empty or cut.

    Args:
        picture: The image.
        box: The box as the file states it.
        where: The file and the entry, for errors.
        left: Counts what was left out.

    Raises:
        DataError: It is not finite, or lies outside the image.
    """
    x1, y1, x2, y2 = box.corners
    if not all(map(math.isfinite, box.corners)):
        raise DataError(f"{where}: the box must have four finite numbers; correct it")
    if x2 <= x1 or y2 <= y1:
        left["empty boxes (no width or height), left out"] += 1
        return
    if picture.size is not None:
        width, height = picture.size
        if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
            raise DataError(
                f"{where}: the box from ({x1:g}, {y1:g}) to ({x2:g}, {y2:g}) lies outside its image of "
                f"{width}x{height} pixels; correct or remove it"
            )
        if x1 < -_SLACK or y1 < -_SLACK or x2 > width + _SLACK or y2 > height + _SLACK:
            left["boxes cut at the edge of their image"] += 1
        x1, y1, x2, y2 = max(0.0, x1), max(0.0, y1), min(float(width), x2), min(float(height), y2)
    picture.boxes.append(Box((x1, y1, x2, y2), box.name, box.crowd))


def used_classes(
    names: Sequence[str], parts: Iterable[Sequence[Picture]], source: Path, left: Counter[str]
) -> list[str]:
    """Return the names that some box has, in their order.

    Raises:
        DataError: There is none, or a name cannot be shown.
    """
    used = {box.name for pictures in parts for picture in pictures for box in picture.boxes}
    kept = [name for name in names if name in used]
    if not kept:
        raise DataError(f"data {shown(source)}: no boxes; detection needs images with boxes")
    if unused := len(names) - len(kept):
        left["classes without boxes, left out"] += unused
    require_class_names(str(source), kept)
    return kept
