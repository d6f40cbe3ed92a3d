"""The interface of operators, which the registry holds."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

from latency_tables import Op, OpGraph, Shape
from profilers._errors import OperatorError

if TYPE_CHECKING:
    import onnx
    import torch

FloatArray = npt.NDArray[np.float32]
Initialisation = Literal["he", "zero", "one"]
ACTIVATIONS = ("none", "relu", "hswish", "hsigmoid", "relu6", "sigmoid", "silu", "tanh", "gelu")
_NODE_OF_ACTIVATION = {"relu": "Relu", "hswish": "HardSwish", "sigmoid": "Sigmoid", "tanh": "Tanh"}
_TORCH_FUNCTION = {"hswish": "hardswish", "hsigmoid": "hardsigmoid"}
"""Names in `torch.nn.functional` where they differ from ours."""
NORM_EPSILON = 1e-5
"""What every batch norm adds to its variance."""
FLOAT_ONLY = "computes in float32"
"""Doc string of ONNX nodes that `quantize_model` leaves in float32."""
_PLACE = re.compile(r"@[^.]*")
MOST_AXES = 3
"""Largest number of axes that a feature map has behind its channels: time, height and width."""


@dataclass(frozen=True)
class Parameter:
    """One weight tensor of an operator.

    Attributes:
        shape: Extents of the tensor.
        init: How it starts: ``"he"`` draws N(0, 2 / fan_in), after He et al. 2015 (arXiv 1502.01852, eq. 10).
        trainable: Whether training changes it; false for running statistics.
        centred_axes: Axes that a weight-sharing supernet crops around the centre (kernel axes); it crops every other
            axis from the front.
        own: Whether each node keeps its own, even where nodes share weights (see `weight_name`).
    """

    shape: tuple[int, ...]
    init: Initialisation
    trainable: bool = True
    centred_axes: tuple[int, ...] = ()
    own: bool = False

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def fan_in(self) -> int:
        """Number of inputs that one output element sums over."""
        return max(1, math.prod(self.shape[1:]))


def weight_name(node: str, name: str, parameter: Parameter) -> str:
    """Return the name of a node's weight, ``"node.parameter"``.

    What stands in a node's name from ``@`` to the next dot is left out: nodes that differ only there share their
    weights, like the heads of a detector that read maps of several sizes. Their batch norms stay apart
    (`Parameter.own`), since maps of several sizes have other statistics.

    Args:
        node: Name of the node.
        name: Name of the weight in its operator.
        parameter: Its description.
    """
    return f"{node}.{name}" if parameter.own or "@" not in node else f"{_PLACE.sub('', node)}.{name}"


class Emitter(Protocol):
    """What an operator needs to write ONNX nodes."""

    def node(self, op_type: str, inputs: Sequence[str], **attributes: object) -> str:
        """Append a node; return the name of its only output."""

    def constant(self, name: str, value: FloatArray) -> str:
        """Store an initialiser; return its name."""

    def integers(self, name: str, values: Sequence[int]) -> str:
        """Store a one-dimensional initialiser of 64-bit integers; return its name."""

    def splice(
        self,
        body: onnx.GraphProto,
        tensors: Mapping[str, str],
        weights: Mapping[str, FloatArray],
        *,
        opset: int,
        batch: int,
    ) -> str:
        """Append the nodes and initialisers of a graph under new names; return the name of its output.

        Args:
            body: The graph.
            tensors: Names of the tensors that it reads, by the names of its inputs.
            weights: Values of its other inputs, by name.
            opset: The opset that it is written in.
            batch: The only batch size that it computes; 0 for any.
        """


class BatchNorm(Protocol):
    """Batch normalisation in the network's present state (training, evaluation or new statistics)."""

    def __call__(self, x: torch.Tensor, parameters: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Normalise ``(n, c, ...)`` with parameters ``gamma``, ``beta``, ``mean``, ``variance`` of shape ``(c,)``."""


class Operator(ABC):
    """One kind of operator: shapes, costs, ONNX lowering and torch computation, stated once.

    Shapes never include the batch axis; costs are those of one sample. An operator serves every rank it makes sense in:
    features ``(features,)``, and feature maps ``(channels, length)``, ``(channels, height, width)`` and
    ``(channels, time, height, width)``. The rank is that of the op's shapes.

    Attributes:
        kind: The name under which ops refer to the operator.
    """

    kind: ClassVar[str]
    post_processing: ClassVar[bool] = False
    """Whether it turns what a network is trained to give into what is delivered; training ends before it."""

    @abstractmethod
    def infer(self, op: Op) -> Shape:
        """Compute the output shape from the inputs' shapes and the attributes.

        Raises:
            OperatorError: They contradict each other.
        """

    def check(self, op: Op) -> None:
        """Raise `OperatorError` where the op's stated output is not the inferred one."""
        expected = self.infer(op)
        if expected != op.output:
            raise OperatorError(f"op {op.key}: the output must have the shape {'x'.join(map(str, expected))}")


class Primitive(Operator):
    """An operator that is lowered directly."""

    in_place: ClassVar[bool] = False
    """Whether the result may overwrite the first input when nothing else reads it."""
    float_only: ClassVar[bool] = False
    """Whether it computes in float32 in networks of every precision."""

    def parameters(self, op: Op) -> dict[str, Parameter]:
        """List the operator's weights by name; none by default."""
        return {}

    def macs(self, op: Op) -> int:
        """Count the multiply-accumulates of one sample; zero for data movement and activations."""
        return 0

    def fold(self, op: Op, values: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Turn training weights into inference weights (batch norm folded into the convolution)."""
        return dict(values)

    @abstractmethod
    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        """Write the ONNX nodes for `op`; return the output's name."""

    @abstractmethod
    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        """Compute `op` in torch.

        Args:
            op: What to compute.
            inputs: One tensor ``(n, *shape)`` for each of the op's input shapes.
            parameters: The weights, as `parameters` lists them.
            norm: Computes batch norms.

        Returns:
            ``(n, *op.output)``.
        """


class Composite(Operator):
    """An operator defined by a graph of simpler ones; costs and lowerings follow from that graph."""

    @abstractmethod
    def expand(self, op: Op) -> OpGraph:
        """Build the graph that `op` stands for.

        The names of its nodes are prefixes of the weights' names. Its inputs are the op's, in order.
        """

    def infer(self, op: Op) -> Shape:
        """Return the output shape of the expansion."""
        return self.expand(op).output_shape


def axis_sizes(op: Op, shape: Shape) -> Shape:
    """Check that a shape is a feature map's and return its extents behind the channels.

    Args:
        op: The op that reads or writes the map, for the error.
        shape: ``(channels, ...)`` with one to three axes behind the channels.

    Raises:
        OperatorError: `shape` has no such axis, or more than three.
    """
    if not 1 <= len(shape) - 1 <= MOST_AXES:
        raise OperatorError(
            f"op {op.key}: {op.kind} needs a feature map (channels and 1-{MOST_AXES} axes), got {shape}"
        )
    return shape[1:]


def same_padding(kernel: Shape, dilation: Shape) -> Shape:
    """Return "same" padding, at the beginning of each axis and then at the end: stride 1 keeps the extents."""
    return tuple(k // 2 * d for k, d in zip(kernel, dilation, strict=True)) * 2


def convolved_sizes(sizes: Shape, kernel: Shape, stride: Shape, dilation: Shape, pads: Shape) -> Shape:
    """Compute the extents after a convolution or pooling, one for each axis.

    Args:
        sizes: Extents before it.
        kernel: Extents of the window.
        stride: Steps of the window.
        dilation: Distances between the elements of the window.
        pads: Padding at the beginning of each axis, then at the end of each.
    """
    axes = len(sizes)
    windows = zip(sizes, kernel, stride, dilation, pads[:axes], pads[axes:], strict=True)
    return tuple((n + begin + end - d * (k - 1) - 1) // s + 1 for n, k, s, d, begin, end in windows)


def constant_tensors(arrays: Iterable[FloatArray], device: str) -> tuple[torch.Tensor, ...]:
    """Return constants of an op on a torch device; callers keep them, so that a CUDA graph copies nothing."""
    import torch

    with torch.inference_mode(False):  # they serve trainings too, whoever asks first
        return tuple(torch.from_numpy(array).to(device) for array in arrays)


def torch_padding(
    x: torch.Tensor, pads: Shape, fill: float = 0.0, *, always: bool = False
) -> tuple[torch.Tensor, Shape]:
    """Pad a tensor where torch's own symmetric padding cannot.

    Args:
        x: ``(n, channels, ...)``.
        pads: Padding at the beginning of each axis, then at the end of each.
        fill: Value of the padding.
        always: Whether to leave nothing to torch's function.

    Returns:
        The tensor, and the padding for each axis that is left to torch's function.
    """
    from torch.nn import functional as f

    axes = len(pads) // 2
    if not any(pads) or (pads[:axes] == pads[axes:] and not always):
        return x, pads[:axes]
    ends = [pads[axis + side * axes] for axis in reversed(range(axes)) for side in (0, 1)]
    return f.pad(x, ends, value=fill), (0,) * axes


def single_input(op: Op) -> Shape:
    """Return the shape of the op's only input.

    Raises:
        OperatorError: The op has no input or several.
    """
    if len(op.inputs) != 1:
        raise OperatorError(f"op {op.key}: {op.kind} needs one input, got {len(op.inputs)}")
    return op.inputs[0]


def emit_activation(emit: Emitter, function: str, x: str) -> str:
    """Write the ONNX nodes of the activation `function` (one of `ACTIVATIONS`)."""
    if function == "none":
        return x
    if function == "hsigmoid":
        return emit.node("HardSigmoid", [x], alpha=1.0 / 6.0, beta=0.5)
    if function == "relu6":
        return emit.node("Clip", [x, *_numbers(emit, low=0.0, high=6.0)])
    if function == "silu":
        return emit.node("Mul", [x, emit.node("Sigmoid", [x])])
    if function == "gelu":
        return _emit_gelu(emit, x)
    return emit.node(_NODE_OF_ACTIVATION[function], [x])


def _emit_gelu(emit: Emitter, x: str) -> str:
    """Write ``x (1 + erf(x / sqrt(2))) / 2``, the form that ONNX Runtime fuses to one node."""
    root, one, half = _numbers(emit, root=math.sqrt(2.0), one=1.0, half=0.5)
    error = emit.node("Erf", [emit.node("Div", [x, root])])
    return emit.node("Mul", [emit.node("Mul", [x, emit.node("Add", [error, one])]), half])


def _numbers(emit: Emitter, **values: float) -> list[str]:
    """Store constants without axes; return their names in the ONNX file."""
    return [emit.constant(name, np.array(value, dtype=np.float32)) for name, value in values.items()]


def apply_activation(function: str, x: torch.Tensor) -> torch.Tensor:
    """Compute the activation `function` (one of `ACTIVATIONS`) in torch."""
    from torch.nn import functional as f

    if function == "none":
        return x
    computed: torch.Tensor = getattr(f, _TORCH_FUNCTION.get(function, function))(x)
    return computed


def checked_activation(op: Op, attribute: str = "act") -> str:
    """Return the name of the op's activation.

    Raises:
        OperatorError: The activation is not one of `ACTIVATIONS`.
    """
    function = op.word(attribute)
    if function not in ACTIVATIONS:
        raise OperatorError(f"op {op.key}: unknown activation {function!r}; known: {', '.join(ACTIVATIONS)}")
    return function
