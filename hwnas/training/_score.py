"""The metric of torch networks and of ONNX files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hwnas._errors import EvaluatorError
from hwnas.tasks import Part, Scorer, Shape, Task
from hwnas.training._batches import in_batches
from profilers import make_session


def score_network(
    network: Callable[[Tensor], Tensor],
    task: Task,
    part: Part,
    input_shape: Shape,
    *,
    device: str = "cpu",
    batch_size: int = 64,
) -> float:
    """Return the task's metric of a network on a part of the data.

    Args:
        network: Inputs ``(N, *input_shape)`` to the task's output, in evaluation mode.
        task: Gives the samples and judges the outputs.
        part: ``"train"``, ``"validation"`` or ``"test"``.
        input_shape: Shape of one sample, as the network reads it.
        device: Where the network lives.
        batch_size: Samples at once.
    """
    scorer = task.scorer()
    with torch.no_grad():
        for indices in in_batches(task, part, batch_size):
            output = network(task.inputs(part, indices, input_shape, device))
            scorer.add([output.cpu().numpy()], task.targets(part, indices))
    return scorer.value()


def score_onnx(model: str | Path | bytes, task: Task, part: Part, *, threads: int = 1) -> float:
    """Return the task's metric of an ONNX file through ONNX Runtime on the CPU, with the file's own fixed batch size.

    Args:
        model: Path of the file, or its bytes; one input ``(batch, *input_shape)``, and the task's outputs.
        task: Gives the samples and judges the outputs.
        part: ``"train"``, ``"validation"`` or ``"test"``.
        threads: ONNX Runtime's threads within an operator.

    Raises:
        EvaluatorError: The file cannot be read, or does not take these samples.
    """
    return judge_onnx(model, task, part, threads=threads).value()


def judge_onnx(model: str | Path | bytes, task: Task, part: Part, *, threads: int = 1) -> Scorer:
    """Return the scorer that has seen all outputs; the arguments and errors are those of `score_onnx`."""
    network, scorer = OnnxNetwork(model, task, threads=threads), task.scorer()
    for indices in in_batches(task, part, network.batch):
        scorer.add(network.outputs(part, indices), task.targets(part, indices))
    return scorer


class OnnxNetwork:
    """An ONNX file through ONNX Runtime on the CPU, with its own fixed batch size.

    Args:
        model: Path of the file, or its bytes; one input ``(batch, *input_shape)``, and the task's outputs.
        task: Gives the samples.
        threads: ONNX Runtime's threads within an operator.

    Attributes:
        batch: Samples of one inference.

    Raises:
        EvaluatorError: The file cannot be read, or does not take these samples.
    """

    def __init__(self, model: str | Path | bytes, task: Task, *, threads: int = 1) -> None:
        name = "model" if isinstance(model, bytes) else str(model)
        self._task = task
        try:
            self._session = make_session(model if isinstance(model, bytes) else str(model), threads=threads)
        except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
            raise EvaluatorError(f"onnx {name}: cannot be loaded ({str(error).splitlines()[0]})") from None
        entry = self._session.get_inputs()[0]
        if (why := task.misfit(entry.shape)) is not None:
            raise EvaluatorError(f"onnx {name}: its input {list(entry.shape)} {why}")
        if type(entry.shape[0]) is not int or entry.shape[0] < 1:
            raise EvaluatorError(
                f"onnx {name}: its input {list(entry.shape)} has no fixed batch size; export it with one"
            )
        shapes = [list(output.shape) for output in self._session.get_outputs()]
        if (why := task.misfit_outputs(shapes)) is not None:
            raise EvaluatorError(f"onnx {name}: its outputs {', '.join(map(str, shapes))} {why}")
        self._input = entry.name
        self.batch, *self._input_shape = entry.shape

    def outputs(self, part: Part, indices: slice | npt.NDArray[np.int64]) -> list[npt.NDArray[np.float32]]:
        """Return an array ``(N, ...)`` for each output, of at most `batch` samples of a part."""
        x = self._task.inputs(part, indices, tuple(self._input_shape)).contiguous().numpy()
        padded = np.zeros((self.batch, *x.shape[1:]), dtype=np.float32)
        padded[: len(x)] = x
        return [output[: len(x)] for output in self._session.run(None, {self._input: padded})]

    def on_test(self, indices: npt.NDArray[np.int64]) -> list[npt.NDArray[np.float32]]:
        """Return an array ``(N, ...)`` for each output, of any number of samples of the test part."""
        groups = [self.outputs("test", indices[i : i + self.batch]) for i in range(0, len(indices), self.batch)]
        return [np.concatenate(arrays) for arrays in zip(*groups, strict=True)]
