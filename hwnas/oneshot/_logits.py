"""`Logits`: one learned number for each value of each choice, moved by Adam, with a state that can be stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

LEARNED_UNITS = 6.0
"""How far logits should be able to move in a training: a difference of 6 is a ratio of 400 of probabilities."""


def rate_for(lr: float, published: float, steps: int) -> float:
    """Return a learning rate: the given one, or for 0 the published one, raised where a training has few steps.

    Adam moves a logit by about the learning rate a step.
    """
    return lr if lr > 0 else max(published, LEARNED_UNITS / max(1, steps))


def gumbel_softmax(logits: Iterable[Tensor], temperature: float, rng: np.random.Generator) -> list[Tensor]:
    """Draw a Gumbel softmax of each vector (Jang et al. 2017, arXiv 1611.01144, eq. 2), with gradients."""
    noisy = (vector + torch.from_numpy(rng.gumbel(size=len(vector))) for vector in logits)
    return [(vector / temperature).softmax(0) for vector in noisy]


def draw_normal(vectors: Sequence[Tensor], deviation: float, rng: np.random.Generator) -> None:
    """Draw all numbers anew from a normal distribution around 0."""
    with torch.no_grad():
        for vector in vectors:
            vector.copy_(torch.from_numpy(deviation * rng.standard_normal(len(vector))))


def gradients_of(value: Tensor, vectors: Sequence[Tensor], *, retain: bool = False) -> list[Tensor]:
    """Return the gradient of a value at each vector; zeros where it makes no difference.

    Args:
        value: A scalar.
        vectors: What it depends on.
        retain: Whether gradients through the same graph are wanted again.
    """
    gradients = torch.autograd.grad(value, vectors, retain_graph=retain, allow_unused=True)
    pairs = zip(vectors, gradients, strict=True)
    return [torch.zeros_like(vector) if own is None else own for vector, own in pairs]


class Logits:
    """Logits of the choices of a space, all 0, and their optimizer.

    Args:
        counts: How many values each choice has.
        lr: Learning rate of Adam.
        weight_decay: Its weight decay.
        betas: Its decay rates.

    Attributes:
        vectors: One vector ``(values,)`` (float64) for each choice, with gradients.
    """

    def __init__(
        self, counts: Sequence[int], *, lr: float, weight_decay: float, betas: tuple[float, float] = (0.9, 0.999)
    ) -> None:
        self.vectors = [torch.zeros(count, dtype=torch.float64, requires_grad=True) for count in counts]
        self._adam = torch.optim.Adam(self.vectors, lr=lr, betas=betas, weight_decay=weight_decay)

    def set_rate(self, lr: float) -> None:
        """Set the learning rate."""
        for group in self._adam.param_groups:
            group["lr"] = lr

    def probabilities(self) -> list[Tensor]:
        """Return the softmax of each vector, with gradients."""
        return [vector.softmax(0) for vector in self.vectors]

    def step(self, loss: Tensor) -> None:
        """Take one step down the gradient of a loss; what it does not depend on has a gradient of 0."""
        for vector, gradient in zip(self.vectors, gradients_of(loss, self.vectors), strict=True):
            vector.grad = gradient
        self._adam.step()

    def reset(self, deviation: float, rng: np.random.Generator) -> None:
        """Draw all logits anew from a normal distribution around 0, and forget the optimizer's moments."""
        draw_normal(self.vectors, deviation, rng)
        self._adam.state.clear()

    def state(self) -> dict[str, Any]:
        """Return logits and moments."""
        moments = [self._adam.state.get(vector, {}) for vector in self.vectors]
        return {
            "logits": [vector.detach().clone() for vector in self.vectors],
            "adam": [{name: own[name].clone() for name in sorted(own)} for own in moments],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""
        with torch.no_grad():
            for vector, stored in zip(self.vectors, state["logits"], strict=True):
                vector.copy_(stored)
        self._adam.state.clear()
        for vector, own in zip(self.vectors, state["adam"], strict=True):
            if own:
                self._adam.state[vector] = {name: value.clone().cpu() for name, value in own.items()}
