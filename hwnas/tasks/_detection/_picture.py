"""Images with boxes drawn on them. Needs Pillow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from hwnas.data import ImageArray
from hwnas.tasks._png import picture_of, png_of

COLOURS = ("#e15759", "#4e79a7", "#59a14f", "#f28e2b", "#b07aa1", "#76b7b2", "#edc948", "#9c755f")
"""Of the classes, over and over."""
LEAST_SCORE = 0.3
_SIDE, _COLUMNS = 320, 3
_TRUTH = "#ffffff"


def drawn_boxes(
    images: ImageArray, detections: npt.NDArray[np.float32], targets: npt.NDArray[np.float32], classes: Sequence[str]
) -> bytes:
    """Return a PNG file of images with the boxes that were found, and thin white ones where boxes are.

    Args:
        images: ``(N, C, H, W)``, 0-255.
        detections: ``(N, most, 6)``: x1, y1, x2, y2 as fractions, score, class; those of a score below .3 are left out.
        targets: ``(N, g, 6)``: the boxes to be found, as `Detection.targets` gives them.
        classes: Names of the classes.
    """
    rows = -(-len(images) // _COLUMNS)
    sheet = Image.new("RGB", (_SIDE * min(len(images), _COLUMNS), _SIDE * rows), "white")
    for i, (pixels, found, wanted) in enumerate(zip(images, detections, targets, strict=True)):
        picture = picture_of(pixels).convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
        draw = ImageDraw.Draw(picture)
        for box in wanted[wanted[:, 5] >= 0]:
            draw.rectangle(_corners(box), outline=_TRUTH, width=1)
        for box in found[found[:, 4] >= LEAST_SCORE][::-1]:  # the best on top
            label, corners = int(box[5]), _corners(box)
            colour = COLOURS[label % len(COLOURS)]
            draw.rectangle(corners, outline=colour, width=2)
            draw.text((corners[0] + 3, corners[1] + 1), f"{classes[label]} {box[4]:.2f}", fill=colour)
        sheet.paste(picture, (_SIDE * (i % _COLUMNS), _SIDE * (i // _COLUMNS)))
    return png_of(sheet)


def _corners(box: npt.NDArray[np.float32]) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (float(value) * (_SIDE - 1) for value in box[:4])
    return x1, y1, max(x1, x2), max(y1, y2)
