"""Post-training quantisation of a finished network; its ranges come from samples of the train part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hwnas.tasks import Shape, Task
from profilers import quantize_model, tensor_ranges

if TYPE_CHECKING:
    import onnx

QUANTISATION_SAMPLES = 256
"""Most train samples that the ranges of tensors are computed over."""


def quantized(model: onnx.ModelProto, task: Task, input_shape: Shape) -> onnx.ModelProto:
    """Return the int8 (QDQ) form of a float network.

    Args:
        model: Reads ``(batch, *input_shape)``.
        task: Gives the samples, evenly spaced over its train part.
        input_shape: Shape of one sample, as the network reads it.
    """
    size = task.size("train")
    chosen = np.arange(0, size, max(1, size // QUANTISATION_SAMPLES))[:QUANTISATION_SAMPLES]
    samples = task.inputs("train", chosen, input_shape).contiguous().numpy()
    return quantize_model(model, tensor_ranges(model, samples))
