"""`load_data`: a data set from one word."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from hwnas._errors import DataError
from hwnas.data._guards import one_line, require_arguments
from hwnas.data._images import ImageData
from hwnas.data._names import shown
from hwnas.data._source import Canvas, Source, assemble

DIGITS = "digits"


def load_data(spec: str | Path, *, image_size: int | None = None, seed: int = 0, limit: int | None = None) -> ImageData:
    """Load images for classification and split them.

    While it loads, the images are in memory once (a step of decoding beside them).

    Args:
        spec: ``"digits"`` (scikit-learn's 8x8 digits, unless a folder of images is called so); an ``.npz`` file with
            ``x_train``, ``y_train`` and optionally ``x_test``, ``y_test``, ``x_val``, ``y_val`` (images ``(N, H, W)``
            or ``(N, H, W, C)``, uint8, or float on 0-1 or 0-255); a folder of CIFAR-10's own files, binary
            (``data_batch_1.bin``) or Python (``data_batch_1``); or a folder with ``train/<class>/*`` and optionally
            ``test/<class>/*`` and ``val/<class>/*`` (or ``valid``, ``validation``), or with ``<class>/*`` directly.
        image_size: Height and width to bring every image to: the shorter side is scaled to it (Pillow, bilinear,
            antialiased), then the centre is cut out. None keeps the images as they are; they must be of one size.
        seed: Decides the validation split. A test part that the source lacks (20 % of each class) and the subset of
            `limit` are the same for every seed.
        limit: Use at most this many images of each part that the source has (its train part becomes train and
            validation): a stratified subset, chosen before anything is decoded.

    Raises:
        DataError: One line that names the file at fault and says what to do.
    """
    spec = require_arguments(spec, image_size, limit, seed)
    with one_line(spec):
        return assemble(spec, _open(spec, image_size), ImageData, seed=seed, limit=limit)


def _open(spec: str, image_size: int | None) -> Source:
    path = Path(spec)
    if spec == DIGITS and not _holds_images(path):
        return _digits(image_size)
    if spec and path.is_dir():
        from hwnas.data._cifar import find_cifar, open_cifar
        from hwnas.data._folder import open_folder

        cifar = find_cifar(path)
        source = open_cifar(*cifar, image_size) if cifar else open_folder(path, image_size)
        if spec == DIGITS:
            source.notes.insert(0, f"the folder {DIGITS} is read, not scikit-learn's set of this name")
        return source
    if path.is_file() and path.suffix.lower() == ".npz":
        from hwnas.data._npz import open_npz

        return open_npz(path, image_size)
    what = "is none of these" if os.path.lexists(path) and spec else "does not exist"
    raise DataError(f"data {shown(spec)}: {what}; give {DIGITS}, a folder of images or an .npz file")


def _holds_images(path: Path) -> bool:
    """Return whether a folder that has a set's name is data itself: a run called so, say, is not."""
    from hwnas.data._cifar import find_cifar
    from hwnas.data._recognise import has_files

    return path.is_dir() and (find_cifar(path) is not None or has_files(path))


def _digits(image_size: int | None) -> Source:
    """Return 1,797 grey images of 8x8 pixels; their 17 levels are spread over 0-255."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    pixels = np.round(images * (255.0 / 16.0)).astype(np.uint8).reshape(-1, 1, 8, 8)

    def fill(canvas: Canvas) -> None:
        """Put all images onto the canvas."""
        from hwnas.data._pixels import fitting

        canvas.put("train", 0, pixels, fitting(image_size))

    return Source([str(digit) for digit in range(10)], {"train": labels.astype(np.int64)}, fill)
