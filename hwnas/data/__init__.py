"""Readers of data as people have them: load once, split once, the same from the same seed."""

from __future__ import annotations

from hwnas.data._images import ImageArray, ImageData, LabelArray, Split
from hwnas.data._load import load_data
from hwnas.data._signal_data import Reading, SignalData, SignalPart
from hwnas.data._signals import are_signals, load_signals

__all__ = [
    "ImageArray",
    "ImageData",
    "LabelArray",
    "Reading",
    "SignalData",
    "SignalPart",
    "Split",
    "are_signals",
    "load_data",
    "load_signals",
]
