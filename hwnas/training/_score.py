"""The metric of torch networks and of ONNX files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    scorer = task.scorer()
    for indices, outputs in onnx_outputs(model, task, part, threads=threads):
        scorer.add(outputs, task.targets(part, indices))
    return scorer


def onnx_outputs(
    model: str | Path | bytes, task: Task, part: Part, *, threads: int = 1
) -> Iterator[tuple[slice, list[npt.NDArray[np.float32]]]]:
    """Yield the outputs of an ONNX file batch by batch, with the samples; arguments and errors as for `score_onnx`."""
    name = "model" if isinstance(model, bytes) else str(model)
    try:
        session = make_session(model if isinstance(model, bytes) else str(model), threads=threads)
    except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
        raise EvaluatorError(f"onnx {name}: cannot be loaded ({str(error).splitlines()[0]})") from None
    entry = session.get_inputs()[0]
    if (why := task.misfit(entry.shape)) is not None:
        raise EvaluatorError(f"onnx {name}: its input {list(entry.shape)} {why}")
    batch, *input_shape = entry.shape
    for indices in in_batches(task, part, batch):
        x = task.inputs(part, indices, tuple(input_shape)).contiguous().numpy()
        padded = np.zeros((batch, *x.shape[1:]), dtype=np.float32)
        padded[: len(x)] = x
        outputs = session.run(None, {entry.name: padded})
        yield indices, [output[: len(x)] for output in outputs]
