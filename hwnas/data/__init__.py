"""Readers of data as people have them: load once, split once, the same from the same seed."""

from __future__ import annotations

from hwnas.data._clips import is_clips, load_clips
from hwnas.data._images import ClipData, ImageArray, ImageData, LabelArray, Split
from hwnas.data._load import load_data

__all__ = ["ClipData", "ImageArray", "ImageData", "LabelArray", "Split", "is_clips", "load_clips", "load_data"]
