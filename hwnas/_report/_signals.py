"""Signals in a report: the confusion matrix or predicted values, and some test signals with what a network says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hwnas._common._text import printable
from hwnas._report._html import escape, image
from hwnas.tasks import SignalTask

FloatArray = npt.NDArray[np.float32]
_EXAMPLES = 8
_CONFUSIONS = 3


@dataclass(frozen=True)
class SignalView:
    """What one network says of the test part.

    Attributes:
        task: The task.
        network: The network's id.
        outputs: Its outputs ``(n, classes)`` or ``(n, 1)`` for the test part.
    """

    task: SignalTask
    network: str
    outputs: FloatArray

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes; empty for regression."""
        return self.task.data.classes

    @cached_property
    def targets(self) -> npt.NDArray[np.int64] | npt.NDArray[np.float32]:
        """Class indices or values ``(n,)``."""
        return self.task.targets("test", slice(None))

    @cached_property
    def predictions(self) -> npt.NDArray[np.int64] | npt.NDArray[np.float32]:
        """What the network says ``(n,)``, as the targets are."""
        return self.outputs.argmax(1) if self.classes else self.task.values_of(self.outputs)

    @cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        """Signals by class (rows) and prediction (columns)."""
        size = len(self.classes)
        flat = np.bincount(self.targets.astype(np.int64) * size + self.predictions, minlength=size * size)
        return flat.reshape(size, size)

    def pictures(self) -> dict[str, bytes]:
        """Return PNG files by name. Needs matplotlib."""
        from hwnas._report import _signal_plots

        data, chosen = self.task.data, self.chosen()
        first = (
            {"confusion": _signal_plots.confusion_plot(self.counts, self.classes)}
            if self.classes
            else {"values": _signal_plots.values_plot(self.targets, self.predictions)}
        )
        signals = data.test.signals[chosen]
        titles = [self._title(index) for index in chosen]
        return {**first, "examples": _signal_plots.examples_plot(signals, titles, data.loading["rate"])}

    def section(self, pictures: Mapping[str, bytes]) -> str:
        """Return the section as HTML, with the pictures that could be drawn."""
        what = "Class and prediction" if self.classes else "Value and prediction"
        lines = [f"What {self.network} says of the {len(self.targets)} test signals, with its ONNX file."]
        if self.classes:
            lines += self._confusions()
        described = "Some test signals with their label and the prediction; wrong ones in orange"
        return (
            "<h2>What the network says of the test part</h2>"
            + "".join(f"<p>{escape(line)}</p>" for line in lines)
            + image(pictures, "confusion", f"{what} of all test signals")
            + image(pictures, "values", f"{what} of all test signals")
            + image(pictures, "examples", described)
        )

    def chosen(self) -> list[int]:
        """Return indices of signals to show: up to half with the largest errors, each of another class, then others."""
        order = np.argsort(-self._errors(), kind="stable")
        if self.classes:
            order = order[self.targets[order] != self.predictions[order]]
            _, first = np.unique(self.targets[order], return_index=True)
            order = np.concatenate([order[np.sort(first)], np.delete(order, first)])
        worst = order[: _EXAMPLES // 2]
        rest = np.setdiff1d(np.arange(len(self.targets)), order if self.classes else worst)
        if not len(rest):
            return [int(index) for index in worst]
        spread = np.linspace(0, len(rest) - 1, _EXAMPLES - len(worst)).round().astype(np.int64)
        return [int(index) for index in (*worst, *rest[np.unique(spread)])]

    def _errors(self) -> npt.NDArray[np.float64]:
        """Return how wrong each prediction is ``(n,)``."""
        if not self.classes:
            return np.abs(self.predictions.astype(np.float64) - self.targets)
        logits = self.outputs.astype(np.float64)
        own = logits[np.arange(len(logits)), self.targets.astype(np.int64)]
        return np.asarray(logits.max(1) - own)

    def _confusions(self) -> list[str]:
        """Return a line about the most frequent mistakes; none where there are none."""
        off = self.counts * (1 - np.eye(len(self.classes), dtype=np.int64))
        order = np.argsort(-off, axis=None, kind="stable")[:_CONFUSIONS]
        texts = []
        for true, given in zip(*np.unravel_index(order, off.shape), strict=True):
            if off[true, given]:
                total = int(self.counts[true].sum())
                texts.append(f"{self.classes[true]} taken for {self.classes[given]} ({off[true, given]} of {total})")
        return [f"Most frequent mistakes: {'; '.join(texts)}."] if texts else ["It makes no mistake."]

    def _title(self, index: int) -> tuple[str, bool]:
        """Return the text above a signal, and whether the prediction is right."""
        target, given = self.targets[index], self.predictions[index]
        if not self.classes:
            return f"{target:.4g}, predicted {given:.4g}", True
        logits = self.outputs[index].astype(np.float64)
        chance = float(1 / np.exp(logits - logits.max()).sum())
        name, other = (printable(self.classes[int(i)])[:16] for i in (target, given))
        return f"{name}, predicted {other} ({chance:.0%})", bool(target == given)
