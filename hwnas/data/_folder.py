"""Folders of images: ``train/<class>/*`` and ``test/<class>/*``, or ``<class>/*`` directly."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from hwnas._errors import DataError
from hwnas.data._layout import find_layout
from hwnas.data._names import shown
from hwnas.data._pixels import Decoded, decode
from hwnas.data._source import Canvas, Source
from hwnas.data._splits import Indices

_CHUNK = 32


def open_folder(root: Path, image_size: int | None) -> Source:
    """Return the classes (sorted) and the parts that a folder has.

    Raises:
        DataError: See `hwnas.data.load_data`.
    """
    layout = find_layout(root)
    classes = sorted(layout.parts["train"])
    if not classes:
        raise DataError(f"data {shown(root)}: no class folders; it must hold train/<class>/* or <class>/* with images")
    if len(classes) == 1:
        raise DataError(f"data {shown(root)}: only one class, '{shown(classes[0])}'; classification needs at least two")
    files: dict[str, list[str]] = {}
    labels = {}
    for part, members in layout.parts.items():
        names = [name for name in classes if name in members]
        files[part] = [path for name in names for path in members[name]]
        labels[part] = np.repeat([classes.index(n) for n in names], [len(members[n]) for n in names]).astype(np.int64)
        if not files[part]:
            raise DataError(f"data {shown(layout.folders[part])}: no class folders with images")
    notes = layout.notes

    def fill(canvas: Canvas) -> None:
        """Decode all images."""
        notes.extend(_decode_all(files, canvas, image_size))

    return Source(classes, labels, fill, notes)


def _decode_all(files: Mapping[str, Sequence[str]], canvas: Canvas, image_size: int | None) -> list[str]:
    """Decode all wanted files onto the canvas, on several threads (Pillow decodes without the interpreter lock)."""
    wanted = {part: canvas.kept(part) for part in files}
    first = next(files[part][int(indices[0])] for part, indices in wanted.items() if len(indices))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's on odd files; not in the threads, which share the filters
        size = decode(first, image_size).pixels.shape[:2]

        def read(chunk: tuple[str, Indices]) -> tuple[int, int]:
            """Decode some files of a part."""
            animated = clear = 0
            part, indices = chunk
            for index in map(int, indices):
                decoded = decode(files[part][index], image_size)
                _require_size(files[part][index], decoded, first, size)
                canvas.put(part, index, decoded.pixels.transpose(2, 0, 1)[None])
                animated, clear = animated + decoded.animated, clear + decoded.clear
            return animated, clear

        chunks = [(part, all_[i : i + _CHUNK]) for part, all_ in wanted.items() for i in range(0, len(all_), _CHUNK)]
        pool = ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1))
        try:
            counts = list(pool.map(read, chunks))
        finally:
            pool.shutdown(cancel_futures=True)
    return _lost(*(sum(column) for column in zip(*counts, strict=True)))


def _require_size(path: str, decoded: Decoded, first: str, size: tuple[int, ...]) -> None:
    if decoded.pixels.shape[:2] != size:
        here, there = (f"{width}x{height}" for height, width in (decoded.pixels.shape[:2], size))
        raise DataError(
            f"data {shown(path)}: {here} pixels, but {shown(first)} has {there}; give --image-size N to scale all "
            "to one size"
        )


def _lost(animated: int, clear: int) -> list[str]:
    notes = []
    if animated:
        notes.append(f"only the first frame is read of {_files(animated)} with several frames")
    if clear:
        notes.append(f"transparency is dropped from {_files(clear)}")
    return notes


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
