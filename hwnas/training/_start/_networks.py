"""What the trainings of single networks of a space start from, where the space has initial weights."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from hwnas.spaces import Architecture, Space
from hwnas.tasks import Task
from hwnas.training._loop import compute_threads
from hwnas.training._start._fill import filled
from hwnas.training._supernet import Supernet
from hwnas.training._supernet_training import load_initial
from hwnas.training._trim import cut_tensor
from profilers import graph_parameters, initial_value

FloatArray = npt.NDArray[np.float32]


class StartingNetworks:
    """Parts of the weights of one supernet, which holds the initial weights and is not trained.

    Args:
        space: The space.
        task: Gives the samples that batch norms are put back on where the initial weights lack them.
        initial: Tensors by ``"node.parameter"`` (see `train_supernet`).
        seed: Decides the initialisation of the rest.
        threads: Torch's threads while norms are put back; None for its own choice.
    """

    def __init__(
        self, space: Space, task: Task, initial: Mapping[str, FloatArray], seed: int, *, threads: int | None = None
    ) -> None:
        self._supernet = Supernet(space, seed=seed)
        with compute_threads(threads):
            given = load_initial(self._supernet, initial, task)
        rng = np.random.default_rng(0)  # statistics start as constants
        self._statistics = {
            name: torch.from_numpy(filled(initial_value(parameter, rng), given[name], parameter))
            for name, parameter in self._supernet.described.items()
            if not parameter.trainable and name in given
        }

    def __call__(self, arch: Architecture) -> dict[str, FloatArray]:
        """Return weights of one network, and its statistics where the initial weights have them."""
        graph = self._supernet.space.graph(arch)
        weights = {name: tensor.detach().numpy() for name, tensor in self._supernet.weights(arch).items()}
        segments = self._supernet.space.weight_segments(arch)
        for name, parameter in graph_parameters(graph):
            if name in self._statistics:
                weights[name] = cut_tensor(self._statistics[name], parameter, name, segments.get(name)).numpy()
        return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in weights.items()}
