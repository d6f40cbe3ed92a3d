"""Tasks: what networks are for. A task owns data, batches, losses, outputs and the metric; torch comes on first use."""

from __future__ import annotations

from hwnas.tasks._base import PARTS, Part, Run, Scorer, Shape, Targets, Task
from hwnas.tasks._defaults import usual_space
from hwnas.tasks._dense import MEAN_IOU, RELATIVE_L2, DenseTask
from hwnas.tasks._detection import AP50, Detection
from hwnas.tasks._exhibit import Exhibit
from hwnas.tasks._image import ImageClassification
from hwnas.tasks._labels import ACCURACY
from hwnas.tasks._make import DataSet, as_task, make_task, metric_named, task_names, usual_task
from hwnas.tasks._metric import BINOMIAL, PERCENT, Metric, written_name
from hwnas.tasks._options import TrainingOption, require_number
from hwnas.tasks._outputs import Output
from hwnas.tasks._signal import SignalTask
from hwnas.tasks._video import VideoClassification

DEFAULT_METRIC = ACCURACY
"""The metric of files that name none."""

__all__ = [
    "AP50",
    "BINOMIAL",
    "DEFAULT_METRIC",
    "MEAN_IOU",
    "PARTS",
    "PERCENT",
    "RELATIVE_L2",
    "DataSet",
    "DenseTask",
    "Detection",
    "Exhibit",
    "ImageClassification",
    "Metric",
    "Output",
    "Part",
    "Run",
    "Scorer",
    "Shape",
    "SignalTask",
    "Targets",
    "Task",
    "TrainingOption",
    "VideoClassification",
    "as_task",
    "make_task",
    "metric_named",
    "require_number",
    "task_names",
    "usual_space",
    "usual_task",
    "written_name",
]
