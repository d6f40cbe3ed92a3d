"""ResNet-8 as one writes it by hand in PyTorch, with a training loop of the shortest kind."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn
from torch.nn import functional as f


class Block(nn.Module):
    """Two 3x3 convolutions with batch norm, and a projection where the shape changes."""

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        same = stride == 1 and inputs == channels
        projection = (nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))
        self.shortcut = nn.Identity() if same else nn.Sequential(*projection)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(n, channels, h / stride, w / stride)``."""
        y = f.relu(self.norm1(self.conv1(x)))
        return f.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


def resnet8(classes: int = 10) -> nn.Module:
    """Return ResNet-8 for images of 32 pixels (MLPerf Tiny's image classification)."""
    stem = (nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    blocks = (Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2))
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))


class HandWritten:
    """A training of ResNet-8 on one batch, over and over: no augmentation, clipping or average of weights.

    Args:
        batch: Images a step.
        half: Whether to compute in bfloat16 (`torch.autocast`).
    """

    def __init__(self, batch: int, *, half: bool) -> None:
        torch.manual_seed(0)
        self._half = half
        self._network = resnet8().to(memory_format=torch.channels_last).train()
        self._x = torch.randn(batch, 3, 32, 32).contiguous(memory_format=torch.channels_last)
        self._labels = torch.randint(0, 10, (batch,))
        self._optimizer = torch.optim.SGD(
            self._network.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=1e-4
        )

    def seconds(self, steps: int) -> list[float]:
        """Return the duration of each of some steps."""
        times = []
        for _ in range(steps):
            began = time.perf_counter()
            self._optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=self._half):
                output = self._network(self._x)
            f.cross_entropy(output.float(), self._labels).backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            times.append(time.perf_counter() - began)
        return times
