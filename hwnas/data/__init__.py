"""Readers of data as people have them: load once, split once, the same from the same seed."""

from __future__ import annotations

from hwnas.data._images import ImageArray, ImageData, LabelArray, Split
from hwnas.data._load import load_data

__all__ = ["ImageArray", "ImageData", "LabelArray", "Split", "load_data"]
