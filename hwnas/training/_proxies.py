"""Training-free scores of networks at their initialisation. None of them is the metric of a task.

Abdelfattah et al. 2021 (arXiv 2101.08134) collect and compare them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from latency_tables import INPUT, Op, OpGraph
from profilers import Parameter, RunningNorm, expand, graph_params, primitive_of, random_weights, run_graph, weight_name

Lookup = Callable[[str, Parameter], Tensor]
Loss = Callable[[tuple[Tensor, ...]], Tensor]
"""The task's loss of a network's outputs for the proxy's batch."""
_GATES = ("relu", "relu6", "hswish", "silu", "gelu")
"""Activations that are positive exactly where what they are of is."""


def log_synflow(graph: OpGraph, x: Tensor, loss: Loss, seed: int) -> float:
    """Return synaptic flow: the logarithm of the sum over all weights of ``|w * dR/dw|``.

    R is the sum of the outputs for an input of ones when every weight is replaced by its absolute value (Tanaka et al.
    2020, arXiv 2006.05467, eq. 3); norms pass their input on, as in Abdelfattah et al. 2021 (section 3.2). No sample of
    the data is used.

    Args:
        graph: The network.
        x: Gives the device alone.
        loss: Not used.
        seed: Decides the initialisation.
    """
    weights = {name: tensor.double().abs().requires_grad_() for name, tensor in _weights(graph, x, seed).items()}
    ones = torch.ones((1, *graph.input_shape), dtype=torch.float64, device=x.device)
    run_graph(expand(graph), ones, _lookup(weights), _Pass()).sum().backward()  # type: ignore[no-untyped-call]
    flows = [(tensor.detach() * tensor.grad).abs().sum() for tensor in weights.values() if tensor.grad is not None]
    return _log(float(torch.stack(flows).sum()))


def naswot(graph: OpGraph, x: Tensor, loss: Loss, seed: int) -> float:
    """Return how differently samples switch the ReLUs: ``log |det K|``, K_ij the number of ReLUs where i and j agree.

    From the binary codes of Mellor et al. 2021 (arXiv 2006.04647, eq. 1 and 2); norms normalise by the batch.

    Args:
        graph: The network.
        x: Inputs ``(N, *graph.input_shape)``.
        loss: Not used.
        seed: Decides the initialisation.
    """
    lookup, norm = _lookup(_weights(graph, x, seed)), RunningNorm(training=True, momentum=None)
    agree = torch.zeros((len(x), len(x)), dtype=torch.float64, device=x.device)
    values = {INPUT: x}
    with torch.no_grad():
        for node in expand(graph).nodes:
            operator = primitive_of(node.op)
            tensors = {n: lookup(weight_name(node.name, n, p), p) for n, p in operator.parameters(node.op).items()}
            y = operator.forward(node.op, [values[i] for i in node.inputs], tensors, norm)
            values[node.name] = y
            if _function(node.op) in _GATES:
                on = (y > 0).flatten(1).float()
                agree += (on @ on.T + (1 - on) @ (1 - on).T).double()
    return float(torch.linalg.slogdet(agree).logabsdet)


def log_gradnorm(graph: OpGraph, x: Tensor, loss: Loss, seed: int) -> float:
    """Return the logarithm of the sum over weight tensors of the 2-norm of the loss's gradient, after one batch.

    Abdelfattah et al. 2021, section 3.1; norms normalise by the batch, their scales and offsets and all biases are left
    out.

    Args:
        graph: The network.
        x: Inputs ``(N, *graph.input_shape)``.
        loss: The task's loss of the outputs for `x`.
        seed: Decides the initialisation.
    """
    weights = {name: tensor.requires_grad_() for name, tensor in _weights(graph, x, seed).items()}
    output = run_graph(expand(graph), x, _lookup(weights), RunningNorm(training=True, momentum=None))
    loss((output,)).backward()  # type: ignore[no-untyped-call]
    norms = [tensor.grad.norm() for tensor in weights.values() if tensor.ndim > 1 and tensor.grad is not None]
    return _log(float(torch.stack(norms).sum()))


def log_parameters(graph: OpGraph, x: Tensor, loss: Loss, seed: int) -> float:
    """Return the logarithm of the number of trainable parameters; samples, loss and seed are not used."""
    return math.log(graph_params(graph))


class _Pass(RunningNorm):
    """A norm that passes its input on."""

    def __init__(self) -> None:
        super().__init__(training=True, momentum=None)

    def __call__(self, x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return the input as it is."""
        return x


def _weights(graph: OpGraph, x: Tensor, seed: int) -> dict[str, Tensor]:
    """Return He-initialised tensors by ``"node.parameter"``."""
    arrays = random_weights(graph, seed)
    return {name: torch.from_numpy(np.array(array, dtype=np.float32)).to(x.device) for name, array in arrays.items()}


def _lookup(weights: Mapping[str, Tensor]) -> Lookup:
    return lambda name, _: weights[name]


def _function(op: Op) -> str:
    return op.word("function", "none") if op.kind == "activation" else op.word("act", "none")


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
