"""Folders of images: ``train/<class>/*`` and ``test/<class>/*``, or ``<class>/*`` directly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from hwnas._errors import DataError
from hwnas.data._images import ImageArray
from hwnas.data._layout import Layout, find_layout
from hwnas.data._names import shown
from hwnas.data._pixels import Decoded, decode, decoding_threads
from hwnas.data._source import Canvas, Source
from hwnas.data._splits import Indices

_CHUNK = 32
Files = tuple[str, ...]
"""The image files of one sample, in order."""


def open_folder(root: Path, image_size: int | None) -> Source:
    """Return the classes (sorted) and the parts that a folder has.

    Raises:
        DataError: See `hwnas.data.load_data`.
    """
    layout = find_layout(root)
    singles = {
        part: {name: [(path,) for path in paths] for name, paths in members.items()}
        for part, members in layout.parts.items()
    }
    return source_of(root, layout, singles, image_size, lambda frames: frames[0])


def source_of(
    root: Path,
    layout: Layout,
    samples: Mapping[str, Mapping[str, Sequence[Files]]],
    image_size: int | None,
    join: Callable[[Sequence[ImageArray]], ImageArray],
) -> Source:
    """Return the source of samples that are made of image files each.

    Args:
        root: The folder.
        layout: What was found in it.
        samples: For each part the class names and the files of each sample.
        image_size: Height and width to bring every image to; None to keep them.
        join: Makes a sample ``(C, ...)`` of its images ``(C, H, W)``.

    Raises:
        DataError: There are no classes, or a single one, or a part is empty.
    """
    classes = sorted(samples["train"])
    if not classes:
        raise DataError(f"data {shown(root)}: no class folders; it must hold train/<class>/* or <class>/* with images")
    if len(classes) == 1:
        raise DataError(f"data {shown(root)}: only one class, '{shown(classes[0])}'; classification needs at least two")
    files: dict[str, list[Files]] = {}
    labels = {}
    for part, members in samples.items():
        names = [name for name in classes if name in members]
        files[part] = [sample for name in names for sample in members[name]]
        labels[part] = np.repeat([classes.index(n) for n in names], [len(members[n]) for n in names]).astype(np.int64)
        if not files[part]:
            raise DataError(
                f"data {shown(layout.folders[part])}: no class folders with images; add some, or remove the folder"
            )
    notes = layout.notes

    def fill(canvas: Canvas) -> None:
        """Decode all images."""
        notes.extend(_decode_all(files, canvas, image_size, join))

    return Source(classes, labels, fill, notes)


def _decode_all(
    files: Mapping[str, Sequence[Files]],
    canvas: Canvas,
    image_size: int | None,
    join: Callable[[Sequence[ImageArray]], ImageArray],
) -> list[str]:
    """Decode all wanted files onto the canvas, on several threads."""
    wanted = {part: canvas.kept(part) for part in files}
    first = next(files[part][int(indices[0])][0] for part, indices in wanted.items() if len(indices))
    with decoding_threads() as pool:
        size = decode(first, image_size).pixels.shape[:2]

        def read(chunk: tuple[str, Indices]) -> tuple[int, int]:
            """Decode some samples of a part."""
            animated = clear = 0
            part, indices = chunk
            for index in map(int, indices):
                images = []
                for path in files[part][index]:
                    decoded = decode(path, image_size)
                    _require_size(path, decoded, first, size)
                    images.append(decoded.pixels.transpose(2, 0, 1))
                    animated, clear = animated + decoded.animated, clear + decoded.clear
                canvas.put(part, index, join(images)[None])
            return animated, clear

        chunks = [(part, all_[i : i + _CHUNK]) for part, all_ in wanted.items() for i in range(0, len(all_), _CHUNK)]
        counts = list(pool.map(read, chunks))
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
