"""Readers of data as people have them: load once, split once, the same from the same seed."""

from __future__ import annotations

from hwnas.data._boxes import BoxData, BoxSplit, holds_boxes, load_boxes
from hwnas.data._images import ImageArray, ImageData, LabelArray, Split
from hwnas.data._load import load_data

__all__ = [
    "BoxData",
    "BoxSplit",
    "ImageArray",
    "ImageData",
    "LabelArray",
    "Split",
    "holds_boxes",
    "load_boxes",
    "load_data",
]
