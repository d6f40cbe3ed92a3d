"""What a report shows of a network for clips: what it confuses, and the frames of a few clips."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from hwnas.data import ImageArray, LabelArray
from hwnas.tasks._base import FloatArray
from hwnas.tasks._exhibit import Exhibit
from hwnas.tasks._png import picture_of, png_of

_RIGHT, _WRONG, _FRAMES = 4, 2, 16
"""Clips that are shown of each kind, and their frames."""
_HEIGHT, _GAP = 64, 2


def strips(classes: tuple[str, ...], clips: ImageArray, labels: LabelArray, logits: FloatArray) -> Exhibit:
    """Return the frames of a few clips: the first right answers of different classes, then the first wrong ones.

    Args:
        classes: Class names.
        clips: ``(N, C, T, H, W)``.
        labels: Class indices ``(N,)``.
        logits: What the network said ``(N, classes)``.
    """
    answers = logits.argmax(1)
    right = [int(np.flatnonzero((labels == c) & (answers == c))[:1][0]) for c in np.unique(labels[labels == answers])]
    chosen = [*right[:_RIGHT], *np.flatnonzero(labels != answers)[:_WRONG].tolist()]
    powers = np.exp(logits - logits.max(1, keepdims=True))
    chances = (powers / powers.sum(1, keepdims=True)).max(1)
    pictures = tuple(
        (f"{classes[labels[i]]}, answer {classes[answers[i]]} ({chances[i]:.0%})", strip(clips[i])) for i in chosen
    )
    return Exhibit("Clips of the test part", "Frames from left to right, as they were loaded.", pictures=pictures)


def strip(clip: ImageArray) -> bytes:
    """Return a PNG file with the frames of a clip ``(C, T, H, W)`` side by side."""
    _, frames, height, width = clip.shape
    shown = clip[:, np.unique(np.linspace(0, frames - 1, min(frames, _FRAMES)).round().astype(int))]
    wide: npt.NDArray[np.uint8] = np.full((len(clip), height, shown.shape[1] * (width + _GAP) - _GAP), 255, np.uint8)
    for i in range(shown.shape[1]):
        wide[:, :, i * (width + _GAP) : i * (width + _GAP) + width] = shown[:, i]
    picture = picture_of(wide)
    scale = max(1, round(_HEIGHT / height))
    larger = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    return png_of(larger)
