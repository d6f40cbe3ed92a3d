"""Folders of images with masks: ``train/images/*`` and ``train/masks/*.png`` of the same names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from hwnas._errors import DataError
from hwnas.data._dense import MOST_CLASSES, DenseData, DenseSplit, assemble_dense, numbered_classes, require_classes
from hwnas.data._kinds import IMAGES as IMAGE_FILES
from hwnas.data._layout import named_parts
from hwnas.data._names import require_class_names, shown
from hwnas.data._pixels import decode, decoding_threads, fit_all
from hwnas.data._recognise import folders_in
from hwnas.data._source import Canvas
from hwnas.data._splits import subset_of_any
from latency_tables import open_regular

IMAGES, MASKS, CLASSES = "images", "masks", "classes.txt"
_MASK_MODES = ("1", "L", "P")
_PNG_DEPTH = 24
"""Where a PNG says its bits a sample; the kind of its colours follows (the specification's IHDR)."""
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class _Part:
    """The files of one part: images and their masks."""

    pairs: tuple[tuple[Path, Path], ...]
    without_image: int


def is_masks_folder(root: Path) -> bool:
    """Return whether a folder holds images with masks."""
    return bool(_part_folders(root))


def load_masks_folder(spec: str, *, image_size: int | None, seed: int, limit: int | None) -> DenseData:
    """Load images and masks.

    Args:
        spec: The folder: ``train/images/*`` and ``train/masks/*.png``, perhaps ``test`` and ``val`` (or ``images/*``
            and ``masks/*.png`` directly), perhaps ``classes.txt`` with a class name on each line.
        image_size: As in `hwnas.data.load_data`; masks are scaled to the nearest pixel's class.
        seed: Decides the validation part.
        limit: Most images of each part.

    Raises:
        DataError: One line that names the file at fault.
    """
    root = Path(spec)
    folders = _part_folders(root)
    if "train" not in folders:
        raise DataError(f"data {shown(spec)}: holds no train/{IMAGES} and train/{MASKS}; add them")
    notes: list[str] = []
    pairs = {}
    for part, folder in folders.items():
        listed = _listed(folder)
        if listed.without_image:
            masks = "1 mask" if listed.without_image == 1 else f"{listed.without_image} masks"
            notes.append(f"left out {masks} of {shown(folder)} without an image")
        pairs[part] = [listed.pairs[i] for i in subset_of_any(len(listed.pairs), limit)]
    parts = _read_all(spec, pairs, image_size)
    classes = _class_names(root, parts)
    require_classes(spec, parts, lambda part, index: shown(pairs[part][index][1]), len(classes))
    return assemble_dense(spec, parts, classes, notes, seed)


def _part_folders(root: Path) -> dict[str, Path]:
    """Return the folder of each part; the root itself where it holds images and masks directly."""
    if not root.is_dir():
        return {}
    if _has_masks(root):
        return {"train": root}
    folders = named_parts([path for path in folders_in(root) if _has_masks(path)])
    return {part: folders[part] for part in ("train", "validation", "test") if part in folders}


def _has_masks(folder: Path) -> bool:
    return (folder / IMAGES).is_dir() and (folder / MASKS).is_dir()


def _listed(folder: Path) -> _Part:
    """Return the images of a part, by name, each with its mask.

    Raises:
        DataError: There are none, two have one name, or one has no mask.
    """
    masks = {path.stem: path for path in sorted((folder / MASKS).iterdir()) if path.suffix.lower() == ".png"}
    images: dict[str, Path] = {}
    for path in sorted((folder / IMAGES).iterdir()):
        if path.name.startswith(".") or path.suffix.lower() not in IMAGE_FILES.suffixes:
            continue
        if path.stem in images:
            raise DataError(f"data {shown(path)}: has the name of {shown(images[path.stem].name)}; rename one of them")
        if path.stem not in masks:
            raise DataError(
                f"data {shown(path)}: has no mask {MASKS}/{shown(path.stem)}.png; add it, or remove the image"
            )
        images[path.stem] = path
    if not images:
        raise DataError(f"data {shown(folder / IMAGES)}: holds no images; add some, or remove the folder")
    return _Part(tuple((path, masks[stem]) for stem, path in images.items()), len(masks) - len(images))


def _read_all(
    spec: str, parts: Mapping[str, Sequence[tuple[Path, Path]]], image_size: int | None
) -> dict[str, DenseSplit]:
    """Decode the images and masks of all parts, on several threads, each straight to its place.

    Raises:
        DataError: A file cannot be read, a mask has another size than its image, or images differ in size.
    """
    first, _ = parts["train"][0]
    canvas = Canvas.of_all(spec, {part: len(pairs) for part, pairs in parts.items()})
    with decoding_threads() as pool:
        size = decode(first, image_size).pixels.shape[:2]
        targets = {part: np.empty((len(pairs), *size), dtype=np.uint8) for part, pairs in parts.items()}

        def read(place: tuple[str, int]) -> None:
            """Decode one image and its mask."""
            part, index = place
            image, _ = parts[part][index]
            pixels, classes = _read(*parts[part][index], image_size)
            if classes.shape != size:
                raise DataError(
                    f"data {shown(image)}: {_text(classes.shape)} pixels, but {shown(first)} has {_text(size)}; give "
                    "--image-size N to scale all to one size"
                )
            canvas.put(part, index, pixels[None])
            targets[part][index] = classes

        for _ in pool.map(read, [(part, index) for part, pairs in parts.items() for index in range(len(pairs))]):
            pass
    return {part: DenseSplit(canvas.take(part), targets[part]) for part in parts}


def _read(image: Path, mask: Path, image_size: int | None) -> tuple[Pixels, Pixels]:
    """Return an image ``(C, H, W)`` and its mask ``(H, W)``.

    Raises:
        DataError: One of them cannot be read, or they differ in size.
    """
    pixels, classes = decode(image, None).pixels, _read_mask(mask)
    if pixels.shape[:2] != classes.shape:
        raise DataError(
            f"data {shown(mask)}: {_text(classes.shape)} pixels, but its image has {_text(pixels.shape)}; make "
            "them equal"
        )
    pixels = pixels.transpose(2, 0, 1)
    if image_size is None:
        return pixels, classes
    return fit_all(pixels[None], image_size)[0], _fit_mask(classes, image_size)


def _read_mask(path: Path) -> Pixels:
    try:
        with open_regular(path) as file, Image.open(file, formats=("PNG",)) as opened:
            file.seek(_PNG_DEPTH)
            depth, colours = file.read(2)
            if depth in (2, 4) and colours == 0:
                raise DataError(
                    f"data {shown(path)}: has grey levels of {depth} bits; save the mask with 8 bits a pixel (or a "
                    "palette)"
                )
            if opened.mode not in _MASK_MODES:
                raise DataError(
                    f"data {shown(path)}: has pixels of mode {opened.mode}; a mask has one channel of 8 bits, the "
                    "class index of each pixel (or a palette)"
                )
            return np.asarray(opened.convert("L") if opened.mode == "1" else opened, dtype=np.uint8) // (
                255 if opened.mode == "1" else 1
            )
    except DataError:
        raise
    except Exception as error:  # a decoder raises anything on damaged bytes
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"data {shown(path)}: cannot be read as a PNG ({shown(reason)}); repair or remove it") from None


def _fit_mask(classes: Pixels, size: int) -> Pixels:
    fitted = ImageOps.fit(Image.fromarray(classes), (size, size), Image.Resampling.NEAREST)
    return np.asarray(fitted, dtype=np.uint8)


def _class_names(root: Path, parts: Mapping[str, DenseSplit]) -> tuple[str, ...]:
    """Return the names in ``classes.txt``; without it the indices that the masks hold."""
    path = root / CLASSES
    if not path.is_file():
        return numbered_classes(parts)
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError):
        raise DataError(f"data {shown(path)}: cannot be read as UTF-8 text; give a class name on each line") from None
    while names and not names[-1]:
        names.pop()
    if len(names) > MOST_CLASSES:
        raise DataError(f"data {shown(path)}: {len(names)} classes; at most {MOST_CLASSES} have an index of 8 bits")
    require_class_names(str(path), names)
    return tuple(names)


def _text(shape: Sequence[int]) -> str:
    return f"{shape[1]}x{shape[0]}"
