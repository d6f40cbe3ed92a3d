"""`load_data`: a data set from one word."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hwnas._errors import DataError
from hwnas.data._images import ImageData, Split, assemble
from hwnas.data._splits import subset

DIGITS = "digits"
NEEDED = 3
"""Images of a class that the three parts need."""


def load_data(spec: str, *, image_size: int | None = None, seed: int = 0, limit: int | None = None) -> ImageData:
    """Load images for classification and split them.

    Args:
        spec: ``"digits"`` (scikit-learn's 8x8 digits); an ``.npz`` file with ``x_train``, ``y_train`` and optionally
            ``x_test``, ``y_test``, ``x_val``, ``y_val`` (images ``(N, H, W)`` or ``(N, H, W, C)``, uint8, or float
            on 0-1 or 0-255); a folder of CIFAR-10's own files, binary (``data_batch_1.bin``) or Python
            (``data_batch_1``); or a folder with ``train/<class>/*`` and optionally ``test/<class>/*`` and
            ``val/<class>/*``, or with ``<class>/*`` directly.
        image_size: height and width to bring every image to: the shorter side is scaled to it (Pillow, bilinear,
            antialiased), then the centre is cut out. None keeps the images as they are; they must be of one size.
        seed: of the validation split. A test part that the source lacks (20 % of each class) and the subset of
            `limit` are the same for every seed.
        limit: use at most this many images of each part that the source has (its train part becomes train and
            validation): a stratified subset, chosen before anything is decoded.

    Raises:
        DataError: one line that names the file at fault and says what to do.
    """
    if image_size is not None and image_size < 1:
        raise DataError(f"data {spec}: the image size must be positive, not {image_size}")
    if limit is not None and limit < 1:
        raise DataError(f"data {spec}: the limit must be positive, not {limit}")
    path = Path(spec)
    if spec == DIGITS:
        classes, parts = _digits(image_size, limit)
    elif path.is_dir():
        from hwnas.data._cifar import find_cifar, read_cifar
        from hwnas.data._folder import read_folder

        cifar = find_cifar(path)
        classes, parts = read_cifar(*cifar, image_size, limit) if cifar else read_folder(path, image_size, limit)
    elif path.is_file() and path.suffix == ".npz":
        from hwnas.data._npz import read_npz

        classes, parts = read_npz(path, image_size, limit)
    else:
        what = "is none of these" if path.exists() else "does not exist"
        raise DataError(f"data {spec}: {what}; give {DIGITS}, a folder of images or an .npz file")
    return assemble(spec, classes, parts, seed)


def _digits(image_size: int | None, limit: int | None) -> tuple[list[str], dict[str, Split]]:
    """1,797 grey images of 8x8 pixels; their 17 levels are spread over 0-255."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    keep = subset(DIGITS, labels.astype(np.int64), limit, needed=NEEDED)
    pixels = np.round(images[keep] * (255.0 / 16.0)).astype(np.uint8).reshape(-1, 1, 8, 8)
    if image_size is not None:
        from hwnas.data._pixels import fit_all

        pixels = fit_all(pixels, image_size)
    return [str(digit) for digit in range(10)], {"train": Split(pixels, labels[keep].astype(np.int64))}
