"""Data sets for image classification: load once, split once, the same from the same seed."""

from __future__ import annotations

from hwnas.data._images import ImageData, Split
from hwnas.data._load import load_data

__all__ = ["ImageData", "Split", "load_data"]
