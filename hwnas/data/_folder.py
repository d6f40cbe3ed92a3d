"""Folders of images: ``train/<class>/*`` and ``test/<class>/*``, or ``<class>/*`` directly."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np

from hwnas._errors import DataError
from hwnas.data._images import Split
from hwnas.data._pixels import decode
from hwnas.data._splits import subset

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
PARTS = {"train": ("train",), "test": ("test",), "validation": ("val", "validation")}
"""Folder names of each part."""
_CHUNK = 256


def read_folder(root: Path, image_size: int | None, limit: int | None) -> tuple[list[str], dict[str, Split]]:
    """Class names (sorted) and the parts that the folder has.

    Raises:
        DataError: see `hwnas.data.load_data`.
    """
    folders = {part: root / n for part, names in PARTS.items() for n in names if (root / n).is_dir()}
    if "train" not in folders:
        folders = {"train": root}
    found = {part: _list_classes(folder) for part, folder in folders.items()}
    classes = sorted(found["train"])
    if not classes:
        raise DataError(f"data {root}: no class folders; it must hold train/<class>/* or <class>/* with images")
    if len(classes) == 1:
        raise DataError(f"data {root}: only one class, {classes[0]!r}; classification needs at least two")
    files: dict[str, tuple[list[Path], np.ndarray[tuple[int], np.dtype[np.int64]]]] = {}
    for part, members in found.items():
        unknown = sorted(set(members) - set(classes))
        if unknown:
            raise DataError(f"data {folders[part]}: class {unknown[0]!r} is none of the train classes")
        paths = [path for name in sorted(members) for path in members[name]]
        labels = np.repeat(
            [classes.index(name) for name in sorted(members)], [len(members[n]) for n in sorted(members)]
        )
        if not paths:
            raise DataError(f"data {folders[part]}: no class folders with images")
        keep = subset(str(root), labels.astype(np.int64), limit, needed=4 - len(found) if part == "train" else 1)
        files[part] = [paths[i] for i in keep], labels[keep].astype(np.int64)
    return classes, _decode_parts(root, files, image_size)


def _list_classes(folder: Path) -> dict[str, list[Path]]:
    """Image files by class; hidden files and files that are no images by their suffix are passed over."""
    found = {}
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        if entry.is_dir() and not entry.name.startswith("."):
            names = sorted(item.name for item in os.scandir(entry.path))
            images = [Path(entry.path, n) for n in names if Path(n).suffix.lower() in SUFFIXES and n[0] != "."]
            if not images:
                raise DataError(f"data {entry.path}: a class without images; add some ({_suffixes()}) or remove it")
            found[entry.name] = images
    return found


def _suffixes() -> str:
    return ", ".join(sorted(SUFFIXES))


def _decode_parts(
    root: Path,
    files: dict[str, tuple[list[Path], np.ndarray[tuple[int], np.dtype[np.int64]]]],
    image_size: int | None,
) -> dict[str, Split]:
    """Decode everything; grey images become colour where the set has both."""
    paths = [path for part, _ in files.values() for path in part]
    pixels = _decode_all(paths, image_size)
    for path, image in zip(paths, pixels, strict=True):
        if image.shape[:2] != pixels[0].shape[:2]:
            here, first = (f"{i.shape[1]}x{i.shape[0]}" for i in (image, pixels[0]))
            raise DataError(
                f"data {path}: {here} pixels, but {paths[0]} has {first}; give --image-size N to bring all to one"
            )
    channels = max(image.shape[2] for image in pixels)
    parts, remaining = {}, iter(pixels)
    for part, (_, labels) in files.items():
        images = np.empty((len(labels), channels, *pixels[0].shape[:2]), dtype=np.uint8)
        for i, image in enumerate(islice(remaining, len(labels))):
            images[i] = image.transpose(2, 0, 1)
        parts[part] = Split(images, labels)
    return parts


def _decode_all(paths: Sequence[Path], image_size: int | None) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    """All files in order, on several threads (Pillow decodes without the interpreter lock)."""
    chunks = [paths[i : i + _CHUNK] for i in range(0, len(paths), _CHUNK)]
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        parts = list(pool.map(lambda chunk: [decode(path, image_size) for path in chunk], chunks))
    return [image for part in parts for image in part]
