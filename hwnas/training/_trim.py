"""Parts of tensors: what a network uses of a shared weight, what a convolution uses of its kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from hwnas._errors import EvaluatorError
from latency_tables import Op, OpGraph
from profilers import Parameter


def trimmed(expanded: OpGraph) -> OpGraph:
    """Return an expanded graph in which no convolution has taps that only ever meet padding.

    Along an axis of ``n`` elements an offset beyond ``n - 1`` never meets an element, so a kernel wider than
    ``2 n - 1`` can be cut to its centre of that width without changing results or gradients. With dilation ``d`` the
    width is ``2 floor((n - 1) / d) + 1``. A kernel that is as wide along all axes is cut by the longest of them.
    """
    nodes = tuple(replace(node, op=_trimmed_op(node.op)) if node.op.kind == "conv" else node for node in expanded.nodes)
    return replace(expanded, nodes=nodes)


@lru_cache(maxsize=65536)
def _trimmed_op(op: Op) -> Op:
    sizes = op.inputs[0][1:]
    kernel, dilation = op.integers("kernel", len(sizes)), op.integers("dilation", len(sizes), 1)
    reach = tuple(2 * ((n - 1) // d) + 1 for n, d in zip(sizes, dilation, strict=True))
    if len(set(kernel)) == 1:
        reach = (max(reach),) * len(reach)
    cut = tuple(min(k, r) for k, r in zip(kernel, reach, strict=True))
    if cut == kernel or "pads" in dict(op.attributes):  # padding of its own does not shrink with the kernel
        return op
    return op.with_attributes(kernel=cut)


Pieces = Mapping[int, tuple[tuple[int, int], ...]]
"""By axis the pieces that are used of a tensor, each a start and a length."""


def cut_tensor(tensor: Tensor, parameter: Parameter, name: str, pieces: Pieces | None = None) -> Tensor:
    """Return the part of a larger tensor that a parameter uses: leading along each axis, central along centred axes.

    Args:
        tensor: The larger tensor.
        parameter: What is needed.
        name: Its name, for the error.
        pieces: Axes along which several pieces are used instead, one behind the other.

    Raises:
        EvaluatorError: The tensor is smaller than the parameter.
    """
    for axis, parts in (pieces or {}).items():
        tensor = torch.cat([tensor.narrow(axis, start, length) for start, length in parts], dim=axis)
    if tuple(tensor.shape) == parameter.shape:
        return tensor
    index = []
    for axis, (have, want) in enumerate(zip(tensor.shape, parameter.shape, strict=True)):
        if want > have:
            raise EvaluatorError(
                f"weight {name}: it has shape {tuple(tensor.shape)}, a network needs {parameter.shape}"
            )
        start = (have - want) // 2 if axis in parameter.centred_axes else 0
        index.append(slice(start, start + want))
    return tensor[tuple(index)]
