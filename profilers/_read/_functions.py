"""Which activation a node computes together with the element-wise nodes before it, whatever form they have.

An export writes an activation as one node or as a chain (``x * clip(x + 3, 0, 6) / 6``). A chain of one variable and
scalar constants is a function of one number: it is computed at some points and compared with the registry's functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import onnx

from profilers._read._attributes import Array, attributes_of
from profilers._read._translate import Translation

_MOST_NODES = 8
_LARGE = [1e3, 1e5, 3e38]
"""Points that tell a bound of any size, such as that of ``clip(x, 0, 255)``, from none; the last is near the largest
32-bit float."""
_NEAR = [sign * 2.0**-power for power in range(3, 17) for sign in (-1.0, 1.0)]
"""Distances from a knee: a chain may differ from a function between two of the even points alone."""
_POINTS: Array = np.concatenate(
    [
        np.linspace(-8.0, 8.0, 65),
        np.random.default_rng(0).uniform(-8.0, 8.0, 64),
        *(np.add(knee, _NEAR) for knee in (-3.0, 0.0, 3.0, 6.0)),
        [-40.0, 40.0],
        np.negative(_LARGE),
        _LARGE,
    ]
)
_POINTS.setflags(write=False)
_TOLERANCE = 1e-5
_SATURATED_TOLERANCE = 1e-7
_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):  # exp(1e3) is infinite, the result 0 as it should be
        return np.asarray(1.0 / (1.0 + np.exp(-x)))


def _gelu(x: Array) -> Array:
    return np.asarray(x * (1.0 + _erf(x / math.sqrt(2.0))) / 2.0)


def _ramp(x: Array, alpha: float = 1 / 6, beta: float = 0.5) -> Array:
    return np.clip(alpha * x + beta, 0.0, 1.0)


_KNOWN: Mapping[str, Array] = {
    "relu": np.maximum(_POINTS, 0.0),
    "relu6": np.clip(_POINTS, 0.0, 6.0),
    "hsigmoid": _ramp(_POINTS),
    "hswish": _POINTS * _ramp(_POINTS),
    "sigmoid": _sigmoid(_POINTS),
    "silu": _POINTS * _sigmoid(_POINTS),
    "tanh": np.tanh(_POINTS),
    "gelu": _gelu(_POINTS),
}
"""The registry's activations at the points."""


def _allowed(values: Array) -> Array:
    """Return by how much a chain may differ from a function at each point.

    Far out, where a function has the value of its end, a chain has it too, but for the rounding of constants to 32-bit
    floats: a small number that a chain keeps away from 0 (``max(x, 1e-6)``) decides what a logarithm or a division
    behind it gives.
    """
    low, high = values[np.argmin(_POINTS)], values[np.argmax(_POINTS)]
    saturated = ((_POINTS < -3.0) & (values == low)) | ((_POINTS > 3.0) & (values == high))
    size = np.abs(values)
    return np.where(saturated, _SATURATED_TOLERANCE * size, _TOLERANCE * (1.0 + size))


_ALLOWED: Mapping[str, Array] = {name: _allowed(values) for name, values in _KNOWN.items()}
"""Tolerances of the registry's activations at the points."""

_PLAIN: Mapping[str, Callable[..., Array]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Max": lambda *values: reduce(np.maximum, values),
    "Min": lambda *values: reduce(np.minimum, values),
    "Neg": np.negative,
    "Pow": np.power,
    "Exp": np.exp,
    "Erf": _erf,
    "Tanh": np.tanh,
    "Sigmoid": _sigmoid,
    "Reciprocal": np.reciprocal,
    "Relu": lambda x: np.maximum(x, 0.0),
    "HardSwish": lambda x: x * _ramp(x),
    "Identity": lambda x: x,
}
"""Operators without attributes."""
ELEMENTWISE = (*_PLAIN, "Clip", "HardSigmoid", "Gelu")


