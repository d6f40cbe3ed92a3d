"""Post-training quantisation of a trained network, and its metric; ranges come from samples of the train part."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hwnas._errors import NoValueError
from hwnas.tasks import Part, Shape, Task
from hwnas.training._score import score_onnx
from latency_tables import OpGraph
from profilers import OperatorError, build_onnx, quantised_nodes, quantize_model, tensor_ranges

if TYPE_CHECKING:
    import onnx

QUANTISATION_SAMPLES = 256
"""Most train samples that the ranges of tensors are computed over."""
_BATCH = 64
"""Samples at once while a quantised network is evaluated."""


def quantized(
    model: onnx.ModelProto, task: Task, input_shape: Shape, nodes: Collection[str] | None = None
) -> onnx.ModelProto:
    """Return the int8 (QDQ) form of a float network.

    Args:
        model: Reads ``(batch, *input_shape)``.
        task: Gives the samples, evenly spaced over its train part.
        input_shape: Shape of one sample, as the network reads it.
        nodes: What to quantise, as `profilers.quantised_nodes` returns it.
    """
    size = task.size("train")
    count = min(size, QUANTISATION_SAMPLES)
    chosen = np.arange(count) * size // count  # folders are in the order of classes: all of them must be seen
    samples = task.inputs("train", chosen, input_shape).contiguous().numpy()
    return quantize_model(model, tensor_ranges(model, samples), nodes=nodes)


def score_quantized(
    graph: OpGraph,
    weights: Mapping[str, npt.NDArray[np.float32]],
    task: Task,
    part: Part,
    *,
    precision: str = "int8",
    threads: int = 1,
) -> float:
    """Return the task's metric of a network once it is quantised.

    ONNX Runtime computes it, with the arithmetic of the delivered file: only the batch size is another, on which
    neither the ranges nor the results depend.

    Args:
        graph: The network.
        weights: Its weights by ``"node.parameter"``, as `build_onnx` takes them.
        task: Gives the samples and judges the outputs.
        part: ``"train"``, ``"validation"`` or ``"test"``.
        precision: ``"int8"`` for the whole network, ``"mixed"`` for its int8 ops.
        threads: ONNX Runtime's threads within an operator.

    Raises:
        NoValueError: The network cannot be quantised: a tensor is not finite.
    """
    model = build_onnx(graph, weights, batch=min(_BATCH, task.size(part)))
    try:
        model = quantized(model, task, graph.input_shape, quantised_nodes(graph, precision))
    except OperatorError as error:
        raise NoValueError(f"the network cannot be quantised: {error}") from None
    return score_onnx(model.SerializeToString(), task, part, threads=threads)
