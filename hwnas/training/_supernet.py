"""`Supernet`: one set of weights that every network of a space takes its own from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hwnas._errors import EvaluatorError
from hwnas.spaces import Architecture, ChoiceGraphSpace, Segments, Space
from hwnas.training._cover import extreme_network, largest_parameters
from hwnas.training._mixture import before_post_processing, run_mixture
from hwnas.training._start._fill import filled
from hwnas.training._subnet import Subnet, with_bn_statistics
from hwnas.training._trim import cut_tensor, trimmed
from latency_tables import OpGraph
from profilers import Parameter, RunningNorm, expand, graph_parameters, initial_value, run_graph, trained_graph


class Supernet(nn.Module):
    """Weights shared by all networks of a space, straight from their op graphs.

    For every weight ``"node.parameter"`` of any network one tensor of the largest extents is kept; a network uses the
    leading part of it along each axis, and the centre along `Parameter.centred_axes` (kernels), as in
    BigNAS (Yu et al. 2020, arXiv 2003.11142, section 3), or the pieces that `Space.weight_segments` says. Batch norms
    have no statistics here: training uses the batch's, and `subnet` computes those of one network.

    Args:
        space: The space.
        seed: Decides the He initialisation.

    Attributes:
        space: The space.
        largest: The network with the most MACs.
        smallest: The network with the fewest.
        described: Every parameter of any network by ``"node.parameter"``, with its largest extents.
    """

    def __init__(self, space: Space, *, seed: int = 0) -> None:
        super().__init__()
        self.space = space
        self.largest = extreme_network(space, smallest=False)
        self.smallest = extreme_network(space, smallest=True)
        rng = np.random.default_rng([seed, 0])
        self.described = largest_parameters(space)
        for name, parameter in self.described.items():
            if parameter.trainable:
                tensor = nn.Parameter(torch.from_numpy(initial_value(parameter, rng)))
                self.register_parameter(name.replace(".", "/"), tensor)
        self._expanded = lru_cache(maxsize=512)(lambda arch: trimmed(expand(trained_graph(self.space.graph(arch)))))

    def shared(self) -> dict[str, nn.Parameter]:
        """Return the stored tensors by ``"node.parameter"``, sorted by name."""
        return {name.replace("/", "."): tensor for name, tensor in self.named_parameters()}

    def load(self, initial: Mapping[str, npt.NDArray[np.float32]]) -> None:
        """Take over given tensors by ``"node.parameter"``; see `filled` for those of other extents.

        Tensors that are no shared weight, such as statistics, are left out.
        """
        with torch.no_grad():
            for name, tensor in self.shared().items():
                if name in initial:
                    given = np.asarray(initial[name], dtype=np.float32)
                    weight = filled(tensor.detach().cpu().numpy(), given, self.described[name])
                    tensor.copy_(torch.from_numpy(weight))

    def forward(self, x: Tensor, arch: Architecture) -> Tensor:
        """Return outputs of one network in training: batch norms use the batch's statistics.

        Args:
            x: ``(N, *space.input_shape(arch))``.
            arch: The network.
        """
        expanded: OpGraph = self._expanded(arch)
        return run_graph(expanded, x, self._lookup(arch), RunningNorm(training=True, momentum=None))

    def mixture(self, x: Tensor, arch: Architecture, weights: Mapping[int, Tensor]) -> Tensor:
        """Return outputs of a weighted mixture of networks in training, for one-shot methods.

        Args:
            x: ``(N, *space.input_shape(arch))``.
            arch: Says the choices that cannot be mixed (see `hwnas.spaces.ChoiceGraphSpace.mixture`).
            weights: For each other column of the codes one weight a value, ``(values,)``; see `run_mixture`.

        Raises:
            EvaluatorError: The space is not stated as a choice graph.
        """
        if not isinstance(self.space, ChoiceGraphSpace):
            raise EvaluatorError(
                f"space {self.space.name} is not stated as a choice graph; its networks cannot be mixed"
            )
        nodes = list(self.space.mixture(arch))
        output = before_post_processing(nodes, self.space.choice_graph.output)
        norm = RunningNorm(training=True, momentum=None)
        return run_mixture(nodes, output, x, weights, self._lookup(arch), norm)

    def weights(self, arch: Architecture) -> dict[str, Tensor]:
        """Return the trainable tensors of one network by ``"node.parameter"``, parts of the shared ones."""
        graph, lookup = self.space.graph(arch), self._lookup(arch)
        return {n: lookup(n, p) for n, p in graph_parameters(graph) if p.trainable}

    def subnet(self, arch: Architecture, batches: Iterable[Tensor]) -> Subnet:
        """Return one network with batch-norm statistics computed over `batches` ``(N, *space.input_shape(arch))``."""
        return with_bn_statistics(self.space.graph(arch), self.weights(arch), batches)

    def _lookup(self, arch: Architecture) -> Callable[[str, Parameter], Tensor]:
        return partial(self._part, self.space.weight_segments(arch))

    def _part(self, segments: Segments, name: str, parameter: Parameter) -> Tensor:
        if not parameter.trainable:
            return _NO_STATISTICS
        shared = self._parameters.get(name.replace(".", "/"))
        if shared is None or len(shared.shape) != len(parameter.shape):
            raise EvaluatorError(f"supernet of space {self.space.name}: it has no weight {name}")
        return cut_tensor(shared, parameter, name, segments.get(name))


_NO_STATISTICS = torch.empty(0)
