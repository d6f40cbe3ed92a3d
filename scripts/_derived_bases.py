"""The two networks that the comparison of derived spaces starts from, as a user would write them with torch.

ResNet-20 for CIFAR-10 (He et al. 2016, arXiv 1512.03385, section 4.2) with projection shortcuts, and a network of
inverted residual blocks (Sandler et al. 2018, arXiv 1801.04381) with strides for images of 32 pixels. Both take a width
multiplier, so that each is a family.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from profilers import convolve

CLASSES = 10
IMAGE = (3, 32, 32)
# expansion, channels, blocks, stride
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 2, 1), (6, 64, 2, 2), (6, 96, 2, 1))
_STEM, _LAST = 24, 256


def scaled(channels: int, width: float, step: int) -> int:
    """Return channels times width, rounded to a multiple of `step`, at least one step."""
    return max(step, round(channels * width / step) * step)


class Convolution(nn.Conv2d):
    """A convolution that is also fast to train in bfloat16 where it is depthwise."""

    def forward(self, input: Tensor) -> Tensor:
        """Return ``(N, channels, H', W')`` of ``(N, C, H, W)``."""
        stride, padding, dilation = tuple(self.stride), tuple(map(int, self.padding)), tuple(self.dilation)
        return convolve(input, self.weight, self.bias, stride, padding, dilation, self.groups)


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = Convolution(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outputs)]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_conv(inputs, outputs, 3, stride), nn.ReLU(), *_conv(outputs, outputs, 3))
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(*_conv(inputs, outputs, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        return torch.relu(self.body(x) + self.shortcut(x))


class InvertedResidual(nn.Module):
    """A wide depthwise convolution between two 1x1 convolutions."""

    def __init__(self, inputs: int, outputs: int, stride: int, hidden: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if hidden != inputs:
            layers += [*_conv(inputs, hidden, 1), nn.ReLU()]
        layers += [*_conv(hidden, hidden, 3, stride, hidden), nn.ReLU(), *_conv(hidden, outputs, 1)]
        self.body = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        return x + self.body(x) if self.residual else self.body(x)


class _Classifier(nn.Module):
    """Feature maps, a global mean, and a linear layer."""

    def __init__(self, features: nn.Module, channels: int) -> None:
        super().__init__()
        self.features, self.pool, self.classes = features, nn.AdaptiveAvgPool2d(1), nn.Linear(channels, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``(N, 10)`` of images ``(N, 3, H, W)``."""
        return self.classes(torch.flatten(self.pool(self.features(x)), 1))  # type: ignore[no-any-return]


def resnet20(width: float = 1.0, step: int = 1) -> nn.Module:
    """Return ResNet-20 with all channels scaled."""
    channels = scaled(16, width, step)
    layers: list[nn.Module] = [*_conv(IMAGE[0], channels, 3), nn.ReLU()]
    for stage, wide in enumerate((16, 32, 64)):
        for block in range(3):
            outputs = scaled(wide, width, step)
            layers.append(BasicBlock(channels, outputs, 2 if stage and not block else 1))
            channels = outputs
    return _Classifier(nn.Sequential(*layers), channels)


def inverted(width: float = 1.0, step: int = 1) -> nn.Module:
    """Return the network of inverted residual blocks with all channels scaled."""
    channels = scaled(_STEM, width, step)
    layers: list[nn.Module] = [*_conv(IMAGE[0], channels, 3), nn.ReLU()]
    for expansion, wide, blocks, stride in _STAGES:
        for block in range(blocks):
            outputs = scaled(wide, width, step)
            layers.append(InvertedResidual(channels, outputs, stride if not block else 1, expansion * channels))
            channels = outputs
    last = scaled(_LAST, width, step)
    layers += [*_conv(channels, last, 1), nn.ReLU()]
    return _Classifier(nn.Sequential(*layers), last)


FAMILIES: dict[str, Callable[[float, int], nn.Module]] = {"resnet20": resnet20, "inverted": inverted}
"""The families: a width multiplier, and what numbers of channels are multiples of, to a network."""


def resized(family: str, state: Mapping[str, Tensor]) -> nn.Module:
    """Return a network of a family whose layers have the extents of a state dict, and its tensors.

    Args:
        family: One of `FAMILIES`.
        state: State dict of a network of it, also of a pruned one.
    """
    module = FAMILIES[family](1.0, 1)
    for name, layer in module.named_modules():
        weight = state.get(f"{name}.weight")
        if isinstance(layer, nn.Conv2d) and weight is not None:
            depthwise = layer.groups > 1 and layer.groups == layer.in_channels
            layer.groups = len(weight) if depthwise else layer.groups
            layer.out_channels, layer.in_channels = len(weight), weight.shape[1] * layer.groups
        elif isinstance(layer, nn.Linear) and weight is not None:
            layer.out_features, layer.in_features = weight.shape
        elif isinstance(layer, nn.BatchNorm2d) and weight is not None:
            layer.num_features = len(weight)
        own = {**layer._parameters, **layer._buffers}
        for part, tensor in own.items():
            if tensor is None:
                continue
            new = state[f"{name}.{part}" if name else part].detach().clone()
            if part in layer._parameters:
                setattr(layer, part, nn.Parameter(new))
            else:
                setattr(layer, part, new)
    return module


def to_onnx(module: nn.Module) -> bytes:
    """Export a network as torch exports it, for one image at a time."""
    content, export = io.BytesIO(), torch.onnx.export
    options: dict[str, Any] = {"dynamo": False, "opset_version": 17, "input_names": ["image"]}
    plain = module.eval().to(memory_format=torch.contiguous_format)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export(plain, (torch.zeros(1, *IMAGE),), content, output_names=["logits"], **options)  # type: ignore[arg-type]
    return content.getvalue()
