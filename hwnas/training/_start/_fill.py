"""Tensors of a file in the place of weights that have other extents."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from hwnas.training._cover import starting_parameters
from latency_tables import OpGraph
from profilers import Parameter, initial_value

FloatArray = npt.NDArray[np.float32]


def filled(start: FloatArray, given: FloatArray, parameter: Parameter) -> FloatArray:
    """Return a weight that holds as much of a given tensor as fits.

    A larger tensor is cropped as a supernet crops its weights: leading channels, the centre of kernels. A smaller one
    fills the leading channels and the centre of kernels. The rest of the output channels that it fills is 0: the taps
    around its kernel, and what reads input channels that it does not have. The network then computes what the file's
    network computes. Output channels that it does not have keep their start.

    Args:
        start: The weight without the given tensor.
        given: A tensor of the same rank.
        parameter: Describes the weight.
    """
    into, out_of = [], []
    for axis, (want, have) in enumerate(zip(start.shape, given.shape, strict=True)):
        both = min(want, have)
        first = ((want - both) // 2, (have - both) // 2) if axis in parameter.centred_axes else (0, 0)
        into.append(slice(first[0], first[0] + both))
        out_of.append(slice(first[1], first[1] + both))
    weight = start.copy()
    if weight.ndim > 1:
        weight[into[0]] = 0.0
    weight[tuple(into)] = given[tuple(out_of)]
    return weight


def starting_weights(graph: OpGraph, initial: Mapping[str, FloatArray] | None, seed: int) -> dict[str, FloatArray]:
    """Return what a training of a network starts from: He initialisation, and given tensors over it.

    Args:
        graph: The network.
        initial: Tensors by ``"node.parameter"``, of these or other extents; None for none.
        seed: Decides the initialisation.
    """
    rng = np.random.default_rng([seed, 0])
    weights = {}
    for name, parameter in starting_parameters(graph.without_dead_code()):
        start, given = initial_value(parameter, rng), (initial or {}).get(name)
        weights[name] = start if given is None else filled(start, np.asarray(given, dtype=np.float32), parameter)
    return weights
