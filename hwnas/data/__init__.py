"""Readers of data as people have them: load once, split once, the same from the same seed."""

from __future__ import annotations

from hwnas.data._boxes import BoxData, BoxSplit, holds_boxes, load_boxes
from hwnas.data._clips import is_clips, load_clips
from hwnas.data._dense import IGNORED, DenseData, DenseSplit
from hwnas.data._images import ClipData, ImageArray, ImageData, LabelArray, Split
from hwnas.data._load import load_data
from hwnas.data._load_dense import is_dense, load_dense
from hwnas.data._signal_data import Reading, SignalData, SignalPart
from hwnas.data._signals import are_signals, load_signals

__all__ = [
    "IGNORED",
    "BoxData",
    "BoxSplit",
    "ClipData",
    "DenseData",
    "DenseSplit",
    "ImageArray",
    "ImageData",
    "LabelArray",
    "Reading",
    "SignalData",
    "SignalPart",
    "Split",
    "are_signals",
    "holds_boxes",
    "is_clips",
    "is_dense",
    "load_boxes",
    "load_clips",
    "load_data",
    "load_dense",
    "load_signals",
]
