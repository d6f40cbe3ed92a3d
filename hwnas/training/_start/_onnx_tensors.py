"""Weights of ONNX files: initialisers by name, and layers in the order in which the network computes them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

from hwnas.training._start._layers import Layer, consistent
from profilers import NORM_EPSILON, ModelFileError, load_onnx, norm_parameters

FloatArray = npt.NDArray[np.float32]
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)
_WEIGHTED = ("Conv", "Gemm", "MatMul")
_NORM = ("gamma", "beta", "mean", "variance")
"""Inputs of BatchNormalization after the first."""


def parse_onnx(content: bytes) -> tuple[dict[str, FloatArray], list[Layer]]:
    """Read the initialisers of floats.

    Args:
        content: The whole file.

    Returns:
        Tensors by name as float32, and the layers in the file's order.

    Raises:
        ValueError: Saying what is wrong with the file.
    """
    try:
        model = load_onnx(content)
    except ModelFileError as error:
        raise ValueError(f"it is neither a safetensors nor an ONNX file that can be read: {error}") from None
    tensors: dict[str, FloatArray] = {}
    for initializer in model.graph.initializer:
        if initializer.data_type not in _FLOATS:
            continue
        try:
            tensors[initializer.name] = numpy_helper.to_array(initializer).astype(np.float32)
        except Exception:  # whatever onnx raises for data that do not fit their shape
            raise ValueError(f"tensor {initializer.name!r:.80} does not fit its shape") from None
    if not tensors:
        raise ValueError("it is neither a safetensors nor an ONNX file with initialisers of floats")
    return tensors, _layers(model.graph, tensors)


def _layers(graph: onnx.GraphProto, tensors: Mapping[str, FloatArray]) -> list[Layer]:
    """Return the layers in the order of the nodes; a BatchNormalization belongs to the convolution that it reads."""
    norms = {node.input[0]: node for node in graph.node if node.op_type == "BatchNormalization" and node.input}
    layers = []
    for node in graph.node:
        if node.op_type not in _WEIGHTED or len(node.input) < 2 or node.input[1] not in tensors:
            continue
        names = dict(zip(("weight", "bias"), node.input[1:3], strict=False))
        norm = norms.get(node.output[0]) if node.output else None
        if norm is not None:
            names |= dict(zip(_NORM, norm.input[1:5], strict=False))
        held = {kind: tensors[name] for kind, name in names.items() if name in tensors}
        if held["weight"].ndim < 2:
            continue
        if _is_transposed(node):
            held["weight"] = np.ascontiguousarray(held["weight"].T)
        held = consistent(held)
        if norm is not None and "variance" in held:
            held |= _with_our_epsilon(norm, held)
        layers.append(Layer(node.name or names["weight"], held))
    return layers


def _with_our_epsilon(norm: onnx.NodeProto, held: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Return the parameters of a norm that computes the same with our epsilon; Keras writes another one.

    Raises:
        ValueError: Its epsilon is not above 0.
    """
    epsilon = next((attribute.f for attribute in norm.attribute if attribute.name == "epsilon"), NORM_EPSILON)
    if not 0.0 < epsilon < math.inf:
        raise ValueError(f"node {norm.name!r:.80}: epsilon must be above 0 and finite, got {epsilon}")
    if math.isclose(epsilon, NORM_EPSILON, rel_tol=1e-6):  # attributes are 32-bit floats
        return {}
    held = {**held, "variance": np.maximum(held["variance"], np.float32(0.0))}
    values = norm_parameters([held[kind] for kind in _NORM], epsilon)
    return {kind: value.astype(np.float32) for kind, value in values.items()}


def _is_transposed(node: onnx.NodeProto) -> bool:
    """Return whether the weight of a linear layer is stored as (in, out)."""
    if node.op_type == "MatMul":
        return True
    return node.op_type == "Gemm" and not any(a.name == "transB" and a.i == 1 for a in node.attribute)
