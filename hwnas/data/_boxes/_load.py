"""`load_boxes`: images with boxes from one word."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hwnas._errors import DataError
from hwnas.data._boxes._coco import find_coco, open_coco
from hwnas.data._boxes._data import BoxData, BoxSplit
from hwnas.data._boxes._pictures import BoxSource, Picture
from hwnas.data._boxes._voc import find_voc, open_voc
from hwnas.data._boxes._yolo import find_yolo
from hwnas.data._guards import one_line, recogniser, require_arguments
from hwnas.data._images import ImageArray, moments
from hwnas.data._kinds import IMAGES
from hwnas.data._names import shown
from hwnas.data._source import Canvas
from hwnas.data._splits import missing_parts, split_any, subset_of_any

USUAL_SIZE = 224
"""Side that images are brought to without ``image_size``, unless all are squares of a multiple of `STRIDE` already."""
STRIDE = 32
LARGEST_KEPT = 320


@recogniser
def holds_boxes(spec: str) -> bool:
    """Return whether a folder holds boxes: COCO's, Pascal VOC's, or YOLO's, which loading refuses."""
    path = Path(spec)
    if not spec or not path.is_dir():
        return False
    if find_voc(path) is not None:
        return True
    if any(map(_has_images, {folder for _, folder in find_coco(path).values()})):
        return True
    return find_yolo(path) is not None


def _has_images(folder: Path) -> bool:
    """Return whether images lie in a folder itself: folders of classes beside some JSON are no boxes."""
    with os.scandir(folder) as entries:
        return any(Path(entry.name).suffix.lower() in IMAGES.suffixes for entry in entries)


def load_boxes(spec: str | Path, *, image_size: int | None = None, seed: int = 0, limit: int | None = None) -> BoxData:
    """Load images with boxes and split them.

    Args:
        spec: A folder with COCO's JSON (``train.json`` and ``train/``, ``annotations/instances_train2017.json`` and
            ``train2017/``, or ``train/_annotations.coco.json``; likewise ``val`` and ``test``), or a Pascal VOC folder
            (``Annotations/*.xml``, ``JPEGImages/``, ``ImageSets/Main/*.txt``).
        image_size: Height and width that every image is stretched to (Pillow, bilinear, antialiased). None keeps
            squares of one size that is a multiple of 32 up to 320, and stretches others to 224.
        seed: Decides the validation split (a quarter of the train part) where the source has none. A test part that it
            lacks (20 %) and the subset of `limit` are the same for every seed.
        limit: Use at most this many images of each part that the source has.

    Raises:
        DataError: One line that names the file at fault and says what to do.
    """
    spec = require_arguments(spec, image_size, limit, seed)
    root = Path(spec)
    with one_line(spec):
        source = _open(spec, root)
        parts = _split(spec, source, seed, limit)
        size = image_size or _size_of([picture for pictures in parts.values() for picture in pictures])
        splits = _read_all(spec, parts, source.classes, size)
    notes = [f"{what}: {count}" for what, count in sorted(source.left.items())]
    if unknown := unlearned(parts):
        notes.append(f"no box of the train part is of {', '.join(unknown)}: no network can learn that")
    mean, std = moments(splits["train"].images)
    return BoxData(
        spec,
        tuple(source.classes),
        **splits,
        mean=mean,
        std=std,
        notes=tuple(notes),
    )


def _open(spec: str, root: Path) -> BoxSource:
    if not spec or not root.is_dir():
        raise DataError(f"data {shown(spec)}: is not a folder; detection reads folders of COCO or Pascal VOC boxes")
    voc = find_voc(root)
    if voc is not None:
        return open_voc(voc)
    files = find_coco(root)
    yolo = None if files else find_yolo(root)
    if yolo is not None:
        raise DataError(
            f"data {shown(yolo)}: boxes in YOLO's text files are not read; convert them to COCO's JSON (train.json "
            "beside train/) or to Pascal VOC's XML, see docs/detection.md"
        )
    if not files:
        raise DataError(
            f"data {shown(spec)}: holds no boxes; it must hold train.json in COCO's form, or Annotations/*.xml and "
            "JPEGImages"
        )
    return open_coco(root, files)


def _split(spec: str, source: BoxSource, seed: int, limit: int | None) -> dict[str, list[Picture]]:
    """Return the pictures of the three parts; those that the source lacks are split off the train part."""
    _require_learned(spec, source.parts)
    parts = {
        part: [pictures[i] for i in subset_of_any(len(pictures), limit)] for part, pictures in source.parts.items()
    }
    for part, pictures in parts.items():
        if not pictures:
            raise DataError(f"data {shown(spec)}: its {part} part has no images; add some or remove it")
    for each in missing_parts(parts, seed):
        whole = parts["train"]
        if len(whole) < each.needed:
            raise DataError(f"data {shown(spec)}: {len(whole)} images for training; at least {each.needed} are needed")
        kept, held = split_any(len(whole), each.share(len(whole)), each.seed)
        parts["train"], parts[each.part] = ([whole[i] for i in indices] for indices in (kept, held))
    _require_boxes(spec, parts)
    return parts


