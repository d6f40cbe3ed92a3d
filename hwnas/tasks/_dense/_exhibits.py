"""Samples, targets and predictions side by side, and figures of each class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hwnas._common._canvas import drawn
from hwnas.data import DenseData
from hwnas.tasks._base import FloatArray, Run
from hwnas.tasks._confusion import confusion_matrix
from hwnas.tasks._dense._metrics import MeanIoU, RelativeL2
from hwnas.tasks._exhibit import Exhibit
from hwnas.tasks._panels import Panel, panels_plot

if TYPE_CHECKING:
    from hwnas.tasks._base import Task

_EXAMPLES, _AT_ONCE = 4, 64


def dense_exhibits(data: DenseData, task: Task, run: Run) -> tuple[Exhibit, ...]:
    """Return examples and figures of a network on the test part.

    Args:
        data: The data.
        task: Their task.
        run: Returns the network's outputs for samples of the test part.
    """
    count = len(data.test)
    shown = np.unique(np.linspace(0, count - 1, min(_EXAMPLES, count)).round().astype(np.int64))
    (maps,) = run(shown)
    examples = tuple(_example(data, int(index), output) for index, output in zip(shown, maps, strict=True))
    pictures = drawn("", lambda: panels_plot(examples, data.classes))
    samples = Exhibit("Samples of the test part", "Inputs, targets and predictions.", pictures=pictures)
    if not data.classes:
        return (samples,)
    scorer = MeanIoU(len(data.classes))
    for start in range(0, count, _AT_ONCE):
        indices = np.arange(start, min(count, start + _AT_ONCE))
        scorer.add(run(indices), task.targets("test", indices))
    return (samples, *_class_tables(data.classes, scorer))


def _example(data: DenseData, index: int, output: FloatArray) -> tuple[Panel, ...]:
    """Return the sample, its target and what the network makes of it."""
    sample, target = data.test.inputs[index], data.test.targets[index]
    if data.classes:
        shares = MeanIoU(len(data.classes))
        shares.add([output[None]], target[None])
        title, answer = f"predicted (mean IoU {shares.value():.1%})", output.argmax(axis=0)
        return _input_panel(data, sample), Panel("target", "classes", target), Panel(title, "classes", answer)
    relative = RelativeL2(*data.target_moments)
    title = f"predicted (relative L2 {float(relative.errors(output[None], target[None])[0]):.3g})"
    values, span = relative.values(output[None])[0], (float(target.min()), float(target.max()))
    shown = [("target", target), (title, values)]
    if target.ndim == 2:
        pair = [Panel(text, "lines", lines, span) for text, lines in shown]
    else:
        pair = [Panel(text, "values", maps[0], span) for text, maps in shown]
    return _input_panel(data, sample), *pair


def _input_panel(data: DenseData, sample: npt.NDArray[Any]) -> Panel:
    if sample.ndim == 2:
        return Panel("input", "lines", sample)
    if data.scale > 1 and sample.shape[0] in (1, 3):
        return Panel("input", "picture", np.ascontiguousarray(sample.transpose(1, 2, 0)))
    return Panel("input", "values", sample[0])


def _class_tables(classes: tuple[str, ...], scorer: MeanIoU) -> tuple[Exhibit, ...]:
    """Return intersection over union by class, and which classes are taken for which others."""
    shares, counts = scorer.by_class(), scorer.counts
    rows = tuple(
        (name, "-" if np.isnan(share) else f"{share:.2%}", f"{int(own.sum()):,}")
        for name, share, own in zip(classes, shares, counts, strict=True)
    )
    absent = int(np.isnan(shares).sum())
    note = "The mean IoU is the mean over the classes that the masks or the predictions hold."
    if absent:
        note += f" {absent} {'class is' if absent == 1 else 'classes are'} in neither and left out of the mean."
    table = Exhibit("Intersection over union by class", note, (("class", "IoU", "pixels"), *rows))
    return (table, confusion_matrix(classes, counts, "pixels", shares=True))
