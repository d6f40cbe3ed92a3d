"""The network in int8."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hwnas._common._foreign import error_line
from hwnas._explain._changes._graph import with_opset
from hwnas._explain._changes._proposal import NotPossibleError, Proposal, Subject
from profilers import quantize_model, tensor_ranges

if TYPE_CHECKING:
    import onnx

_QUANTISED = {"QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"}
_OPSET = 13
"""The first opset whose QuantizeLinear takes a scale for each channel."""


def int8(subject: Subject) -> list[Proposal]:
    """Return the statically quantised network (QDQ), with ranges from random inputs.

    Raises:
        NotPossibleError: The file is quantised already, or ONNX Runtime cannot quantise it.
    """
    if any(node.op_type in _QUANTISED for node in subject.simplified.graph.node):
        raise NotPossibleError("the file is quantised already")
    try:
        model = with_opset(subject.simplified, _OPSET)
        quantised = quantize_model(model, _ranges(model))
    except Exception as error:  # onnx and ONNX Runtime raise anything for models that they do not support
        raise NotPossibleError(f"the network cannot be quantised ({error_line(error)})") from None
    if not any(node.op_type in _QUANTISED for node in quantised.graph.node):
        raise NotPossibleError("it has no operator that ONNX Runtime quantises")
    text = "int8 weights and activations instead of fp32 (static QDQ)"
    return [Proposal("int8", text, (), quantised.SerializeToString())]


def _ranges(model: onnx.ModelProto) -> dict[str, tuple[float, float]] | None:
    """Return ranges from random inputs; None, for assumed ones, where these need float inputs for one sample each."""
    import onnx

    shapes = {info.name: [d.dim_value for d in info.type.tensor_type.shape.dim] for info in model.graph.input}
    floats = all(info.type.tensor_type.elem_type == onnx.TensorProto.FLOAT for info in model.graph.input)
    if not floats or not all(shape and shape[0] == 1 for shape in shapes.values()):
        return None
    rng = np.random.default_rng(0)
    try:
        return tensor_ranges(
            model, {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}
        )
    except Exception:  # a network that overflows on noise; the time of int8 kernels does not depend on the ranges
        return None
