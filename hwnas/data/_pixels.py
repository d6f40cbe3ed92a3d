"""Decoding and resizing single images with Pillow."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from hwnas._errors import DataError
from hwnas.data._images import ImageArray

_GREY = ("1", "L", "LA")


def decode(path: Path, image_size: int | None) -> npt.NDArray[np.uint8]:
    """One file as ``(H, W, C)``, C = 1 for grey files and 3 for all others; transparency is dropped.

    Raises:
        DataError: the file is no readable 8-bit image.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                if image_size is not None:
                    opened.draft(None, (image_size, image_size))
                image = ImageOps.exif_transpose(opened)
                image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        reason = str(error).splitlines()[0] if isinstance(error, Image.DecompressionBombWarning) else _reason(error)
        raise DataError(f"data {path}: cannot be read as an image ({reason}); mend or remove the file") from None
    if image.mode.startswith(("I", "F")):
        raise DataError(f"data {path}: has pixels of mode {image.mode}; convert the image to 8 bits a channel")
    image = image.convert("L" if image.mode in _GREY else "RGB")
    if image_size is not None:
        image = fit(image, image_size)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _reason(error: BaseException) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if text.startswith("cannot identify image file"):
        return "unknown format or damaged header"
    return error.strerror if isinstance(error, OSError) and error.strerror else text


def fit(image: Image.Image, size: int) -> Image.Image:
    """Scale the shorter side to `size` (bilinear, antialiased) and cut out the centre."""
    if image.size == (size, size):
        return image
    return ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)


def fit_all(images: ImageArray, size: int) -> ImageArray:
    """`fit` for an array ``(N, C, H, W)`` with 1 or 3 channels."""
    if images.shape[2:] == (size, size):
        return images
    result = np.empty((*images.shape[:2], size, size), dtype=np.uint8)
    for i, pixels in enumerate(images):
        picture = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
        fitted = np.asarray(fit(picture, size))
        result[i] = fitted[None] if fitted.ndim == 2 else fitted.transpose(2, 0, 1)
    return result
