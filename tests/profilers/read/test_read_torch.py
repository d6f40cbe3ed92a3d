"""Modules of torch, exported by torch: blocks of well-known networks, forms written by hand, a transformer."""

import numpy as np
import pytest
import torch
from graphs import run
from torch import nn

import hwnas
from profilers import GraphModule, ModelFileError


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8, eps=1e-3), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8))
        self.classes = nn.Linear(8, 5)

    def forward(self, x):
        x = self.first(x)
        return self.classes(torch.relu(self.second(x) + x).mean((2, 3)))


class Inverted(nn.Module):
    def __init__(self):
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(3, 16, 1, bias=False), nn.BatchNorm2d(16), nn.SiLU())
        self.depthwise = nn.Sequential(
            nn.Conv2d(16, 16, 5, 1, 2, groups=16, bias=False), nn.BatchNorm2d(16), nn.ReLU6()
        )
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 4, 1), nn.Hardswish(), nn.Conv2d(4, 16, 1), nn.Hardsigmoid()
        )
        self.project = nn.Conv2d(16, 3, 1)

    def forward(self, x):
        y = self.depthwise(self.expand(x))
        return x + self.project(y * self.squeeze(y))


class Shuffle(nn.Module):
    """ShuffleNet V2's unit."""

    def __init__(self):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(True),
            nn.Conv2d(4, 4, 3, 1, 1, groups=4, bias=False), nn.BatchNorm2d(4),
        )  # fmt: skip

    def forward(self, x):
        kept, changed = x.chunk(2, dim=1)
        y = torch.cat((kept, self.branch(changed)), dim=1)
        n, c, h, w = y.shape
        return y.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


class Regular(nn.Module):
    """RegNet's block, with groups and squeeze-excite, behind ResNet's stem and before a classifier."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        self.body = nn.Sequential(
            nn.Conv2d(8, 16, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 16, 3, 2, 1, groups=4, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        )  # fmt: skip
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d((1, 1)), nn.Conv2d(16, 4, 1), nn.ReLU(), nn.Conv2d(4, 16, 1), nn.Sigmoid()
        )
        self.last = nn.Sequential(nn.Conv2d(16, 16, 1, bias=False), nn.BatchNorm2d(16))
        self.shortcut = nn.Sequential(nn.Conv2d(8, 16, 1, 2, bias=False), nn.BatchNorm2d(16))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16, 5))

    def forward(self, x):
        x = self.stem(x)
        y = self.body(x)
        return self.head(torch.relu(self.last(self.squeeze(y) * y) + self.shortcut(x)))


class Written(nn.Module):
    """Activations, upsampling and sizes as people write them by hand."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.up = nn.ConvTranspose2d(8, 4, 2, 2)

    def forward(self, x):
        y = self.first(x / 0.5 - 1)
        y = y * nn.functional.relu6(y + 3) / 6
        z = nn.functional.interpolate(nn.functional.max_pool2d(self.second(y), 2), scale_factor=2)
        y = y + z * torch.sigmoid(1.5 * z)
        y = nn.functional.gelu(self.up(y))
        return torch.flatten(nn.functional.pixel_shuffle(y, 2), 1)


class Transformer(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 32), nn.GELU(), nn.Linear(32, width))

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(n, t, 3, 2, d // 2).permute(2, 0, 3, 1, 4)
        y = ((q @ k.transpose(-1, -2)) * 0.3).softmax(-1) @ v
        x = x + self.out(y.transpose(1, 2).reshape(n, t, d))
        return x + self.mlp(x)


def lively(module):
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 2)
            nn.init.normal_(part.bias)
    return module


@pytest.mark.parametrize(
    ("module", "shape", "trainable"),
    [
        (Residual, (3, 16, 16), True),
        (Inverted, (3, 8, 8), True),
        (Shuffle, (8, 6, 6), True),
        (Regular, (3, 32, 32), True),
        (Written, (3, 8, 8), True),
        (Transformer, (5, 16), False),
    ],
)
def test_modules_are_read(module, shape, trainable):
    module, x = lively(module()), torch.randn(2, *shape)
    read = hwnas.from_torch(module, x)
    assert module.training
    assert read.batch == 2
    assert (not read.generic) == trainable
    expected = module.eval()(x).detach().numpy()
    np.testing.assert_allclose(run(read.build().SerializeToString(), {"input": x.numpy()})[0], expected, atol=1e-4)
    if trainable:
        computed = GraphModule(read.graph, read.weights).eval()(x).detach().numpy()
        np.testing.assert_allclose(computed, expected, atol=1e-4)


def test_a_module_that_torch_cannot_export_is_named():
    class Odd(nn.Module):
        def forward(self, x):
            raise ValueError("no")

    with pytest.raises(ModelFileError, match="Odd: torch cannot export it: no; export it yourself"):
        hwnas.from_torch(Odd(), torch.zeros(1, 3))
