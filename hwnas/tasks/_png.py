"""Pixels as pictures and PNG files. Needs Pillow."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from hwnas.data import ImageArray


def picture_of(pixels: ImageArray) -> Image.Image:
    """Return the picture of pixels ``(C, H, W)`` of one or three channels."""
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def png_of(picture: Image.Image) -> bytes:
    """Return a picture as the bytes of a PNG file."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
