"""`load_boxes`: images with boxes from one word."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas._errors import DataError
from hwnas.data._boxes._coco import find_coco, open_coco
from hwnas.data._boxes._data import BoxData, BoxSplit
from hwnas.data._boxes._pictures import BoxSource, Picture
from hwnas.data._boxes._voc import find_voc, open_voc
from hwnas.data._guards import one_line, recogniser, require_arguments
from hwnas.data._images import ImageArray, moments
from hwnas.data._kinds import IMAGES
from hwnas.data._names import shown
from hwnas.data._splits import missing_parts, split_any, subset_of_any

USUAL_SIZE = 224
"""Side that images are brought to without ``image_size``, unless all are squares of a multiple of `STRIDE` already."""
STRIDE = 32
LARGEST_KEPT = 320


@recogniser
def holds_boxes(spec: str) -> bool:
    """Return whether a folder holds COCO files of boxes or is a Pascal VOC folder."""
    path = Path(spec)
    if not spec or not path.is_dir():
        return False
    if find_voc(path) is not None:
        return True
    return any(map(_has_images, {folder for _, folder in find_coco(path).values()}))


def _has_images(folder: Path) -> bool:
    """Return whether images lie in a folder itself: folders of classes beside some JSON are no boxes."""
    with os.scandir(folder) as entries:
        return any(Path(entry.name).suffix.lower() in IMAGES.suffixes for entry in entries)


def load_boxes(spec: str, *, image_size: int | None = None, seed: int = 0, limit: int | None = None) -> BoxData:
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
    require_arguments(spec, image_size, limit)
    root = Path(spec)
    with one_line(spec):
        source = _open(spec, root)
        parts = _split(spec, source, seed, limit)
        size = image_size or _size_of([picture for pictures in parts.values() for picture in pictures])
        splits = _read_all(parts, source.classes, size)
    mean, std = moments(splits["train"].images)
    return BoxData(
        spec,
        tuple(source.classes),
        **splits,
        mean=mean,
        std=std,
        notes=tuple(f"{what}: {count}" for what, count in sorted(source.left.items())),
    )


def _open(spec: str, root: Path) -> BoxSource:
    if not spec or not root.is_dir():
        raise DataError(f"data {shown(spec)}: is not a folder; detection reads folders of COCO or Pascal VOC boxes")
    voc = find_voc(root)
    if voc is not None:
        return open_voc(voc)
    files = find_coco(root)
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
        kept, held = split_any(len(whole), each.fraction, each.seed)
        parts["train"], parts[each.part] = ([whole[i] for i in indices] for indices in (kept, held))
    _require_boxes(spec, parts)
    return parts


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
    sizes = {picture.size for picture in pictures}
    only = next(iter(sizes)) if len(sizes) == 1 else None
    if only is not None and only[0] == only[1] and only[0] % STRIDE == 0 and only[0] <= LARGEST_KEPT:
        return only[0]
    return USUAL_SIZE


def _read_all(parts: dict[str, list[Picture]], classes: Sequence[str], size: int) -> dict[str, BoxSplit]:
    pictures = [picture for part in parts.values() for picture in part]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's on odd files; not in the threads, which share the filters
        pool = ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1))
        try:
            read = list(pool.map(lambda picture: _read(picture, size), pictures))
        finally:
            pool.shutdown(cancel_futures=True)
    channels, splits, first = max(len(pixels) for pixels, _ in read), {}, 0
    for part, members in parts.items():
        images = np.empty((len(members), channels, size, size), dtype=np.uint8)
        for image, (pixels, _) in zip(images, read[first : first + len(members)], strict=True):
            image[:] = pixels
        extents = [extent for _, extent in read[first : first + len(members)]]
        splits[part] = _split_of(images, members, extents, classes)
        first += len(members)
    return splits


def _read(picture: Picture, size: int) -> tuple[ImageArray, tuple[int, int]]:
    """Return the pixels ``(C, size, size)`` of an image, and the width and height that its file has."""
    from hwnas.data._pixels import decode

    decoded = decode(picture.path, size, stretch=True)
    if picture.size is not None and picture.size != decoded.size:
        here, there = (f"{width}x{height}" for width, height in (decoded.size, picture.size))
        raise DataError(f"data {shown(picture.path)}: has {here} pixels, but its boxes are stated for {there}")
    return decoded.pixels.transpose(2, 0, 1), decoded.size


def _split_of(
    images: ImageArray, members: Sequence[Picture], extents: Sequence[tuple[int, int]], classes: Sequence[str]
) -> BoxSplit:
    boxes: list[npt.NDArray[np.float64]] = []
    for picture, (width, height) in zip(members, extents, strict=True):
        for box in picture.boxes:
            x1, y1, x2, y2 = box.corners
            if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
                raise DataError(
                    f"data {shown(picture.path)}: the box from ({x1:g}, {y1:g}) to ({x2:g}, {y2:g}) lies outside its "
                    f"{width}x{height} pixels; correct or remove it"
                )
        boxes += [np.clip(np.array(box.corners) / (width, height, width, height), 0, 1) for box in picture.boxes]
    every = [box for picture in members for box in picture.boxes]
    return BoxSplit(
        images,
        np.array(boxes, dtype=np.float32).reshape(-1, 4),
        np.array([classes.index(box.name) for box in every], dtype=np.int64),
        np.array([box.crowd for box in every], dtype=np.bool_),
        np.cumsum([0, *(len(picture.boxes) for picture in members)]).astype(np.int64),
    )
