"""Signals as scaled tensors, and the losses of regression. Needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as f

from hwnas.data import SignalData

IndexArray = np.ndarray[Any, np.dtype[np.int64]]


def prepare_signals(
    signals: Tensor, mean: Sequence[float], std: Sequence[float], length: int, device: str = "cpu"
) -> Tensor:
    """Return network inputs: the middle of each signal, less the mean, divided by the deviation.

    Args:
        signals: ``(N, C, L)`` float32.
        mean: Of each channel.
        std: Of each channel.
        length: Samples of the result, at most L.
        device: Where to compute.

    Returns:
        ``(N, C, length)`` float32.
    """
    x = middle(signals.to(device), length)
    middles, spreads = (torch.tensor(v, dtype=torch.float32, device=device)[:, None] for v in (mean, std))
    return (x - middles) / spreads


def middle(x: Tensor, length: int) -> Tensor:
    """Return the middle `length` samples of ``(N, C, L)``."""
    first = (x.shape[2] - length) // 2
    return x[:, :, first : first + length].contiguous()


class TrainSignals:
    """The train part on a device.

    Args:
        data: The data set.
        length: Samples of what is taken.
        device: Where it is kept.
    """

    def __init__(self, data: SignalData, length: int, device: str) -> None:
        self._data, self._length, self._device = data, length, device
        self._targets = torch.from_numpy(data.train.targets).to(device)
        self._signals = torch.from_numpy(data.train.signals).to(device)

    def __call__(self, chosen: IndexArray) -> tuple[Tensor, Tensor]:
        """Return signals ``(N, C, length)`` with these indices ``(N,)``, and their targets ``(N,)``."""
        where = torch.from_numpy(chosen).to(self._device)
        data = self._data
        x = prepare_signals(self._signals[where], data.mean, data.std, self._length, self._device)
        return x, self._targets[where]


def value_loss(output: Tensor, values: Tensor, mean: float, std: float) -> Tensor:
    """Return the mean squared error of outputs ``(N, 1)`` with values ``(N,)`` in deviations of the train part."""
    return f.mse_loss(output[:, 0], (values - mean) / std)


def imitation_loss(output: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared error of outputs ``(N, 1)`` with a teacher's."""
    return f.mse_loss(output, teacher)
