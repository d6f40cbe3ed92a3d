"""`TrainPart`: a train part that is kept on a device. Needs torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


class TrainPart:
    """The train part on a device.

    Args:
        samples: ``(N, ...)``.
        targets: ``(N,)``.
        prepare: Returns the network inputs of some samples on the device.
        device: Where samples and targets are kept.
    """

    def __init__(
        self, samples: npt.NDArray[Any], targets: npt.NDArray[Any], prepare: Callable[[Tensor], Tensor], device: str
    ) -> None:
        self._prepare, self._device = prepare, device
        self._targets = torch.from_numpy(targets).to(device)
        self._samples = torch.from_numpy(samples).to(device)

    def __call__(self, chosen: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return network inputs of the samples with these indices ``(N,)``, and their targets ``(N,)``."""
        where = torch.from_numpy(chosen).to(self._device)
        return self._prepare(self._samples[where]), self._targets[where]
