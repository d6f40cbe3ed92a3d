"""Images as normalised tensors at any size, their augmentation and their losses. Needs torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as f

from hwnas.data import ImageArray, ImageData
from hwnas.tasks._image._augment import augment, cutout, mixup


class Normalised(Protocol):
    """Data whose train part says how pixels are normalised."""

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel, pixels scaled to 0-1."""

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel, pixels scaled to 0-1."""


def prepare_images(data: Normalised, images: ImageArray | Tensor, size: int, device: str = "cpu") -> Tensor:
    """Return network inputs: pixels to 0-1, normalised by the train part's mean and deviation, resized.

    Args:
        data: Gives mean and deviation.
        images: ``(N, C, H, W)`` uint8, or clips ``(N, C, T, H, W)``.
        size: Height and width of the result; bilinear with antialiasing where the images differ from it.
        device: Where to compute.

    Returns:
        ``(N, C, size, size)`` float32, channels last in memory; clips ``(N, C, T, size, size)``.
    """
    tensor = torch.from_numpy(images) if isinstance(images, np.ndarray) else images
    x = tensor.to(device).float() / 255.0
    axes = (-1, *(1,) * (x.ndim - 2))
    mean, std = (torch.tensor(v, dtype=torch.float32, device=device).reshape(axes) for v in (data.mean, data.std))
    return resize((x - mean) / std, size)


def resize(x: Tensor, size: int) -> Tensor:
    """Resize ``(N, C, H, W)`` to ``(N, C, size, size)``, bilinear with antialiasing, channels last in memory.

    Clips ``(N, C, T, H, W)`` are resized frame by frame.
    """
    if x.ndim == 5:
        frames = x.flatten(1, 2)
        return x if x.shape[-2:] == (size, size) else resize(frames, size).reshape(*x.shape[:3], size, size)
    if x.shape[2:] != (size, size):
        x = f.interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=True)
    return x.contiguous(memory_format=torch.channels_last)


class TrainImages:
    """The train part on a device.

    Args:
        data: The data set.
        size: Height and width of what is taken.
        device: Where it is kept.
    """

    def __init__(self, data: ImageData, size: int, device: str) -> None:
        self._data, self._size, self._device = data, size, device
        self._labels = torch.from_numpy(data.train.labels).to(device)
        self._images = torch.from_numpy(data.train.images).to(device)

    def __call__(self, chosen: np.ndarray[Any, np.dtype[np.int64]]) -> tuple[Tensor, Tensor]:
        """Return images ``(N, C, size, size)`` with these indices ``(N,)``, and their class indices ``(N,)``."""
        where = torch.from_numpy(chosen).to(self._device)
        return prepare_images(self._data, self._images[where], self._size, self._device), self._labels[where]


def augmented(
    x: Tensor, labels: Tensor, rng: np.random.Generator, settings: Mapping[str, Any], classes: int
) -> tuple[Tensor, Tensor]:
    """Return a batch as it is trained on.

    Args:
        x: Images ``(N, C, H, W)``.
        labels: Class indices ``(N,)``.
        rng: Source of everything random.
        settings: Values of the task's options.
        classes: Number of classes.

    Returns:
        Images, and class indices, or class probabilities ``(N, classes)`` where images are blended.
    """
    x = augment(x, rng, shift=settings["shift"], flip=settings["flip"])
    if settings["cutout"]:
        x = cutout(x, rng, settings["cutout"])
    if settings["mixup"]:
        x, labels = mixup(x, labels, rng, alpha=settings["mixup"], classes=classes)
    return x.contiguous(memory_format=torch.channels_last), labels


def label_loss(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Return cross-entropy of logits ``(N, classes)`` with class indices ``(N,)`` or probabilities ``(N, classes)``."""
    return f.cross_entropy(logits, labels, label_smoothing=smoothing)


def imitation_loss(logits: Tensor, teacher: Tensor) -> Tensor:
    """Return cross-entropy of logits ``(N, classes)`` with the probabilities that a teacher's logits stand for."""
    return f.cross_entropy(logits, teacher.softmax(1))