def unlearned(parts: Mapping[str, Sequence[Picture]]) -> list[str]:
    """Return the classes, sorted, that the other parts hold and the train part does not."""
    learned = _names(parts["train"])
    return sorted(set().union(*(_names(pictures) for pictures in parts.values())) - learned)


def _names(pictures: Sequence[Picture]) -> set[str]:
    """Return the classes of the boxes that count."""
    return {box.name for picture in pictures for box in picture.boxes if not box.crowd}


def _require_learned(spec: str, parts: Mapping[str, Sequence[Picture]]) -> None:
    """Refuse classes of a stated part that the train part does not have: they cannot be learned.

    Raises:
        DataError: Naming one.
    """
    learned = _names(parts["train"])
    for part, pictures in parts.items():
        unknown = sorted(_names(pictures) - learned)
        if unknown:
            raise DataError(
                f"data {shown(spec)}: the class '{shown(unknown[0])}' has boxes in the {part} part and none in the "
                "train part; add some or remove them"
            )


def _require_boxes(spec: str, parts: Mapping[str, Sequence[Picture]]) -> None:
    """Refuse parts without a box that counts: nothing could be learned from them or judged on them.

    Raises:
        DataError: Naming the part.
    """
    for part, pictures in parts.items():
        if not _names(pictures):
            raise DataError(f"data {shown(spec)}: no image of its {part} part has a box; add images with boxes")


def _size_of(pictures: Sequence[Picture]) -> int:
    """Return the side to load images at where none is given."""
    sides = {_side_of(picture) for picture in pictures}
    side = sides.pop() if len(sides) == 1 else None
    return side if side is not None and side % STRIDE == 0 and side <= LARGEST_KEPT else USUAL_SIZE


def _side_of(picture: Picture) -> int | None:
    """Return the side of a square image, by the header of its file where nothing else states it; None for others."""
    from hwnas.data._pixels import square_side

    if picture.size is None:
        return square_side(picture.path)
    width, height = picture.size
    return width if width == height else None


def _read_all(
    spec: str, parts: Mapping[str, Sequence[Picture]], classes: Sequence[str], size: int
) -> dict[str, BoxSplit]:
    """Decode all images on several threads, each straight to its place."""
    from hwnas.data._pixels import decoding_threads

    canvas = Canvas.of_all(spec, {part: len(pictures) for part, pictures in parts.items()})

    def read(place: tuple[str, int]) -> tuple[int, int]:
        """Decode one image; returns the width and height that its file has."""
        part, index = place
        pixels, extent = _read(parts[part][index], size)
        canvas.put(part, index, pixels[None])
        return extent

    with decoding_threads() as pool:
        extents = {part: list(pool.map(read, ((part, i) for i in range(len(parts[part]))))) for part in parts}
    return {part: _split_of(canvas.take(part), parts[part], extents[part], classes) for part in parts}


def _read(picture: Picture, size: int) -> tuple[ImageArray, tuple[int, int]]:
    """Return the pixels ``(C, size, size)`` of an image, and the width and height that its file has."""
    from hwnas.data._pixels import decode

    decoded = decode(picture.path, size, stretch=True)
    if picture.size is not None and picture.size != decoded.size:
        here, there = (f"{width}x{height}" for width, height in (decoded.size, picture.size))
        raise DataError(
            f"data {shown(picture.path)}: has {here} pixels, but its boxes are stated for {there}; "
            "correct width and height in the file of boxes"
        )
    return decoded.pixels.transpose(2, 0, 1), decoded.size


def _split_of(
    images: ImageArray, members: Sequence[Picture], extents: Sequence[tuple[int, int]], classes: Sequence[str]
) -> BoxSplit:
    for picture, (width, height) in zip(members, extents, strict=True):
        for box in picture.boxes:
            x1, y1, x2, y2 = box.corners
            if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
                raise DataError(
                    f"data {shown(picture.path)}: the box from ({x1:g}, {y1:g}) to ({x2:g}, {y2:g}) lies outside its "
                    f"{width}x{height} pixels; correct or remove it"
                )
    every = [box for picture in members for box in picture.boxes]
    counts = [len(picture.boxes) for picture in members]
    corners = np.array([box.corners for box in every], dtype=np.float64).reshape(-1, 4)
    whole = np.repeat(np.array(extents)[:, [0, 1, 0, 1]], counts, axis=0)
    label = {name: index for index, name in enumerate(classes)}
    return BoxSplit(
        images,
        np.clip(corners / whole, 0, 1).astype(np.float32),
        np.array([label[box.name] for box in every], dtype=np.int64),
        np.array([box.crowd for box in every], dtype=np.bool_),
        np.cumsum([0, *counts]).astype(np.int64),
    )
