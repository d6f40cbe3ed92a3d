"""Maps for every pixel of an image or every step of a signal: classes (segmentation) or values (regression)."""

from __future__ import annotations

from hwnas.tasks._dense._metrics import MEAN_IOU, RELATIVE_L2
from hwnas.tasks._dense._task import DenseTask

__all__ = ["MEAN_IOU", "RELATIVE_L2", "DenseTask"]
