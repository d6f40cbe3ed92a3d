"""int8 files of trained networks."""

from __future__ import annotations

from pathlib import Path

import onnx

from hwnas.tasks import Task
from hwnas.training import quantized
from latency_tables import write_atomic

INT8, LATER, FP32 = VARIANTS = ("int8 search", "fp32 search, quantised", "fp32 search, fp32 files")
"""What searches are compared for: int8 files of both, and fp32 files."""


def quantised_file(source: Path, target: Path, task: Task) -> Path:
    """Quantise an fp32 file as a search with ``--precision int8`` quantises what it delivers.

    Args:
        source: The fp32 file.
        target: The file to write.
        task: Its train samples tell the ranges of tensors.

    Returns:
        The file that was written.
    """
    model = onnx.load(source)
    shape = tuple(dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim[1:])
    write_atomic(target, quantized(model, task, shape).SerializeToString())
    return target
