"""Folders of images with masks: ``train/images/*`` and ``train/masks/*.png`` of the same names."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from hwnas._errors import DataError
from hwnas.data._dense import MOST_CLASSES, DenseData, DenseSplit, assemble_dense, numbered_classes, require_classes
from hwnas.data._kinds import IMAGES as IMAGE_FILES
from hwnas.data._layout import PARTS
from hwnas.data._names import require_class_names, shown
from hwnas.data._pixels import decode, fit_all
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
    parts, names = {}, {}
    for part, folder in folders.items():
        listed = _listed(folder)
        if listed.without_image:
            masks = "1 mask" if listed.without_image == 1 else f"{listed.without_image} masks"
            notes.append(f"left out {masks} of {shown(folder)} without an image")
        pairs = [listed.pairs[i] for i in subset_of_any(len(listed.pairs), limit)]
        names[part] = pairs
        parts[part] = _read(pairs, names["train"][0][0], image_size)
    parts = _same_channels(parts)
    classes = _class_names(root, parts)
    require_classes(spec, parts, lambda part, index: shown(names[part][index][1]), len(classes))
    if len(classes) < 2:
        raise DataError(f"data {shown(spec)}: its masks hold one class alone; segmentation needs at least two")
    return assemble_dense(spec, parts, classes, notes, seed)


def _part_folders(root: Path) -> dict[str, Path]:
    """Return the folder of each part; the root itself where it holds images and masks directly."""
    if not root.is_dir():
        return {}
    if (root / IMAGES).is_dir() and (root / MASKS).is_dir():
        return {"train": root}
    folders: dict[str, Path] = {}
    for path in sorted(root.iterdir()):
        part = next((part for part, words in PARTS.items() if path.name.lower() in words), None)
        if part is not None and (path / IMAGES).is_dir() and (path / MASKS).is_dir():
            folders.setdefault(part, path)
    return {part: folders[part] for part in ("train", "validation", "test") if part in folders}


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


def _read(pairs: Sequence[tuple[Path, Path]], first: Path, image_size: int | None) -> DenseSplit:
    """Decode images and masks.

    Raises:
        DataError: A file cannot be read, a mask has another size than its image, or images differ in size.
    """
    inputs: list[Pixels] = []
    targets: list[Pixels] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's on odd files
        size = decode(first, image_size).pixels.shape[:2]
        for image, mask in pairs:
            pixels, classes = decode(image, None).pixels, _read_mask(mask)
            if pixels.shape[:2] != classes.shape:
                raise DataError(
                    f"data {shown(mask)}: {_text(classes.shape)} pixels, but its image has {_text(pixels.shape)}; make "
                    "them equal"
                )
            if image_size is not None:
                pixels = fit_all(pixels.transpose(2, 0, 1)[None], image_size)[0].transpose(1, 2, 0)
                classes = _fit_mask(classes, image_size)
            if classes.shape != size:
                raise DataError(
                    f"data {shown(image)}: {_text(classes.shape)} pixels, but {shown(first)} has {_text(size)}; give "
                    "--image-size N to scale all to one size"
                )
            inputs.append(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
            targets.append(classes)
    channels = max(len(pixels) for pixels in inputs)
    stacked = [np.broadcast_to(pixels, (channels, *pixels.shape[1:])) for pixels in inputs]
    return DenseSplit(np.stack(stacked), np.stack(targets))


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


def _same_channels(parts: Mapping[str, DenseSplit]) -> dict[str, DenseSplit]:
    """Return grey images as colour where another part has colour."""
    channels = max(split.inputs.shape[1] for split in parts.values())
    same = dict(parts)
    for part, split in parts.items():
        if split.inputs.shape[1] < channels:
            same[part] = DenseSplit(np.repeat(split.inputs, channels, axis=1), split.targets)
    return same


def _class_names(root: Path, parts: Mapping[str, DenseSplit]) -> tuple[str, ...]:
    """Return the names in ``classes.txt``; without it the indices that the masks hold."""
    path = root / CLASSES
    if not path.is_file():
        return numbered_classes(parts)
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
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
