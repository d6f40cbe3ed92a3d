"""Boxes in YOLO's text files, which are recognised so that the refusal can say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from hwnas.data._kinds import IMAGES
from hwnas.data._recognise import folders_in

_LOOKS = 20
_LABELS, _IMAGES = "labels", "images"


def find_yolo(root: Path) -> Path | None:
    """Return a text file of boxes in YOLO's form: in ``labels`` beside ``images``, or beside the image itself."""
    top = folders_in(root)
    for folder in [root, *top[:_LOOKS]]:
        inside = top if folder is root else folders_in(folder)
        names = {path.name.lower(): path for path in inside}
        if _LABELS in names and _IMAGES in names:
            labels = names[_LABELS]
            for place in [labels, *islice(folders_in(labels), _LOOKS)]:
                for path in _texts(place):
                    if _holds_boxes(path):
                        return path
        for path in _texts(folder):
            if any(path.with_suffix(suffix).is_file() for suffix in IMAGES.suffixes) and _holds_boxes(path):
                return path
    return None


def _texts(folder: Path) -> Iterator[Path]:
    return islice((path for path in sorted(folder.glob("*.txt")) if path.is_file()), _LOOKS)


def _holds_boxes(path: Path) -> bool:
    """Return whether the first line of a file is a class number and at least four fractions."""
    with path.open("rb") as file:
        words = file.readline(1000).split()
    if len(words) < 5 or not words[0].isdigit():
        return False
    try:
        return all(0 <= float(word) <= 1 for word in words[1:5])
    except ValueError:
        return False
