"""Changes of the number of channels, carried through a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from hwnas._explain._changes._graph import Net, attribute, set_attribute

_SAME = {"Relu", "LeakyRelu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Elu", "Selu", "Celu", "Gelu"}
_SAME |= {"Erf", "Mish", "Softplus", "Softsign", "Identity", "Dropout", "Sqrt", "Abs", "Neg", "Exp"}
_SAME |= {"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"}
"""Operators that treat each channel for itself, with nothing to change in them."""


class ConflictError(Exception):
    """Something cannot follow a change of channels.

    Args:
        origins: Convolutions whose channels changed.
    """

    def __init__(self, origins: frozenset[str]) -> None:
        super().__init__(", ".join(sorted(origins)))
        self.origins = origins


@dataclass(frozen=True)
class Channels:
    """The channels of a tensor after the change.

    Attributes:
        index: For each channel its number before the change ``(c,)``; -1 for a new one.
        origins: Convolutions whose change led to it.
    """

    index: npt.NDArray[np.int64]
    origins: frozenset[str]

    def taken(self, values: npt.NDArray[Any], axis: int, fill: float = 0.0) -> npt.NDArray[Any]:
        """Return values for these channels along an axis; new ones are `fill`."""
        result = np.take(values, np.maximum(self.index, 0), axis=axis)
        place: list[Any] = [slice(None)] * result.ndim
        place[axis] = self.index < 0
        result[tuple(place)] = fill
        return result


class Rewriting:
    """Rounds the channels of convolutions and lets everything behind them follow.

    Args:
        net: The graph; `run` changes it.
        rounded: Returns the new number of channels.
        kept: Convolutions that keep their channels, by name.

    Attributes:
        changed: Convolutions whose channels changed, by name.
    """

    def __init__(self, net: Net, rounded: Callable[[int], int], kept: set[str]) -> None:
        self._net, self._rounded, self._kept = net, rounded, kept
        self._channels: dict[str, Channels] = {}
        self._edits: list[Callable[[], None]] = []
        self.changed: list[str] = []

    def unaligned(self) -> Iterator[onnx.NodeProto]:
        """Yield the convolutions whose channels would change."""
        for node in self._net.nodes:
            weight = self._net.constants.get(node.input[1]) if node.op_type == "Conv" else None
            if weight is not None and attribute(node, "group", 1) == 1 and self._rounded(len(weight)) != len(weight):
                yield node

    def run(self) -> None:
        """Change the graph.

        Raises:
            ConflictError: Something cannot follow; the graph is then as it was.
        """
        rounded = {node.name for node in self.unaligned()} - self._kept
        for node in self._net.nodes:
            if node.op_type == "Conv":
                self._conv(node, node.name in rounded)
            elif any(name in self._channels for name in node.input):
                self._follow(node)
        for name in self._net.outputs & self._channels.keys():
            raise ConflictError(self._channels[name].origins)
        for edit in self._edits:
            edit()

    def _follow(self, node: onnx.NodeProto) -> None:
        """Let a node follow the changed channels of its inputs."""
        follow = {
            "Add": self._binary,
            "Sub": self._binary,
            "Mul": self._binary,
            "Div": self._binary,
            "Concat": self._concat,
            "Flatten": self._flatten,
            "Reshape": self._flatten,
            "Squeeze": self._flatten,
            "Gemm": self._dense,
            "MatMul": self._dense,
            "ReduceMean": self._reduce,
            "Resize": self._resize,
        }.get(node.op_type)
        if node.op_type in _SAME and node.input[0] in self._channels:
            self._channels[node.output[0]] = self._channels[node.input[0]]
        elif follow is not None:
            follow(node)
        else:
            self._refuse(node)

    def _refuse(self, node: onnx.NodeProto) -> None:
        origins = [self._channels[name].origins for name in node.input if name in self._channels]
        raise ConflictError(frozenset().union(*origins))

    def _edit(self, node: onnx.NodeProto, place: int, value: npt.NDArray[Any]) -> None:
        self._edits.append(lambda: self._net.replace_constant(node, place, value))

    def _conv(self, node: onnx.NodeProto, rounds: bool) -> None:
        before, weight = self._channels.get(node.input[0]), self._net.constants.get(node.input[1])
        bias = self._net.constants.get(node.input[2]) if len(node.input) > 2 and node.input[2] else None
        group = attribute(node, "group", 1)
        after: Channels | None = None
        if before is None and not rounds:
            return
        if weight is None or (bias is None and len(node.input) > 2 and node.input[2]):
            if before is not None:
                self._refuse(node)
            return
        if group == 1:
            weight = before.taken(weight, 1) if before is not None else weight
            if rounds:
                new = self._rounded(len(weight))
                index = np.arange(new, dtype=np.int64)
                after = Channels(np.where(index < len(weight), index, -1), frozenset({node.name}))
                self.changed.append(node.name)
        elif before is not None and weight.shape[1] == 1 and len(weight) == group:
            after = before
            self._edits.append(lambda: set_attribute(node, "group", len(before.index)))
        else:
            self._refuse(node)
        if after is not None:
            weight = after.taken(weight, 0)
            if bias is not None:
                self._edit(node, 2, after.taken(bias, 0))
            self._channels[node.output[0]] = after
        self._edit(node, 1, weight)

    def _binary(self, node: onnx.NodeProto) -> None:
        known = [self._channels.get(name) for name in node.input]
        changed = next(c for c in known if c is not None)
        for place, name in enumerate(node.input):
            own = known[place]
            if own is None:
                self._beside(node, place, name, changed)
            elif not np.array_equal(own.index, changed.index):
                self._refuse(node)
        origins = frozenset().union(*(c.origins for c in known if c is not None))
        self._channels[node.output[0]] = Channels(changed.index, origins)

    def _beside(self, node: onnx.NodeProto, place: int, name: str, changed: Channels) -> None:
        """Let an operand with unchanged channels fit: one channel fits as it is, a constant is changed."""
        shape, other = self._net.shapes.get(name), self._net.shapes.get(node.output[0])
        if shape is None or other is None:
            self._refuse(node)
            return
        axis = len(shape) - (len(other) - 1)
        if axis < 0 or shape[axis] == 1:
            return
        if name not in self._net.constants:
            self._refuse(node)
        fill = 1.0 if node.op_type in ("Mul", "Div") else 0.0
        self._edit(node, place, changed.taken(self._net.constants[name], axis, fill))

    def _concat(self, node: onnx.NodeProto) -> None:
        shapes = [self._net.shapes.get(name, ()) for name in node.input]
        if not all(len(shape) > 1 for shape in shapes) or attribute(node, "axis") not in (1, 1 - len(shapes[0])):
            self._refuse(node)
        parts, origins, offset = [], frozenset[str](), 0
        for name, shape in zip(node.input, shapes, strict=True):
            own = self._channels.get(name)
            index = np.arange(shape[1]) if own is None else own.index
            parts.append(np.where(index < 0, -1, index + offset))
            origins |= own.origins if own is not None else frozenset()
            offset += shape[1]
        self._channels[node.output[0]] = Channels(np.concatenate(parts), origins)

    def _flatten(self, node: onnx.NodeProto) -> None:
        """Follow ``(n, c, ...)`` to ``(n, c * ...)``."""
        own = self._channels.get(node.input[0])
        before, after = self._net.shapes.get(node.input[0], ()), self._net.shapes.get(node.output[0], ())
        if own is None or len(before) < 2 or after != (before[0], int(np.prod(before[1:]))):
            self._refuse(node)
            return
        each = int(np.prod(before[2:]))
        index = np.where(own.index[:, None] < 0, -1, own.index[:, None] * each + np.arange(each)).reshape(-1)
        self._channels[node.output[0]] = Channels(index, own.origins)
        if node.op_type == "Reshape":
            self._edits.append(lambda: _make_flatten(node))

    def _dense(self, node: onnx.NodeProto) -> None:
        own, weight = self._channels.get(node.input[0]), self._net.constants.get(node.input[1])
        flat = len(self._net.shapes.get(node.input[0], ())) == 2
        if own is None or weight is None or weight.ndim != 2 or not flat or attribute(node, "transA", 0):
            self._refuse(node)
            return
        self._edit(node, 1, own.taken(weight, 1 if attribute(node, "transB", 0) else 0))

    def _reduce(self, node: onnx.NodeProto) -> None:
        axes = attribute(node, "axes")
        if axes is None and len(node.input) > 1 and node.input[1] in self._net.constants:
            axes = self._net.constants[node.input[1]].tolist()
        rank = len(self._net.shapes.get(node.input[0], ()))
        if not axes or rank < 3 or any(axis % rank in (0, 1) for axis in axes):
            self._refuse(node)
        self._channels[node.output[0]] = self._channels[node.input[0]]

    def _resize(self, node: onnx.NodeProto) -> None:
        if len(node.input) > 3 and node.input[3]:  # sizes, which name the channels
            self._refuse(node)
        self._channels[node.output[0]] = self._channels[node.input[0]]


def _make_flatten(node: onnx.NodeProto) -> None:
    """Turn a Reshape to two axes into a Flatten, which does not name sizes."""
    node.op_type = "Flatten"
    del node.input[1:]
    del node.attribute[:]
    node.attribute.append(onnx.helper.make_attribute("axis", 1))