def activation_of(t: Translation, node: onnx.NodeProto) -> tuple[str, str] | None:
    """Return the activation that a node ends, and the tensor it is computed from; ``None`` for other nodes.

    Args:
        t: The op graph so far.
        node: The last node of the activation.

    Returns:
        The registry's name, and a tensor of the op graph: the one furthest back.
    """
    chain, result = [node], None
    if not _is_step(t, node):
        return None
    while True:
        made = {part.output[0] for part in chain}
        reads = {name for part in chain for name in part.input if name and t.constant(name) is None} - made
        if len(reads) == 1 and t.is_sample(next(iter(reads))):
            (tensor,) = reads
            function = _known(t, chain, tensor)
            result = (function, tensor) if function else result
        producers = [t.producer(name) for name in reads]
        # only the last one written can lead back to the others
        last = max(producers, key=t.position, default=None)
        if last is None or len(chain) == _MOST_NODES or not _is_step(t, last):
            return result
        chain.append(last)


def starts_activation(t: Translation, node: onnx.NodeProto, tensor: str) -> bool:
    """Return whether a node, which reads a tensor, and the nodes behind it that nobody else reads are an activation."""
    following: onnx.NodeProto | None = node
    for _ in range(_MOST_NODES):
        if following is None or not _is_step(t, following):
            return False
        if following is not node and _ends_at(t, following, tensor):
            return True
        following = t.only_reader(following.output[0])
    return False


def _ends_at(t: Translation, node: onnx.NodeProto, tensor: str) -> bool:
    """Return whether a node ends an activation of a tensor, which need not be one of the op graph yet."""
    chain = [node]
    while len(chain) < _MOST_NODES:
        made = {part.output[0] for part in chain}
        reads = {name for part in chain for name in part.input if name and t.constant(name) is None} - made
        if reads == {tensor}:
            return bool(_known(t, chain, tensor))
        last = max((t.producer(name) for name in reads if name != tensor), key=t.position, default=None)
        if last is None or not _is_step(t, last):
            return False
        chain.append(last)
    return False


def _is_step(t: Translation, node: onnx.NodeProto) -> bool:
    """Return whether a node is element-wise in tensors of one shape and scalar constants."""
    if node.op_type not in ELEMENTWISE or t.is_grouped(node):
        return False
    shape = t.output_shape(node)
    for name in filter(None, node.input):
        value = t.constant(name)
        if value is None and t.file.types[name].shape[1:] != shape:
            return False
        if value is not None and (value.size != 1 or value.dtype != np.float32):
            return False
    return shape is not None


def _known(t: Translation, chain: Sequence[onnx.NodeProto], tensor: str) -> str:
    """Return the name of the function that a chain computes; empty where the registry has none."""
    values: dict[str, Any] = {tensor: _POINTS}
    with np.errstate(all="ignore"):
        for node in sorted(chain, key=t.position):
            given = [
                None if not name else values[name] if name in values else float(_scalar(t, name)) for name in node.input
            ]
            try:
                values[node.output[0]] = _computed(node, given)
            except (TypeError, ValueError, ArithmeticError):
                return ""
        result = values[chain[0].output[0]]
        if np.shape(result) != _POINTS.shape:
            return ""
        # a chain such as exp(x) / (1 + exp(x)) overflows at large points, where its function is finite
        passed_over = (np.abs(_POINTS) >= _LARGE[0]) & ~np.isfinite(result)
        for name, expected in _KNOWN.items():
            close = np.abs(result - expected) <= _ALLOWED[name]
            if (close | passed_over).all():
                return name
    return ""


def _scalar(t: Translation, name: str) -> Any:
    value = t.constant(name)
    return np.nan if value is None else value.reshape(-1)[0]


def _computed(node: onnx.NodeProto, given: Sequence[Any]) -> Array:
    attributes = attributes_of(node)
    if node.op_type == "Clip":
        low, high = clip_ends(attributes, given[1:])
        return np.asarray(np.clip(given[0], low, high))
    if node.op_type == "HardSigmoid":
        return _ramp(given[0], attributes.get("alpha", 0.2), attributes.get("beta", 0.5))
    if node.op_type == "Gelu":
        if attributes.get("approximate", b"none") not in (b"none", "none"):
            raise ValueError("the approximation is another function")
        return _gelu(given[0])
    return np.asarray(_PLAIN[node.op_type](*given))


def clip_ends(attributes: Mapping[str, Any], inputs: Sequence[float | None]) -> tuple[float, float]:
    """Return the ends of a Clip from its attributes (old opsets) or its other inputs."""
    ends = [float(attributes.get("min", -np.inf)), float(attributes.get("max", np.inf))]
    for place, value in enumerate(inputs[:2]):
        if value is not None:
            ends[place] = value
    return ends[0], ends[1]
