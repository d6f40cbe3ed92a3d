"""Decoding and resizing single images with Pillow."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from hwnas._errors import DataError
from hwnas.data._images import ImageArray
from hwnas.data._names import shown
from latency_tables import open_regular

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""The decoders that a file can reach, whatever its name: Pillow's others start programs (PostScript) or are fragile."""
PIXELS, PIXELS_PER_BYTE, PIXELS_EVER = 2**24, 100, 89_478_485
"""Most pixels of a small file, of a larger one for each of its bytes (photographs have some ten), and of any."""
_GREY = ("1", "L", "LA", "La")
_CLEAR = ("LA", "La", "PA", "RGBA", "RGBa")
_ANIMATED = ("GIF", "PNG", "TIFF", "WEBP")
"""Formats with several pictures where the others are more than a preview of the first (as in JPEG)."""


@dataclass(frozen=True)
class Decoded:
    """An image and what of its file is not in it.

    Attributes:
        pixels: ``(H, W, C)``, C = 1 for grey files and 3 for all others.
        animated: The file holds more pictures; this is the first.
        clear: The file has transparency, which is dropped.
        size: Width and height before it was scaled, turned as its EXIF data say.
    """

    pixels: npt.NDArray[np.uint8]
    animated: bool
    clear: bool
    size: tuple[int, int]


def decode(path: str | Path, image_size: int | None, *, stretch: bool = False) -> Decoded:
    """Read one file.

    Args:
        path: The file.
        image_size: Height and width to bring it to (`fit`); None keeps it as it is.
        stretch: Bring the whole image to that size, whatever its proportions, instead of cutting out the centre.

    Raises:
        DataError: It is not a readable 8-bit image of one of `FORMATS`.
    """
    try:
        with open_regular(path) as file, Image.open(file, formats=FORMATS) as opened:
            _require_size(opened, os.fstat(file.fileno()).st_size)
            if opened.mode.startswith(("I", "F")):
                raise DataError(
                    f"data {shown(path)}: has pixels of mode {opened.mode}; convert the image to 8 bits a channel"
                )
            animated = opened.format in _ANIMATED and bool(getattr(opened, "is_animated", False))
            clear = opened.mode in _CLEAR or "transparency" in opened.info
            if image_size is not None and not stretch:
                opened.draft(None, (image_size, image_size))
            image = ImageOps.exif_transpose(opened)
            size = image.size
            image = image.convert("L" if image.mode in _GREY else "RGB")
            if image_size is not None:
                image = _stretched(image, image_size) if stretch else fit(image, image_size)
            pixels = np.asarray(image, dtype=np.uint8)
    except DataError:
        raise
    except Exception as error:  # a decoder raises anything on damaged bytes: struct.error, IndexError, KeyError, ...
        raise DataError(
            f"data {shown(path)}: cannot be read as an image ({_reason(error)}); repair or remove the file"
        ) from None
    return Decoded(pixels[:, :, None] if pixels.ndim == 2 else pixels, animated, clear, size)


def square_side(path: str | Path) -> int | None:
    """Return the side of a square image by the header of its file; None for others and what cannot be read."""
    try:
        with open_regular(path) as file, Image.open(file, formats=FORMATS) as opened:
            return opened.width if opened.width == opened.height else None
    except Exception:  # `decode` says what is wrong with it
        return None


@contextmanager
def decoding_threads() -> Iterator[ThreadPoolExecutor]:
    """Give threads for `decode` (Pillow decodes without the interpreter lock) and silence its warnings on odd files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not in the threads, which share the filters
        pool = ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1))
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


def _require_size(image: Image.Image, stored: int) -> None:
    width, height = image.size
    most = min(PIXELS_EVER, max(PIXELS, PIXELS_PER_BYTE * stored))
    if width * height > most:
        raise ValueError(f"{width}x{height} pixels in {stored:,} bytes, more than the limit of {most:,}")


def _reason(error: BaseException) -> str:
    text = str(error).splitlines()[0] if str(error).strip() else type(error).__name__
    if text.startswith("cannot identify image file"):
        return "unknown format or damaged header"
    return shown(error.strerror if isinstance(error, OSError) and error.strerror else text)


def fit(image: Image.Image, size: int) -> Image.Image:
    """Scale the shorter side to `size` (bilinear, antialiased) and cut out the centre."""
    if image.size == (size, size):
        return image
    return ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)


def fitting(size: int | None, frames: int | None = None) -> Callable[[ImageArray], ImageArray] | None:
    """Return what brings images, or clips, to a size and number of frames; None where they stay as they are.

    Args:
        size: Height and width; None to keep them.
        frames: Frames to take of each clip, evenly; None for all.
    """
    if size is None and frames is None:
        return None

    def change(images: ImageArray) -> ImageArray:
        """Bring images ``(n, C, H, W)`` or clips ``(n, C, T, H, W)`` to the size."""
        if frames is not None:
            images = images[:, :, even_frames(images.shape[2], frames)]
        if size is None or images.ndim == 4:
            return images if size is None else fit_all(images, size)
        singles = images.swapaxes(1, 2)  # (n, T, C, H, W)
        fitted = fit_all(singles.reshape(-1, *singles.shape[2:]), size)
        return fitted.reshape(*singles.shape[:3], size, size).swapaxes(1, 2)

    return change


def frame_order(path: str) -> tuple[str, int, str]:
    """Return what frames are sorted by: the word in front of a number, then the number, so that 2 is before 10."""
    name = PurePath(path).stem
    word = name.rstrip("0123456789")
    return word, int(name[len(word) :] or -1), path


def even_frames(count: int, wanted: int) -> npt.NDArray[np.int64]:
    """Return indices ``(wanted,)`` of frames of a clip: the middle one of each of as many equal pieces."""
    return (2 * np.arange(wanted, dtype=np.int64) + 1) * count // (2 * wanted)


def _stretched(image: Image.Image, size: int) -> Image.Image:
    """Scale the whole image to a square (bilinear, antialiased)."""
    return image if image.size == (size, size) else image.resize((size, size), Image.Resampling.BILINEAR)


def fit_all(images: ImageArray, size: int) -> ImageArray:
    """Apply `fit` to an array ``(N, C, H, W)`` with 1 or 3 channels."""
    if images.shape[2:] == (size, size):
        return images
    result = np.empty((*images.shape[:2], size, size), dtype=np.uint8)
    for i, pixels in enumerate(images):
        picture = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
        fitted = np.asarray(fit(picture, size))
        result[i] = fitted[None] if fitted.ndim == 2 else fitted.transpose(2, 0, 1)
    return result
