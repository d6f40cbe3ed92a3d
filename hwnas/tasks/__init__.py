"""Tasks: what networks are for. A task owns data, batches, losses, outputs and the metric; torch comes on first use."""

from __future__ import annotations

from hwnas.tasks._base import PARTS, Part, Scorer, Shape, Targets, Task
from hwnas.tasks._detection import AP50, Detection
from hwnas.tasks._image import ACCURACY, ImageClassification
from hwnas.tasks._make import as_task, make_task, metric_named, task_names, usual_space, usual_task
from hwnas.tasks._metric import BINOMIAL, PERCENT, Metric
from hwnas.tasks._options import TrainingOption, require_number
from hwnas.tasks._outputs import Output

DEFAULT_METRIC = ACCURACY
"""The metric of files that name none."""

__all__ = [
    "AP50",
    "BINOMIAL",
    "DEFAULT_METRIC",
    "PARTS",
    "PERCENT",
    "Detection",
    "ImageClassification",
    "Metric",
    "Output",
    "Part",
    "Scorer",
    "Shape",
    "Targets",
    "Task",
    "TrainingOption",
    "as_task",
    "make_task",
    "metric_named",
    "require_number",
    "task_names",
    "usual_space",
    "usual_task",
]
