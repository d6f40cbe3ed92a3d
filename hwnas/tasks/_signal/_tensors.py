"""Signals as scaled tensors, and the losses of regression. Needs torch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as f

from hwnas.data import SignalData


def prepare_signals(data: SignalData, signals: Tensor, length: int, device: str = "cpu") -> Tensor:
    """Return network inputs: the middle of each signal, less the mean, divided by the deviation.

    Args:
        data: Gives mean and deviation of each channel.
        signals: ``(N, C, L)`` float32.
        length: Samples of the result, at most L.
        device: Where to compute.

    Returns:
        ``(N, C, length)`` float32.
    """
    x = middle(signals.to(device), length)
    middles, spreads = (torch.tensor(v, dtype=torch.float32, device=device)[:, None] for v in (data.mean, data.std))
    return (x - middles) / spreads


def middle(x: Tensor, length: int) -> Tensor:
    """Return the middle `length` samples of ``(N, C, L)``."""
    first = (x.shape[2] - length) // 2
    return x[:, :, first : first + length].contiguous()


def value_loss(output: Tensor, values: Tensor, mean: float, std: float) -> Tensor:
    """Return the mean squared error of outputs ``(N, 1)`` with values ``(N,)`` in deviations of the train part."""
    return f.mse_loss(output[:, 0], (values - mean) / std)


def value_imitation_loss(output: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared error of outputs ``(N, 1)`` with a teacher's."""
    return f.mse_loss(output, teacher)
