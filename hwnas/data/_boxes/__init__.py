"""Images with boxes: COCO JSON files and Pascal VOC folders."""

from __future__ import annotations

from hwnas.data._boxes._data import BoxData, BoxSplit
from hwnas.data._boxes._load import holds_boxes, load_boxes

__all__ = ["BoxData", "BoxSplit", "holds_boxes", "load_boxes"]
