"""Images as normalised tensors at any size, and batches of them to train on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as f

from hwnas.data import ImageData, Split
from hwnas.data._images import ImageArray, LabelArray
from hwnas.training._augment import augment, cutout, mixup
from hwnas.training._recipe import Recipe


def prepare_images(data: ImageData, images: ImageArray | Tensor, size: int, device: str = "cpu") -> Tensor:
    """Network inputs: pixels to 0-1, normalised by the train part's mean and deviation, resized.

    Args:
        data: gives mean and deviation.
        images: ``(N, C, H, W)`` uint8.
        size: height and width of the result; bilinear with antialiasing where the images differ from it.
        device: where to compute.

    Returns:
        ``(N, C, size, size)`` float32, channels last in memory.
    """
    tensor = torch.from_numpy(images) if isinstance(images, np.ndarray) else images
    x = tensor.to(device).float() / 255.0
    mean, std = (torch.tensor(v, dtype=torch.float32, device=device)[:, None, None] for v in (data.mean, data.std))
    return resize((x - mean) / std, size)


def resize(x: Tensor, size: int) -> Tensor:
    """``(N, C, H, W)`` to ``(N, C, size, size)``, bilinear with antialiasing, channels last in memory."""
    if x.shape[2:] != (size, size):
        x = f.interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=True)
    return x.contiguous(memory_format=torch.channels_last)


class TrainLoader:
    """Augmented batches of the train part; an epoch depends on the seed and its number alone.

    Args:
        data: the data set.
        recipe: gives the images a batch (a smaller rest at the end of an epoch is left out) and the augmentation.
        size: height and width of the batches.
        device: where the batches are made.
    """

    def __init__(self, data: ImageData, recipe: Recipe, size: int, device: str) -> None:
        self.data, self.recipe, self.size, self.device = data, recipe, size, device
        self.batch_size = min(recipe.batch_size, len(data.train))
        self._labels = torch.from_numpy(data.train.labels).to(device)
        self._images = torch.from_numpy(data.train.images).to(device)

    def __len__(self) -> int:
        return len(self.data.train) // self.batch_size

    def epoch(self, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of images ``(B, C, size, size)`` in an order drawn from `rng`, and what they show.

        That is class indices ``(B,)``, or class probabilities ``(B, classes)`` where images are blended.
        """
        order = torch.from_numpy(rng.permutation(len(self.data.train))).to(self.device)
        recipe, classes = self.recipe, len(self.data.classes)
        for step in range(len(self)):
            chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            x, y = prepare_images(self.data, self._images[chosen], self.size, self.device), self._labels[chosen]
            x = augment(x, rng, shift=recipe.shift, flip=recipe.flip)
            if recipe.cutout:
                x = cutout(x, rng, recipe.cutout)
            if recipe.mixup:
                x, y = mixup(x, y, rng, alpha=recipe.mixup, classes=classes)
            yield x.contiguous(memory_format=torch.channels_last), y


def fixed_sample(data: ImageData, count: int) -> Split:
    """The first `count` train images of a fixed shuffle, with their labels."""
    order = np.random.default_rng(0).permutation(len(data.train))[:count]
    return data.train.take(np.sort(order))


def in_batches(split: Split, batch_size: int) -> Iterator[tuple[ImageArray, LabelArray]]:
    """A part in its own order, ``batch_size`` at a time; the last batch may be smaller."""
    for start in range(0, len(split), batch_size):
        yield split.images[start : start + batch_size], split.labels[start : start + batch_size]
