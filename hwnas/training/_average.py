"""A moving average of weights beside the training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """An exponential moving average of all tensors of a model: its parameters and batch-norm statistics.

    After step t, ``a <- d a + (1 - d) w`` with ``d = min(decay, (1 + t) / (10 + t))``: averaging along the path of
    stochastic gradients (Polyak and Juditsky 1992, SIAM J. Control Optim. 30, 838-855) that forgets the start, with a
    decay that warms up so that short trainings are not held back by their first weights.

    Args:
        model: Starts the average as it is.
        decay: What is kept of the average at a step in the long run, below 1.

    Attributes:
        steps: Updates so far.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self._live = dict(model.state_dict())
        self._mean = {name: tensor.detach().clone() for name, tensor in self._live.items()}

    def update(self) -> None:
        """Take the model's present tensors into the average."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, tensor in self._live.items():
            self._mean[name].lerp_(tensor, 1 - decay)

    def apply(self) -> None:
        """Set the model's tensors to their averages."""
        _copy(self._live, self._mean)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the model have its averaged tensors for a while; bit for bit as before afterwards."""
        before = {name: tensor.detach().clone() for name, tensor in self._live.items()}
        self.apply()
        try:
            yield
        finally:
            _copy(self._live, before)

    def state_dict(self) -> dict[str, Any]:
        """Return the averages and the number of updates."""
        return {"steps": self.steps, "mean": dict(self._mean)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave.

        Raises:
            KeyError, RuntimeError: It is of another model.
        """
        self.steps = int(state["steps"])
        _copy(self._mean, {name: state["mean"][name] for name in self._mean})


def _copy(target: Mapping[str, Tensor], source: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in target.items():
            tensor.copy_(source[name])
